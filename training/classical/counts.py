"""Event counts of sessions as a matrix: one column for each template of training, one for all that it never saw.

Owns columns, deduplication and idf weights. Does not know what a method does with them.

The extra column is what keeps an unseen template in sight: without it a session of nothing but new events is a row of
zeros. Published code drops such columns unless told otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.errors import DataError
from models.sessions import Float64, Int64

Counts = Mapping[int, int]
"""Events of a session by template id."""


@dataclass(frozen=True, slots=True)
class CountTable:
    """Distinct count vectors: ``rows`` float64 [u, columns], and which of them each session is, ``index`` int64 [n]."""

    rows: Float64
    index: Int64

    @property
    def weights(self) -> Float64:
        """Sessions with each row, float64 [u]."""
        return np.bincount(self.index, minlength=len(self.rows)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Columns:
    """``keys`` int64 [k], ascending: the templates of training. Column k is for all others."""

    keys: Int64

    @classmethod
    def fit(cls, sessions: Sequence[Counts]) -> Self:
        """From normal sessions. Raises DataError where they hold no event."""
        keys = sorted({key for counts in sessions for key, count in counts.items() if count})
        if not keys:
            raise DataError("no event in the training sessions; give at least one session")
        return cls(np.array(keys, dtype=np.int64))

    def table(self, sessions: Sequence[Counts]) -> CountTable:
        """Distinct rows of ``len(keys) + 1`` columns, in the order in which they first come."""
        found: dict[tuple[tuple[int, int], ...], int] = {}
        index = [found.setdefault(tuple(sorted(counts.items())), len(found)) for counts in sessions]
        width = len(self.keys) + 1
        row = np.repeat(np.arange(len(found)), [len(counts) for counts in found])
        key = np.array([key for counts in found for key, _ in counts], dtype=np.int64)
        count = np.array([count for counts in found for _, count in counts], dtype=np.float64)
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        column = np.where(self.keys[at] == key, at, width - 1)
        cells = np.bincount(row * width + column, weights=count, minlength=len(found) * width)
        return CountTable(cells.reshape(len(found), width).astype(np.float64), np.array(index, dtype=np.int64))

    def score(self, sessions: Sequence[Counts], raws: Callable[[Float64], Float64]) -> Float64:
        """Raw outputs float64 [n] of sessions, by ``raws`` of their distinct rows."""
        if not len(sessions):
            return np.empty(0, dtype=np.float64)
        table = self.table(sessions)
        return raws(table.rows)[table.index]


def idf(table: CountTable) -> Float64:
    """Weight of each column, ``ln(N / df)``, float64 [columns]; one that no session holds weighs as if one did."""
    df = table.weights @ (table.rows > 0)
    weights: Float64 = np.log(len(table.index) / np.maximum(df, 1.0))
    return weights
