"""Count vector (ECVC): how far a session's mix of templates is from the nearest one seen in training.

Landauer, Skopik, Wurzenberger, "A critical review of common log data sets used for evaluation of sequence-based
anomaly detection techniques", FSE 2024. Owns the distinct training vectors. Session granularity. Knows nothing of
order.

For L1-normalised vectors a, b the distance sum|a-b| / sum max(a,b) depends only on their overlap o = sum min(a,b):
sum|a-b| = 2 - 2o and sum max = 2 - o. Only keys that both hold add to the overlap, so a posting list for each key is
all that is needed; keys unseen in training lower the overlap by their share without a dimension of their own.

Vectors that people called normal later are learned beside training's. What a session departs in is always told from
training's alone, so that a cause keeps its name in every version; a learned vector makes normal what departs as it
does, as far as a rule about it would have reached (``models.rules``).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.rules import WIDENED
from models.sessions import Float64, Int64

# Counts divided by their greatest common divisor, in order of the template id: equal exactly where the normalised
# vectors are equal, without comparing floats.
Mix = tuple[tuple[int, int], ...]

# What a session that equals no training vector gets at least, should rounding ever bring its overlap to one.
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """One template in which a session departs from its nearest training vector."""

    template: int
    count: int
    """Events of this template in the session."""
    expected: float
    """Events of it that a session of this length and the nearest training mix would hold."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The training vector nearest to a session."""

    distance: float
    counts: dict[int, int]
    """The training session's counts, as first seen in training."""
    differences: tuple[Difference, ...]
    """Largest departure first; empty where the mix is equal."""


class CountVector:
    """Raw output: distance to the nearest training vector, 0.0 (the same mix) to 1.0 (nothing in common)."""

    name = "count_vector"

    def __init__(self, vectors: Iterable[Mapping[int, int]], learned: Iterable[Mapping[int, int]] = ()) -> None:
        """``vectors``: counts {template id: count} of training sessions, ``learned`` of those that were called normal
        later; equal mixes are kept once, the first one."""
        self._vectors: dict[Mix, dict[int, int]] = {}
        for vector in vectors:
            self._vectors.setdefault(mix_of(vector), dict(vector))
        self._trained = len(self._vectors)
        for vector in learned:
            self._vectors.setdefault(mix_of(vector), dict(vector))
        self._rows = list(self._vectors.values())
        self._places = {mix: place for place, mix in enumerate(self._vectors)}
        postings: dict[int, tuple[list[int], list[float]]] = {}
        for row, mix in enumerate(self._vectors):
            total = sum(count for _, count in mix)
            for key, count in mix:
                rows, shares = postings.setdefault(key, ([], []))
                rows.append(row)
                shares.append(count / total)
        self._postings = {
            key: (np.array(rows, dtype=np.int64), np.array(shares, dtype=np.float64))
            for key, (rows, shares) in postings.items()
        }

    def __len__(self) -> int:
        return len(self._vectors)

    @classmethod
    def fit(cls, sessions: Sequence[Int64]) -> Self:
        """Learn from normal sessions (each int64 [length] of template ids). Raises DataError without any event."""
        counted = [count_keys(session) for session in sessions if len(session)]
        if not counted:
            raise DataError("count-vector detector: no event in the training sessions; give it at least one session")
        return cls(counted)

    def score_counts(self, counts: Sequence[Mapping[int, int]]) -> Float64:
        """Raw output float64 [n] for sessions given as {template id: count}; an empty session gets 0.0."""
        known: dict[Mix, float] = {}
        scores = np.empty(len(counts), dtype=np.float64)
        for row, session in enumerate(counts):
            mix = mix_of(session)
            if mix not in known:
                normal = not mix or mix in self._vectors or self._learned(session)
                known[mix] = 0.0 if normal else self._nearest_row(mix)[1]
            scores[row] = known[mix]
        return scores

    def _learned(self, session: Mapping[int, int]) -> bool:
        """Whether a session departs from training as a learned vector does."""
        if not self._reach:
            return False
        departs, distance = self.departure(session)
        return distance <= self._reach.get(departs, -1.0)

    @cached_property
    def _reach(self) -> dict[tuple[str, ...], float]:
        """Departures of the learned vectors, and up to which distance each is normal."""
        found: dict[tuple[str, ...], float] = {}
        for vector in self._rows[self._trained :]:
            departs, distance = self.departure(vector)
            found[departs] = max(found.get(departs, 0.0), WIDENED * distance)
        return found

    def nearest(self, counts: Mapping[int, int]) -> Nearest:
        """The training vector nearest to a session that holds at least one event, and where the two differ."""
        mix = mix_of(counts)
        if not mix:
            raise DataError("nearest count vector: the session holds no event")
        if mix in self._vectors:
            return Nearest(0.0, self._vectors[mix], ())
        row, distance = self._nearest_row(mix)
        train = self._rows[row]
        scale = sum(counts.values()) / sum(train.values())
        differences = [
            Difference(key, counts.get(key, 0), train.get(key, 0) * scale) for key in counts.keys() | train.keys()
        ]
        differences = [d for d in differences if not math.isclose(d.count, d.expected)]
        differences.sort(key=lambda d: (-abs(d.count - d.expected), d.template))
        return Nearest(distance, train, tuple(differences))

    def departure(self, counts: Mapping[int, int]) -> tuple[tuple[str, ...], float]:
        """Which templates a session holds that its nearest training vector lacks (new), lacks (gone), and holds more or
        fewer of, as ``template:which`` in order of the template; and the distance. A training vector is taken as often
        as its events go into the session's, at least once. Learned ones are left aside."""
        mix = mix_of(counts)
        if not mix:
            return (), 0.0
        place = self._places.get(mix, self._trained)
        row, apart = (place, 0.0) if place < self._trained else self._nearest_row(mix, self._trained)
        nearest = self._rows[row]
        times = max(1, sum(counts.values()) // sum(nearest.values()))
        found = []
        for key in sorted(counts.keys() | nearest.keys()):
            have, expected = counts.get(key, 0), times * nearest.get(key, 0)
            if have != expected:
                which = "new" if not expected else "gone" if not have else "more" if have > expected else "fewer"
                found.append(f"{key}:{which}")
        return tuple(found), apart

    def _nearest_row(self, mix: Mix, first: int | None = None) -> tuple[int, float]:
        """Row and distance of the nearest of the ``first`` vectors (None: of all) for a mix that equals none of
        them."""
        total = sum(count for _, count in mix)
        overlap = np.zeros(len(self._vectors), dtype=np.float64)
        for key, count in mix:
            posting = self._postings.get(key)
            if posting is not None:
                rows, shares = posting
                overlap[rows] += self._weight(key) * np.minimum(shares, count / total)
        return self._least(mix, overlap[:first])

    def _weight(self, _key: int) -> float:
        """What a share of this template counts."""
        return 1.0

    def _least(self, _mix: Mix, overlap: Float64) -> tuple[int, float]:
        """Row and distance of the nearest vector by the mix's ``overlap`` float64 [k] with each of the first k."""
        row = int(np.argmax(overlap))
        best = float(overlap[row])
        return row, max(SMALLEST, (2.0 - 2.0 * best) / (2.0 - best))

    def explain(self, counts: Mapping[int, int]) -> dict[str, Any]:
        """Distance and the departures from the nearest training vector, the largest first."""
        nearest = self.nearest(counts)
        return {
            "distance": nearest.distance,
            "differences": [
                {"template_id": d.template, "count": d.count, "expected": d.expected} for d in nearest.differences
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain lists: for each vector its template ids and their counts; and how many of them, the last ones, were
        learned, where any were."""
        state: dict[str, Any] = {
            "keys": [list(vector) for vector in self._rows], "counts": [list(vector.values()) for vector in self._rows]
        }  # fmt: skip
        learned = len(self._rows) - self._trained
        return state | ({"learned": learned} if learned else {})

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(*vectors_of(state))


def vectors_of(state: Mapping[str, Any]) -> tuple[list[dict[int, int]], list[dict[int, int]]]:
    """Vectors of a plain state: training's, and the learned ones."""
    vectors = [dict(zip(*pair, strict=True)) for pair in zip(state["keys"], state["counts"], strict=True)]
    trained = len(vectors) - int(state.get("learned", 0))
    return vectors[:trained], vectors[trained:]


def count_keys(session: Int64) -> dict[int, int]:
    """Counts {template id: count} of a session int64 [length]."""
    keys, counts = np.unique(session, return_counts=True)
    return dict(zip(keys.tolist(), counts.tolist(), strict=True))


def mix_of(counts: Mapping[int, int]) -> Mix:
    """Counts reduced by their greatest common divisor; zero counts are dropped."""
    present = sorted((key, count) for key, count in counts.items() if count)
    divisor = math.gcd(*(count for _, count in present))
    return tuple((key, count // divisor) for key, count in present)
