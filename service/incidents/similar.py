"""Which incidents are like another one, and why.

Owns the order: the same cause first, then shared alarms, the template, the templates before it, the detector. Does not
know where incidents are stored, nor what people said of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from models.rules import SCOPES, Scope
from service.state.incidents import OPEN, StoredIncident

SHOWN = 5
"""Similar incidents that are listed of one."""
SCANNED = 1_000
"""Newest incidents of a source that are compared."""
ENOUGH = 0.5
"""Share of the templates before two incidents that makes them similar by itself, where the same detector led."""

Alarm = tuple[str, Scope, str]
"""Detector, scope and what must be equal (``models.rules.Clause``)."""


@dataclass(frozen=True, slots=True)
class Known:
    """An incident as it is compared: what its detectors rang on, and the templates of its window."""

    incident: StoredIncident
    alarms: frozenset[Alarm]
    window: frozenset[int]

    @classmethod
    def of(cls, incident: StoredIncident, clauses: Iterable[bytes]) -> "Known":
        """``clauses`` as the incident keeps them, lines of JSON (``causes.Cause``)."""
        alarms = [orjson.loads(line)[0] for line in clauses]
        return cls(
            incident,
            frozenset((alarm["detector"], alarm["scope"], alarm["match"]) for alarm in alarms),
            frozenset(event["template_id"] for event in incident.body["window"]),
        )


@dataclass(frozen=True, slots=True)
class Similar:
    """An incident like the one at hand; ``because``: what they share, in words."""

    incident: StoredIncident
    because: list[str]


def similar(one: Known, others: Iterable[Known]) -> list[Similar]:
    """The ``SHOWN`` of ``others`` that are most like ``one``, the most similar first; of equals those that were
    answered, then the newest. Incidents of another source or template tree are like none."""
    found = []
    for other in others:
        if not _comparable(one.incident, other.incident):
            continue
        likeness = _likeness(one, other)
        if any(likeness[:3]) or (likeness[3] >= ENOUGH and likeness[4]):
            answered = other.incident.state != OPEN
            found.append(((*likeness, answered, other.incident.raised, other.incident.id), other))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [Similar(other.incident, _because(one, other)) for _, other in found[:SHOWN]]


def _comparable(one: StoredIncident, other: StoredIncident) -> bool:
    """Templates of another tree are other templates, though their ids be the same."""
    same_tree = one.body.get("tree") == other.body.get("tree")
    return one.id != other.id and one.source == other.source and same_tree


def _likeness(one: Known, other: Known) -> tuple[bool, float, bool, float, bool]:
    """Compared in this order: cause, alarms, template, window, detector."""
    mine, theirs = one.incident.body, other.incident.body
    return (
        mine["cause"] == theirs["cause"],
        _overlap(one.alarms, other.alarms),
        _same_template(one, other),
        _overlap(one.window, other.window),
        mine["detector"] == theirs["detector"],
    )


def _overlap(one: frozenset[Alarm] | frozenset[int], other: frozenset[Alarm] | frozenset[int]) -> float:
    """What two sets share, of all that they hold, 0 to 1, in hundredths."""
    every = len(one | other)
    return round(len(one & other) / every, 2) if every else 0.0


def _same_template(one: Known, other: Known) -> bool:
    mine = one.incident.body["template_id"]
    return mine is not None and mine == other.incident.body["template_id"]


def _because(one: Known, other: Known) -> list[str]:
    mine, theirs = one.incident.body, other.incident.body
    found = ["the same cause"] if mine["cause"] == theirs["cause"] else []
    shared = sorted(one.alarms & other.alarms, key=lambda alarm: (alarm[0], SCOPES.index(alarm[1])))
    # The narrowest that they share says the most.
    narrowest = {detector: scope for detector, scope, _ in reversed(shared)}
    found += [f"{detector} rang on {_ON[scope]}" for detector, scope in sorted(narrowest.items())]
    if _same_template(one, other) and "template" not in narrowest.values():
        found.append("the same template")
    both = len(one.window & other.window)
    if both:
        found.append(f"{both} of the {len(one.window)} templates before it")
    if mine["detector"] == theirs["detector"]:
        found.append(f"{mine['detector']} led")
    if mine["session"] == theirs["session"] and mine["kind"] != "timeframe":
        found.append("the same session")
    return found


_ON: dict[Scope, str] = {
    "window": "the same events before it",
    "template": "the same template",
    "parameter": "the same value of a template",
    "text": "the same words",
    "session": "sessions that depart alike",
    "timeframe": "the same entities",
}
