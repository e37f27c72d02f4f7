"""Calibration: what a raw output means, told by the raw outputs of held-out normal sessions.

Owns one member's empirical distribution. Does not know the member, the other members, or thresholds (``ensemble``).
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError
from models.sessions import Float64, Int64

EXACT = 1000
"""Largest distinct values that are kept as they are: alarms are decided among them."""
COARSE = 1000
"""Steps in which the values below those are kept: enough for a score in per mille, and bundles stay small."""

_LARGEST = float(np.finfo(np.float64).max)


class Calibration:
    """Empirical distribution of raw outputs (larger is stranger) on held-out normals.

    Infinite outputs count as the largest or smallest float. NaN is "no judgement": left out when fitting, and neither
    strange nor above anybody when asked about.
    """

    def __init__(self, values: Float64, counts: Int64) -> None:
        """``values`` float64 [k], strictly increasing and finite; ``counts`` int64 [k], normals with that value."""
        self._values = values
        self._counts = counts
        self.size = int(counts.sum())
        """Normals that stand behind it."""
        # Normals below values[i]; one more place for what lies above all of them.
        self._below = np.concatenate([[0], np.cumsum(counts)])
        self._listed: tuple[list[float], list[int]] = values.tolist(), self._below.tolist()

    @classmethod
    def fit(cls, raws: ArrayLike) -> Self:
        """Learn from the raw outputs, float64 [n], of held-out normals. Raises DataError where none is a number."""
        array = np.asarray(raws, dtype=np.float64)
        finite = np.nan_to_num(array[~np.isnan(array)])
        if not len(finite):
            raise DataError("calibration: no raw output of a normal session; hold out at least one session")
        values, counts = np.unique(finite, return_counts=True)
        return cls(*_thin(values, counts.astype(np.int64)))

    def tail(self, raw: ArrayLike) -> Float64:
        """Probability that a normal is at least as strange, float64 as shaped: ``(1 + #{normals >= raw}) / (N + 1)``.

        The one added makes it a valid p-value: it is never zero, and small samples cannot claim rarities that they are
        too small to have seen.
        """
        array = np.asarray(raw, dtype=np.float64)
        at = self._place(array)
        tail = (1.0 + self.size - self._below[at]) / (self.size + 1.0)
        return np.where(np.isnan(array), 1.0, tail)

    def bar(self, tail: float) -> float:
        """The smallest raw output whose tail is at most ``tail`` (below 1): just above the last normal that is too
        common, so that what falls between two normals counts as the stranger one."""
        common = np.flatnonzero(self.tail(self._values) > tail)
        return float(np.nextafter(self._values[common[-1]], np.inf))

    def score(self, raw: ArrayLike) -> Float64:
        """Share of normals that are less strange, 0 to 1, float64 as shaped."""
        array = np.asarray(raw, dtype=np.float64)
        at = self._place(array)
        return np.where(np.isnan(array), 0.0, self._below[at] / self.size)

    def of_one(self, raw: float) -> tuple[float, float]:
        """``tail`` and ``score`` of one raw output, which numpy takes twenty times as long for."""
        if raw != raw:
            return 1.0, 0.0
        values, below = self._listed
        less = below[bisect_left(values, min(max(raw, -_LARGEST), _LARGEST))]
        return (1.0 + self.size - less) / (self.size + 1.0), less / self.size

    def _place(self, raw: Float64) -> Int64:
        """How many distinct values are smaller; infinite outputs are the largest numbers, as ``fit`` has them."""
        return np.searchsorted(self._values, np.minimum(np.maximum(raw, -_LARGEST), _LARGEST), side="left")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: distinct values and how many normals had each."""
        return {"values": self._values.tolist(), "counts": self._counts.tolist()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(np.array(state["values"], dtype=np.float64), np.array(state["counts"], dtype=np.int64))


def _thin(values: Float64, counts: Int64) -> tuple[Float64, Int64]:
    """Join small values where there are very many distinct ones; each group counts as its largest member, so that no
    tail becomes smaller than it is."""
    if len(values) <= EXACT + COARSE:
        return values, counts
    low = len(values) - EXACT
    ends = np.linspace(0, low, COARSE + 1).astype(np.int64)
    joined = np.add.reduceat(counts[:low], ends[:-1])
    return np.concatenate([values[ends[1:] - 1], values[low:]]), np.concatenate([joined, counts[low:]])
