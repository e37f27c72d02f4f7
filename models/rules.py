"""What people called a false alarm: rules that silence a detector where the same cause comes again.

Owns what "the same" means for each scope, how far a rule reaches beyond what rang, and the lookup. Does not know where
rules are stored, who gave them, nor what is left of an alarm that one of its detectors was silenced for (``judge``).

| scope | the same is |
| --- | --- |
| ``window`` | the same keys before, in any order, and the same key; of an end: the same keys in the whole session |
| ``template`` | the same template; where training did not know it, also what could not be read because of it |
| ``parameter`` | the same parameter of the same template, its value inside a range |
| ``text`` | the same words |
| ``session`` | the same counts; the same departure from the nearest normal ones, up to a distance; the same sequence |
| ``timeframe`` | the same entities, up to an error; such a rule must expire |
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from models.errors import DataError

Scope = Literal["window", "template", "parameter", "text", "session", "timeframe"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""From the narrowest."""

WIDENED = 1.1
"""A rule reaches so many times as far from the normal range as the value that rang: the next one is never quite the
same."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One detector's cause under one scope. ``match`` is what must be equal; ``low`` and ``high`` the range in which a
    value must lie (of an alarm: the value itself)."""

    detector: str
    scope: Scope
    match: str
    low: float | None = None
    high: float | None = None

    def covers(self, alarm: Self) -> bool:
        """Whether an alarm with the same detector, scope and match lies in the range."""
        if self.low is None or self.high is None or alarm.low is None:
            return True
        return self.low <= alarm.low <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        plain: dict[str, Any] = {"detector": self.detector, "scope": self.scope, "match": self.match}
        if self.low is not None:
            plain["low"] = self.low
        if self.high is not None:
            plain["high"] = self.high
        return plain

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict``. Raises DataError where it is no clause."""
        try:
            clause = cls(**state)
        except TypeError as error:
            raise DataError(f"a rule's clause is damaged: {error}") from error
        if clause.scope not in SCOPES:
            raise DataError(f"a rule has the scope {clause.scope!r}; there are {', '.join(SCOPES)}")
        return clause


@dataclass(frozen=True, slots=True)
class Rule:
    """``clauses`` silenced together by one person's answer. ``expires``: seconds since the epoch, None: never."""

    id: str
    clauses: tuple[Clause, ...]
    expires: float | None = None


class Rules:
    """The rules of a source, by what they match. Empty by default."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._found: dict[tuple[str, Scope, str], list[tuple[Clause, Rule]]] = {}
        for rule in rules:
            for clause in rule.clauses:
                self._found.setdefault((clause.detector, clause.scope, clause.match), []).append((clause, rule))

    def __bool__(self) -> bool:
        return bool(self._found)

    def silencing(self, alarm: Sequence[Clause], now: float) -> str | None:
        """Id of a rule that covers one of an alarm's clauses at ``now`` (seconds); None where there is none."""
        for clause in alarm:
            for own, rule in self._found.get((clause.detector, clause.scope, clause.match), ()):
                if own.covers(clause) and (rule.expires is None or now < rule.expires):
                    return rule.id
        return None


def widened(alarm: Clause, normal: Sequence[float] | None = None) -> Clause | None:
    """What silences ``alarm`` and those a little further out; ``normal``: the least and the largest value that is
    normal, where the detector knows them. None where the alarm's value is no number."""
    value = alarm.low
    if value is None:
        return alarm
    if not math.isfinite(value):
        return None
    if alarm.scope in ("session", "timeframe"):
        return replace(alarm, low=0.0, high=WIDENED * value)
    low, high = normal or (value, value)
    if not (math.isfinite(low) and math.isfinite(high)):
        low = high = value
    if value > high:
        high += WIDENED * (value - high)
    elif value < low:
        low -= WIDENED * (low - value)
    return replace(alarm, low=low, high=high)


def joined(clauses: Iterable[Clause]) -> tuple[Clause, ...]:
    """What a rule holds: each cause once, ranges of the same value made one."""
    found: dict[tuple[str, str, str], Clause] = {}
    for clause in clauses:
        name = (clause.detector, clause.scope, clause.match)
        found[name] = _together(found[name], clause) if name in found else clause
    return tuple(found.values())


def digest(*parts: object) -> str:
    """A short stable name (16 hex digits) of what ``parts`` say together."""
    text = "\x1f".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _together(one: Clause, other: Clause) -> Clause:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return one if one.low is None else other
    return replace(one, low=min(one.low, other.low), high=max(one.high, other.high))
