"""Count vector with idf weights: rare templates count more (ECVC with idf; Landauer et al., FSE 2024).

Owns the weights and what they change of the distance; vectors and postings are the plain count vector's. Session
granularity. Knows nothing of order.

A template held by df of N training sessions weighs w = log10((1 + N) / df), one that training never saw weighs 1. The
distance sum w|a-b| / sum w max(a,b) of L1-normalised a, b depends on the weighted sizes A = sum wa and B = sum wb and
the weighted overlap O = sum w min(a,b) alone: it is (A + B - 2O) / (A + B - O), least where O / (A + B) is largest.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.baselines.count_vector import SMALLEST, CountVector, Mix, count_keys, vectors_of
from models.errors import DataError
from models.sessions import Float64, Int64

UNSEEN_WEIGHT = 1.0
"""Weight of a template that training never saw."""


class CountVectorIdf(CountVector):
    """Raw output: weighted distance to the nearest training vector, 0.0 (the same mix) to 1.0 (nothing in common)."""

    name = "count_vector_idf"

    def __init__(
        self,
        vectors: Iterable[Mapping[int, int]],
        weights: Mapping[int, float],
        learned: Iterable[Mapping[int, int]] = (),
    ) -> None:
        """``vectors`` and ``learned``: counts {template id: count} of sessions; ``weights``: of each of their
        templates. Raises DataError for a template without a weight and for a weight that is no positive number."""
        super().__init__(vectors, learned)
        self._weights = dict(weights)
        if not all(0.0 < weight < math.inf for weight in self._weights.values()):
            raise DataError("count-vector detector with idf: a weight is not a positive number")
        if not self._weights.keys() >= self._postings.keys():
            raise DataError("count-vector detector with idf: a template of training has no weight")
        self._sizes = np.array([self._size(mix) for mix in self._vectors], dtype=np.float64)

    @classmethod
    def fit(cls, sessions: Sequence[Int64]) -> Self:
        """Learn from normal sessions (each int64 [length] of template ids). Raises DataError without any event."""
        counted = [count_keys(session) for session in sessions if len(session)]
        if not counted:
            raise DataError("count-vector detector with idf: no event in the training sessions; give it at least one")
        held = Counter(key for counts in counted for key in counts)
        return cls(counted, {key: math.log10((1 + len(counted)) / df) for key, df in held.items()})

    def explain(self, counts: Mapping[int, int]) -> dict[str, Any]:
        """Distance and the departures from the nearest training vector with their weights, the weightiest first."""
        because = super().explain(counts)
        for difference in because["differences"]:
            difference["weight"] = self._weight(difference["template_id"])
        because["differences"].sort(key=lambda d: -abs(d["count"] - d["expected"]) * d["weight"])
        return because

    def _weight(self, key: int) -> float:
        return self._weights.get(key, UNSEEN_WEIGHT)

    def _least(self, mix: Mix, overlap: Float64) -> tuple[int, float]:
        sizes = self._size(mix) + self._sizes[: len(overlap)]
        row = int(np.argmax(overlap / sizes))
        size, best = float(sizes[row]), float(overlap[row])
        return row, max(SMALLEST, (size - 2.0 * best) / (size - best))

    def _size(self, mix: Mix) -> float:
        """Sum of the weighted shares of a mix, which holds an event."""
        return sum(self._weight(key) * count for key, count in mix) / sum(count for _, count in mix)

    def to_dict(self) -> dict[str, Any]:
        """The plain count vector's lists, and the templates with their weights."""
        weighted = {"weighted": list(self._weights), "weights": list(self._weights.values())}
        return {**super().to_dict(), **weighted}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        vectors, learned = vectors_of(state)
        return cls(vectors, dict(zip(state["weighted"], state["weights"], strict=True)), learned)
