"""Why detectors rang, in words: each says how far beyond the normal it was, and what it expected.

Owns the wording. A detector that is not known here is told by its numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.page.rendering import number, percent, plainly

SHOWN = 12
"""Rows of one table."""
_TOLD = frozenset({"template", "template_id"})
_OWN = frozenset({"detector", "raw", "score", "share"})
_EARLIER = "an earlier event of this session"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: what it is about, ``share`` 0 to 1 where it has a bar, and what is said of it."""

    text: str
    told: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class ReasonView:
    """One detector's part: ``share`` of the evidence and ``score`` among held-out normals, 0 to 1."""

    detector: str
    raw: float
    score: float
    share: float
    beyond: str
    expected: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)


def reason_view(reason: Mapping[str, Any]) -> ReasonView:
    """One reason of an incident as people read it."""
    because = {name: part for name, part in reason.items() if name not in _OWN}
    return ReasonView(
        str(reason["detector"]),
        float(reason["raw"]),
        float(reason["score"]),
        float(reason["share"]),
        _beyond(reason),
        _expected(because.get("expected")),
        _differences(because),
        plainly({name: part for name, part in because.items() if name not in _TOLD and part != _EARLIER}),
    )


def _beyond(reason: Mapping[str, Any]) -> str:
    """How far beyond the normal, a sentence."""
    match reason:
        case {"at": at} if at == _EARLIER:
            return "An earlier event of this session was strange to it."
        case {"rule": "rank", "rank": None} | {"rule": "surprisal", "rank": None}:
            return "What came is no event that it knows."
        case {"rule": "rank", "rank": rank, "g": g}:
            return f"{number(rank)} other events were likelier here; fewer than {number(g)} are normal."
        case {"rule": "surprisal", "g": g, "raw": raw}:
            return f"Surprise {number(raw)}; up to {number(g)} is normal."
        case {"elapsed_s": float(elapsed), "normal": [low, high]}:
            return f"It came after {number(elapsed)} s; normal are {number(low)} to {number(high)} s."
        case {"length": length, "shortest": shortest, "longest": longest}:
            return f"The session has {length} events; normal ones had {shortest} to {longest}."
        case {"known": False}:
            return "A template that training never saw."
        case {"distance": distance}:
            return f"{number(distance)} away from the nearest normal session."
        case {"threshold": threshold, "raw": raw}:
            return f"Error {number(raw)}; up to {number(threshold)} is normal."
        case {"normal": [low, high], "value": value}:
            return f"The value is {number(value)}; normal are {number(low)} to {number(high)}."
    return f"Its output is {number(reason['raw'])}."


def _expected(guesses: Any) -> list[Row]:
    if not isinstance(guesses, Sequence) or isinstance(guesses, str):
        return []
    return [
        Row(str(guess["template"]), percent(guess["probability"]), float(guess["probability"]))
        for guess in guesses[:SHOWN]
        if isinstance(guess, Mapping) and {"template", "probability"} <= guess.keys()
    ]


def _differences(because: Mapping[str, Any]) -> list[Row]:
    found = [
        Row(str(part["template"]), f"{number(part['count'])} instead of about {number(part['expected'])}")
        for part in because.get("differences", ())
    ]
    for part in because.get("entities", ()):
        words = ", ".join(f"{term['term']} ×{term['count']}" for term in part["terms"])
        found.append(Row(str(part["entity"]), f"{percent(part['share'])} of the error; {words}"))
    return found[:SHOWN]
