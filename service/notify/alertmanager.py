"""A notice as an alert, to Prometheus' Alertmanager: ``POST /api/v2/alerts`` (its OpenAPI, version 2.0.0).

Owns labels and annotations. Alertmanager takes alerts with the same labels for one alert, so an incident's id is a
label of it; it groups, routes and silences by any of them. An alert ends by itself after ``lasts_s``: Tocsin does not
know when what it saw is over.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from service.notify.config import Target
from service.notify.notice import NAME_SHOWN, Notice, plain
from service.notify.outcome import Outcome
from service.notify.peer import Peer

PATH = "/api/v2/alerts"
NAMES = {"incident": "TocsinIncident", "held_back": "TocsinIncidentsHeldBack", "test": "TocsinTest"}
TEST_LASTS_S = 60.0


class Alertmanager:
    """Posts alerts to one Alertmanager, whose address may have a path before the API's."""

    def __init__(self, target: Target, clock: Callable[[], float]) -> None:
        url = target.url.rstrip("/").removesuffix(PATH)
        self._peer = Peer(url + PATH, target.timeout_s, target.token, target.reach)
        self._lasts_s = target.lasts_s
        self._clock = clock

    async def send(self, notice: Notice) -> Outcome:
        """Post once."""
        return await self._peer.post(orjson.dumps([alert(notice, self._clock(), self._lasts_s)]), {})

    async def close(self) -> None:
        """Close its connections."""
        await self._peer.close()


def alert(notice: Notice, now: float, lasts_s: float) -> dict[str, Any]:
    """One alert. It begins when the notice did, and ends ``lasts_s`` after ``now``: one that was over already when it
    came, as after a long time of retries, would tell nobody."""
    labels = {
        "alertname": NAMES[notice.kind],
        "source": plain(notice.source, NAME_SHOWN),
        "severity": notice.severity,
        **({} if notice.detector is None else {"detector": notice.detector}),
        **({} if notice.incident is None else {"incident": notice.incident}),
    }
    annotations = {"summary": notice.title, "description": notice.text}
    if notice.link is not None:
        annotations["link"] = notice.link
    found: dict[str, Any] = {
        "labels": labels,
        "annotations": annotations,
        "startsAt": _rfc3339(min(notice.at, now)),
        "endsAt": _rfc3339(now + (TEST_LASTS_S if notice.kind == "test" else lasts_s)),
    }
    if notice.link is not None:
        found["generatorURL"] = notice.link
    return found


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
