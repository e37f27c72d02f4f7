"""Ensemble: one evidence from all members' raw outputs, one threshold, one alert budget.

Owns calibrations, weights, threshold and how they follow from held-out normal sessions; labels play no part. Does not
know what its members are, how sessions are held out (``training``) nor how rows become sessions (``judge``).

    evidence(session) = sum over members m of  w_m * c_m,    c_m = -log(tail_m) where tail_m <= floor, else 0

``tail_m`` is the calibrated share of normals at least as strange. No term is negative, so the evidence of a part of a
session (one event, the events so far) is a lower bound of the whole session's: where an event's own evidence reaches
the threshold, the session's will. Larger tails count nothing, so little needs remembering until a session closes.

How ``Ensemble.fit`` decides, and why:

- Held-out outputs come from cross-fitting over *random* folds of whole sessions, not from the newest tenth alone. Live
  members are refitted on all normals, the newest too, so this is what they will be like; and tails reach down to
  1 / (N + 1) instead of 10 / N. (On HDFS one benign burst of ten sessions fills 2.3 % of the newest tenth; a threshold
  taken from there lies above most anomalies.)
- Weight: a member's alarms on the newest tenth against what those on the older nine lead to expect, at the floor and
  at rarer tails. Where chance does not explain them, one with k times as many as expected claims tails that are k times
  too small by now, and is weighted down by that. All others keep weight 1. (On HDFS about 10 of DeepLog's 35 alarms at
  rank 4 and above fall into the newest tenth, before the stream drifts: weighted down, it seldom rings alone on what
  the drift brings, and still backs up others.)
- Threshold: the evidence of one trusted member whose tail is its even share of the budget, ``log(members / budget)``:
  all members ringing alone then stay within the budget together, and members that agree ring at less. It is not lowered
  until held-out normals fill the budget, for what would ring next are the members without trust. It is raised where
  more held-out normals ring than the budget, chance included, allows for.
- Few normals: N of them cannot show a tail below 1 / (N + 1). Where that is more than the share of the budget, it
  takes its place, so that a trusted member's output beyond any seen still rings; the budget is then not certain.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from models.calibration import Calibration
from models.errors import DataError
from models.sessions import Bool, Float64

FLOOR = 0.02
"""Tails above it are everyday noise and count nothing: of each member, two normal sessions in a hundred do."""

BUDGET = 0.01
"""Default alert budget: false alarms as a share of normal sessions."""

MINIMUM_SESSIONS = 20
"""With fewer held-out normals the largest output seen says nothing of what is rare."""

NEWEST = 0.1
"""Share of the normals, the newest, on which members prove that their tails still hold."""

CHANCE = 0.95
"""Confidence up to which too many alarms pass for chance."""

MARGIN = 1e-9
"""Subtracted from the threshold: evidence that equals it up to rounding rings."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member's part in the evidence of one event or session."""

    name: str
    raw: float
    tail: float
    """Calibrated share of normals at least as strange."""
    score: float
    """Calibrated share of normals less strange, 0 to 1."""
    evidence: float
    """Its term in the sum, 0.0 where it does not count."""


class Ensemble:
    """Evidence, score and threshold over named members; see the module's text."""

    def __init__(
        self,
        calibrations: Mapping[str, Calibration],
        weights: Mapping[str, float],
        threshold: float,
        reference: Calibration,
        floor: float = FLOOR,
    ) -> None:
        """``reference``: the evidence of held-out normals, for scores. ``weights`` 0 to 1, one for each calibration."""
        if set(calibrations) != set(weights):
            raise DataError(f"ensemble: calibrations of {sorted(calibrations)} but weights of {sorted(weights)}")
        self.calibrations = dict(calibrations)
        self.weights = dict(weights)
        self.threshold = threshold
        self.floor = floor
        self._reference = reference
        self._bars = {name: calibration.bar(floor) for name, calibration in self.calibrations.items()}

    @classmethod
    def fit(cls, raws: Mapping[str, ArrayLike], budget: float = BUDGET, floor: float = FLOOR) -> Self:
        """Learn from held-out normals.

        ``raws``: member -> float64 [n], the same n normal sessions for each, oldest first, every output made by members
        that did not see the session (an event member's is its maximum over the session). NaN: the member did not
        judge it, which is neither for nor against it.
        ``budget``: false alarms as a share of normal sessions, in (0, 1). Raises DataError on fewer than
        ``MINIMUM_SESSIONS`` sessions, arrays of different lengths or an impossible budget.
        """
        arrays = {name: np.asarray(values, dtype=np.float64) for name, values in raws.items()}
        if not arrays:
            raise DataError("ensemble: no member's held-out outputs; give it at least one member")
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1:
            raise DataError(
                f"ensemble: held-out outputs of {sorted(lengths)} sessions; give every member the same ones"
            )
        size = lengths.pop()
        if size < MINIMUM_SESSIONS:
            raise DataError(
                f"ensemble: {size} held-out normal sessions are too few to calibrate on; "
                f"collect {MINIMUM_SESSIONS} or more"
            )
        if not 0.0 < budget < 1.0:
            raise DataError(f"ensemble: the alert budget is a share of sessions between 0 and 1, not {budget}")
        # Of few normals even the rarest is not rare: then only what none of them reached counts.
        floor = max(floor, 1.0 / (size + 1))
        calibrations = {name: Calibration.fit(array) for name, array in arrays.items()}
        # Each member's even share of the budget, or the rarest that so few normals can show.
        alone = max(budget / len(arrays), 1.0 / (size + 1))
        levels = [floor / 2**halvings for halvings in range(64) if floor / 2**halvings >= alone] or [floor]
        weights = {}
        for name, array in arrays.items():
            judged = array[~np.isnan(array)]
            weights[name] = _weight([judged >= calibrations[name].bar(level) for level in levels], alone)
        unset = cls(calibrations, weights, math.inf, Calibration.fit(np.zeros(1)), floor)
        evidence = unset.evidence(arrays)
        threshold = _raised(-math.log(alone) - MARGIN, evidence, budget)
        return cls(calibrations, weights, threshold, Calibration.fit(evidence), floor)

    def evidence(self, raws: Mapping[str, ArrayLike]) -> Float64:
        """Evidence float64 [k], at least 0, from raw outputs float64 [k] by member; absent members add nothing, nor do
        those that it does not know."""
        arrays = {name: np.asarray(raw, dtype=np.float64) for name, raw in raws.items()}
        total = np.zeros(next((array.shape for array in arrays.values()), (0,)), dtype=np.float64)
        for name, raw in arrays.items():
            if name not in self.calibrations:
                continue
            past = np.flatnonzero(self.counts(name, raw))
            if len(past):
                total[past] -= self.weights[name] * np.log(self.calibrations[name].tail(raw[past]))
        return total

    def counts(self, name: str, raw: ArrayLike) -> Bool:
        """Whether raw outputs of one member, float64 [k], are strange enough to count at all."""
        return np.asarray(raw, dtype=np.float64) >= self._bars.get(name, math.inf)

    def score(self, evidence: ArrayLike) -> Float64:
        """Share of held-out normals with less evidence, 0 to 1, float64 as shaped."""
        return self._reference.score(evidence)

    def contributions(self, raws: Mapping[str, float]) -> list[Part]:
        """What each member says of one event or session, in the given order; nothing of those it does not know."""
        parts = []
        for name, raw in raws.items():
            if name not in self.calibrations:
                continue
            tail, score = self.calibrations[name].of_one(raw)
            evidence = -self.weights[name] * math.log(tail) if raw >= self._bars.get(name, math.inf) else 0.0
            parts.append(Part(name, raw, tail, score, evidence))
        return parts

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "members": {
                name: {"weight": self.weights[name], "calibration": calibration.to_dict()}
                for name, calibration in self.calibrations.items()
            },
            "threshold": self.threshold,
            "floor": self.floor,
            "reference": self._reference.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        members = state["members"]
        return cls(
            {name: Calibration.from_dict(member["calibration"]) for name, member in members.items()},
            {name: float(member["weight"]) for name, member in members.items()},
            float(state["threshold"]),
            Calibration.from_dict(state["reference"]),
            float(state["floor"]),
        )


def budget_for(incidents_per_day: float, sessions_per_day: float) -> float:
    """The budget as a share of sessions for "at most this many false alarms a day at this rate"."""
    if not 0.0 < incidents_per_day < sessions_per_day:
        raise DataError(
            f"alert budget: {incidents_per_day} incidents a day out of {sessions_per_day} sessions a day is no share "
            "between 0 and 1; lower the first"
        )
    return incidents_per_day / sessions_per_day


def _weight(alarms: Sequence[Bool], alone: float) -> float:
    """1.0 while the newest tenth's alarms are what the older nine lead to expect.

    ``alarms``: for each of some levels, bool [n], oldest first. Where they are more than chance allows, ``k`` times
    what is expected, a tail claimed to be t is taken as k * t. The weight does so where it matters, at the tail
    ``alone`` that would ring alone: ``w * log(1 / alone) = log(1 / (k * alone))``.
    """
    excess = 1.0
    for alarm in alarms:
        newest = max(1, round(len(alarm) * NEWEST))
        older = len(alarm) - newest
        expected = newest * (1 + int(alarm[:older].sum())) / (older + 1)
        seen = int(alarm[older:].sum())
        # How much is a matter of what is expected: chance decides only whether there is anything to explain.
        if seen > _most_by_chance(expected):
            excess = max(excess, seen / expected)
    return max(0.0, 1.0 + math.log(excess) / math.log(alone))


def _raised(threshold: float, evidence: Float64, budget: float) -> float:
    """``threshold``, or where more held-out normals ring than the budget and chance allow for, the lowest at which no
    more than those do."""
    allowed = _most_by_chance(len(evidence) * budget)
    if int((evidence >= threshold).sum()) <= allowed:
        return threshold
    return float(np.sort(evidence)[len(evidence) - 1 - allowed]) + MARGIN


def _most_by_chance(expected: float) -> int:
    """What the number of rare events does not exceed with probability ``CHANCE`` where ``expected`` are expected
    (Poisson); at least one."""
    # In logarithms, as exp(-expected) is zero to a float from about 745 on.
    term, total, count = -expected, math.exp(-expected), 0
    while total < CHANCE:
        count += 1
        term += math.log(expected / count)
        total += math.exp(term)
    return max(1, count)
