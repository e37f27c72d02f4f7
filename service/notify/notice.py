"""What is told: an incident, what a flood's budget held back, or a test. The same for every channel.

Owns the words. Does not know where they go. What comes from a log line is cut, and what cannot be printed is spelt out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from models.workflow.words import printable
from service.incidents.desk import summary
from service.incidents.severity import SEVERITIES, Severity, severity
from service.state.incidents import StoredIncident

LINE_SHOWN = 500
NAME_SHOWN = 120
KEPT = (
    "source",
    "session",
    "kind",
    "detector",
    "template",
    "version",
    "score",
    "count",
    "first_seen",
    "last_seen",
    "raised",
)
"""Parts of an incident that go out, beside its id, severity and line."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. ``delivery`` is the same for every attempt; ``at`` is when it began, in seconds.

    ``detail`` is plain JSON: what a machine reads. ``incident`` and ``detector`` are an incident's.
    """

    delivery: str
    kind: Literal["incident", "held_back", "test"]
    source: str
    severity: Severity
    title: str
    text: str
    link: str | None
    at: float
    detail: Mapping[str, Any]
    incident: str | None = None
    detector: str | None = None


def of_incident(delivery: str, incident: StoredIncident, public_url: str | None) -> Notice:
    """A notice of one incident."""
    listed = summary(incident)
    line = incident.body.get("line")
    level = severity(incident.score, incident.body.get("reasons", ()))
    detector = plain(str(listed["detector"]), NAME_SHOWN)
    what = listed["template"] if listed["template"] is not None else f"{listed['kind']} {listed['session']}"
    title = f"{level}: {plain(incident.source, NAME_SHOWN)}: {plain(str(what), NAME_SHOWN)}"
    told = [
        f"{detector} rang in {plain(str(listed['kind']), NAME_SHOWN)} of {plain(str(listed['session']), NAME_SHOWN)}, "
        f"score {incident.score:.4f}, seen {incident.count} times.",
    ]
    if line is not None:
        told.append(plain(str(line), LINE_SHOWN))
    link = _link(public_url, incident.id)
    detail = {
        "id": incident.id,
        "severity": level,
        **{name: listed.get(name) for name in KEPT},
        "line": None if line is None else plain(str(line), LINE_SHOWN),
    }
    text = "\n".join([*told, *([link] if link else [])])
    return Notice(
        delivery, "incident", incident.source, level, title, text, link, incident.raised, detail, incident.id, detector
    )


def of_held_back(delivery: str, source: str, held: Mapping[str, Any], public_url: str | None) -> Notice:
    """A notice of what a budget held back: ``held`` has ``count``, ``by_severity``, ``from`` and ``until`` (seconds),
    and ``top``, ids of the strangest with their score."""
    by_severity: Mapping[str, int] = held["by_severity"]
    level: Severity = next((found for found in reversed(SEVERITIES) if by_severity.get(found)), "info")
    top: Sequence[Mapping[str, Any]] = held["top"]
    name = plain(source, NAME_SHOWN)
    counted = ", ".join(f"{by_severity[found]} {found}" for found in reversed(SEVERITIES) if by_severity.get(found))
    title = f"{level}: {name}: {held['count']} more incidents held back"
    when = f"from {_moment(held['from'])} to {_moment(held['until'])}"
    told = [f"{held['count']} more incidents of {name} {when} ({counted})."]
    shown = [{**one, "link": _link(public_url, one["id"])} for one in top]
    told += [f"score {one['score']:.4f}: {one['link'] or one['id']}" for one in shown]
    link = None if public_url is None else f"{public_url}/?source={quote(source, safe='')}"
    detail = {**held, "source": source, "top": shown}
    return Notice(delivery, "held_back", source, level, title, "\n".join(told), link, held["from"], detail)


def of_test(delivery: str, notifier: str, now: float, public_url: str | None) -> Notice:
    """A notice that somebody asked for to see that it arrives."""
    text = f"Notifier {notifier} of Tocsin works: nothing rang, somebody tried it."
    return Notice(delivery, "test", "test", "info", "Tocsin: a test", text, public_url, now, {"notifier": notifier})


def plain(text: str, most: int) -> str:
    """A text that is fit for anybody's screen: control characters and the like are spelt out, and it is cut."""
    shown = printable(text[:most])
    return shown if len(text) <= most and len(shown) <= most else f"{shown[: most - 1]}…"


def _link(public_url: str | None, incident: str) -> str | None:
    return None if public_url is None else f"{public_url}/page/incidents/{quote(incident, safe='')}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
