"""Where people look at incidents.

Owns what an incident looks like to a caller. What follows from answering one is the feedback desk's.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from models.errors import StateError, TocsinError
from service.errors import NotFound, WrongValue
from service.incidents import causes
from service.incidents.causes import Cause
from service.incidents.feedback import FeedbackDesk
from service.incidents.muting import MuteDesk
from service.incidents.nearest import nearest
from service.incidents.severity import severity
from service.incidents.similar import SCANNED, Known, Similar, similar
from service.metrics import Metrics
from service.pipeline.sources import Sources
from service.settings import Settings
from service.state import feedback, incidents, mutes
from service.state.feedback import Sees
from service.state.incidents import StoredIncident
from service.state.mutes import Mute

CURSOR = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,20})?:[0-9a-f]{1,64}")
"""What ``incidents.page`` gives as ``next``."""
SUMMARY = ("source", "session", "kind", "detector", "template", "cause", "version")
"""Parts of an incident's body that the list shows."""
ANSWERS_READ = 1_000
"""Newest answers, of all sources, among which those to similar incidents are looked for."""
SAID = ("label", "author", "time", "note")
"""Parts of an answer that another incident shows."""


class IncidentDesk:
    """Incidents of all sources, and the desk that takes what people say of them."""

    def __init__(
        self, redis: Redis, sources: Sources, metrics: Metrics, settings: Settings, clock: Callable[[], float]
    ) -> None:
        self._redis = redis
        self._sources = sources
        self.mutes = MuteDesk(redis, sources, clock)
        self.feedback = FeedbackDesk(redis, sources, metrics, settings, clock, self._find)

    async def page(
        self,
        source: str | None,
        state: str | None,
        since: float | None,
        limit: int,
        cursor: str | None,
        sees: Sees | None = None,
    ) -> dict[str, Any]:
        """Incidents of sources that somebody may see, newest first, without their explanations; ``next`` is the cursor
        of the next page."""
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise WrongValue("cursor must be `next` of an earlier answer")
        names = [(await self._sources.get(source)).name] if source else await self._sources.names()
        names = [name for name in names if sees is None or sees(name)]
        page = await incidents.page(self._redis, names, state, since, limit, cursor)
        windows = {name: await mutes.read(self._redis, name) for name in {one.source for one in page.incidents}}
        listed = [_marked(found, windows[found.source]) for found in page.incidents]
        return {"incidents": listed, "next": page.next}

    async def get(self, incident_id: str, sees: Sees | None = None) -> dict[str, Any]:
        """One incident with its explanation, the scopes under which it can be silenced, and the answers to it that wait
        for a second author. Raises NotFound, also where its source may not be seen."""
        return await self._shown(await self._seen(incident_id, sees))

    async def explained(self, incident_id: str, sees: Sees | None = None) -> dict[str, Any]:
        """``get``, and beside it: ``nearest``, the normal session that its own is nearest to and the difference (None
        where nothing can be compared: the version keeps no normal sessions, the template tree is another); ``similar``,
        incidents like it with what people said of them. Raises NotFound."""
        found = await self._seen(incident_id, sees)
        shown = await self._shown(found)
        return shown | {"nearest": await self._nearest(found), "similar": await self._similar(found)}

    async def _shown(self, found: StoredIncident) -> dict[str, Any]:
        kept = [Cause.decode(line) for line in await incidents.clauses(self._redis, found.source, found.id)]
        told = {name: part for name, part in found.body.items() if name != "lessons"}
        listed = _marked(found, await mutes.read(self._redis, found.source))
        shown = {**told, **listed, "scopes": causes.scopes(kept)}
        return shown | {"on_trial": await self.feedback.on_trial(found)}

    async def _nearest(self, found: StoredIncident) -> dict[str, Any] | None:
        try:
            live = await self._sources.get(found.source)
        except StateError:
            raise
        except TocsinError:  # what cannot be served can be looked at all the same
            return None
        normals = None if live.judge is None else live.judge.normals
        if normals is None or found.body.get("tree") != live.tree.tree_id:
            return None
        return await asyncio.to_thread(nearest, found.body, normals, live.text_of)

    async def _similar(self, found: StoredIncident) -> list[dict[str, Any]]:
        newest = (await incidents.page(self._redis, [found.source], limit=SCANNED)).incidents
        every = [found, *newest]
        kept = await incidents.clauses_of_each(self._redis, found.source, [one.id for one in every])
        alike = await asyncio.to_thread(_most_similar, every, kept)
        said: dict[str, list[dict[str, Any]]] = {one.incident.id: [] for one in alike}
        for item in await feedback.newest(self._redis, None, ANSWERS_READ) if said else []:
            if item.get("incident") in said:
                said[item["incident"]].append({name: item.get(name) for name in SAID})
        return [{**summary(one.incident), "because": one.because, "said": said[one.incident.id]} for one in alike]

    async def _find(self, incident_id: str) -> StoredIncident:
        return await self._seen(incident_id, None)

    async def _seen(self, incident_id: str, sees: Sees | None) -> StoredIncident:
        names = [name for name in await self._sources.names() if sees is None or sees(name)]
        found = await incidents.find(self._redis, names, incident_id)
        if found is None:
            raise NotFound(f"no incident {incident_id!r}; GET /incidents lists them (they are kept for 30 days)")
        return found


def _marked(incident: StoredIncident, windows: Sequence[Mute]) -> dict[str, Any]:
    """An incident as the list tells it, and whether it was raised while its source was muted."""
    return summary(incident) | {"muted": mutes.muted(windows, incident.raised)}


def _most_similar(every: Sequence[StoredIncident], kept: Sequence[Sequence[bytes]]) -> list[Similar]:
    """Which incidents are like the first of ``every``, whose clauses are in ``kept``. CPU work."""
    one, *others = (Known.of(incident, clauses) for incident, clauses in zip(every, kept, strict=True))
    return similar(one, others)


def summary(incident: StoredIncident) -> dict[str, Any]:
    """What the list tells of an incident by itself."""
    return {
        "id": incident.id,
        **{name: incident.body.get(name) for name in SUMMARY},
        "score": incident.score,
        "severity": severity(incident.score, incident.body["reasons"]),
        "state": incident.state,
        "count": incident.count,
        "first_seen": incident.first_seen,
        "last_seen": incident.last_seen,
        "raised": incident.raised,
    }
