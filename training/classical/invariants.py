"""Invariants miner: linear relations with whole factors that the counts of nearly all normal sessions obey.

Lou, Fu, Yang, Xu, Li, "Mining invariants from console logs for system problem detection", USENIX ATC 2010; as the
published loglizer does it. Owns the invariants. Knows nothing of order.

An invariant is a few columns and a whole factor for each, so that the sum is 0 in ``SUPPORT`` of the sessions: files
opened = files closed. The search goes by length, over sets of columns that hold no shorter invariant, until there are
as many as the null space of the counts has dimensions. It is exponential in the length, hence the bounds ``LONGEST``
and ``MOST_CANDIDATES``. All invariants of the last length are kept, so that the order of columns does not matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np

from models.sessions import Bool, Float64, Int64
from training.classical.counts import Columns, Counts, CountTable

EPSILON = 0.5
"""A combination of counts below it counts as 0 where the dimension of the null space is estimated."""
SUPPORT = 0.98
"""Share of sessions that obey."""
SCALES = (1, 2, 3)
"""Values tried for the smallest factor of an invariant."""
LONGEST = 3
"""Columns of the longest invariant searched for."""
MOST_CANDIDATES = 50_000
"""Sets of columns tried at most at one length; where there are more the search ends at the length before."""
BROKEN = 1e-6
"""The published threshold of the sum by which a session breaks invariants."""
ZERO = 1e-8
BLOCK = 2_000_000
"""Cells computed at once."""


@dataclass(frozen=True, slots=True)
class Invariants:
    """Raw output: the sum over invariants of how far a session's counts are from 0.

    ``factors`` float64 [columns, invariants]; ``dimensions``: of the null space, as many as were looked for.
    """

    columns: Columns
    factors: Float64
    dimensions: int
    published: float = float(np.nextafter(BROKEN, np.inf))
    name: str = "invariants"

    @classmethod
    def fit(cls, sessions: Sequence[Counts]) -> Self:
        """Learn from normal sessions. Raises DataError where they hold no event."""
        columns = Columns.fit(sessions)
        table = columns.table(sessions)
        gram = (table.rows * table.weights[:, None]).T @ table.rows
        dimensions = _dimensions(table, gram)
        # A column without any event is an invariant of its own: the last one, of unseen templates, always is.
        width = len(gram)
        empty = np.flatnonzero(~table.rows.any(axis=0))
        found = [_unit(width, empty[k : k + 1], np.ones(1)) for k in range(len(empty))]
        free = np.flatnonzero(table.rows.any(axis=0))
        taken: set[tuple[int, ...]] = set()
        for length in range(2, LONGEST + 1):
            if len(found) >= dimensions or math.comb(len(free), length) > MOST_CANDIDATES:
                break
            candidates = _candidates(free, length, taken)
            factors, valid = _factors(table, gram, candidates)
            for chosen, factor in zip(candidates[valid], factors[valid], strict=True):
                found.append(_unit(width, chosen, factor))
                taken.add(tuple(chosen.tolist()))
        return cls(columns, np.column_stack(found), dimensions)

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """Raw outputs of sessions given as {template id: count}, float64 [n]."""
        return self.columns.score(sessions, lambda rows: np.abs(rows @ self.factors).sum(axis=1))


def _dimensions(table: CountTable, gram: Float64) -> int:
    """How many of the directions in which counts vary least are 0 in nearly all sessions."""
    _, vectors = np.linalg.eigh(gram)
    obeyed = table.weights @ (np.abs(table.rows @ vectors) < EPSILON) >= SUPPORT * len(table.index)
    return len(obeyed) if obeyed.all() else int(np.argmin(obeyed))


def _candidates(free: Int64, length: int, taken: set[tuple[int, ...]]) -> Int64:
    """Ascending sets of ``length`` columns that hold no set taken already, int64 [m, length]."""
    kept = [
        chosen
        for chosen in combinations(free.tolist(), length)
        if not any(part in taken for size in range(2, length) for part in combinations(chosen, size))
    ]
    return np.array(kept, dtype=np.int64).reshape(len(kept), length)


def _factors(table: CountTable, gram: Float64, candidates: Int64) -> tuple[Float64, Bool]:
    """Whole factors of each candidate, float64 [m, length], and whether they are an invariant, bool [m]."""
    factors = np.zeros(candidates.shape, dtype=np.float64)
    valid = np.zeros(len(candidates), dtype=bool)
    size = max(1, BLOCK // len(table.rows))
    for start in range(0, len(candidates), size):
        some = candidates[start : start + size]
        # The direction in which these columns vary least, its smallest entry scaled to a whole number.
        least = np.linalg.eigh(gram[some[:, :, None], some[:, None, :]])[1][:, :, 0]
        smallest = np.abs(least).argmin(axis=1)
        pivot = np.take_along_axis(least, smallest[:, None], axis=1)
        for scale in SCALES:
            untaken = np.flatnonzero((np.abs(pivot[:, 0]) > ZERO) & ~valid[start : start + size])
            whole = np.rint(least[untaken] * (scale / pivot[untaken]))
            sums = sum(table.rows[:, some[untaken, k]] * whole[:, k] for k in range(some.shape[1]))
            obeyed = table.weights @ (np.abs(sums) < ZERO) >= SUPPORT * len(table.index)
            accepted = obeyed & whole.all(axis=1)
            passed = untaken[accepted]
            factors[start + passed] = whole[accepted]
            valid[start + passed] = True
    return factors, valid


def _unit(width: int, columns: Int64, factors: Float64) -> Float64:
    """Factors of all ``width`` columns, 0.0 for those that are not among ``columns``."""
    whole = np.zeros(width, dtype=np.float64)
    whole[columns] = factors
    return whole
