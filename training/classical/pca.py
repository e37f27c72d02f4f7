"""PCA: what of a session's counts lies outside the few directions in which normal sessions vary.

Xu, Huang, Fox, Patterson, Jordan, "Detecting large-scale system problems by mining console logs", SOSP 2009. Owns the
normal subspace. Knows nothing of order.

Counts are weighted by idf and centred; the residual's squared length (SPE) is the raw output. Its published threshold
is that of Jackson and Mudholkar (1979), at a false-alarm rate of 0.001 were the residual normally distributed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.sessions import Float64
from training.classical.counts import Columns, Counts, idf

VARIANCE = 0.95
"""Share of the variance that the normal subspace takes."""
C_ALPHA = 3.2905
"""The published code's normal quantile."""
ROUNDING = 1e-9
"""A residual up to it, beside the size of the vector, is arithmetic."""


@dataclass(frozen=True, slots=True)
class Pca:
    """``idf``, ``mean`` float64 [columns]; ``axes`` float64 [columns, k], orthonormal; ``published``: raw output from
    which on the method itself calls a session anomalous."""

    columns: Columns
    idf: Float64
    mean: Float64
    axes: Float64
    published: float
    name: str = "pca"

    @classmethod
    def fit(cls, sessions: Sequence[Counts]) -> Self:
        """Learn from normal sessions. Raises DataError where they hold no event."""
        columns = Columns.fit(sessions)
        table = columns.table(sessions)
        weights = idf(table)
        rows = table.rows * weights
        share = table.weights / len(sessions)
        mean = share @ rows
        centred = rows - mean
        values, vectors = np.linalg.eigh((centred * share[:, None]).T @ centred)
        values = np.maximum(values[::-1], 0.0)
        total = float(values.sum())
        kept = int(np.searchsorted(np.cumsum(values), VARIANCE * total)) + 1 if total > 0.0 else 0
        return cls(columns, weights, mean, vectors[:, ::-1][:, :kept], _q_alpha(values[kept:]))

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """SPE of sessions given as {template id: count}, float64 [n]."""
        return self.columns.score(sessions, self._spe)

    def _spe(self, rows: Float64) -> Float64:
        centred = rows * self.idf - self.mean
        residual = centred - centred @ self.axes @ self.axes.T
        spe = (residual**2).sum(axis=1)
        return np.where(spe > ROUNDING**2 * (centred**2).sum(axis=1), spe, 0.0)


def _q_alpha(values: Float64) -> float:
    """Limit of the SPE by the variances ``values`` float64 [columns - k] outside the subspace; where there are none
    anything above rounding, NaN where the formula has no value."""
    phi1, phi2, phi3 = (float((values**power).sum()) for power in (1, 2, 3))
    if phi1 <= ROUNDING:
        return ROUNDING
    h0 = 1.0 - 2.0 * phi1 * phi3 / (3.0 * phi2**2)
    base = C_ALPHA * math.sqrt(2.0 * phi2 * h0**2) / phi1 + 1.0 + phi2 * h0 * (h0 - 1.0) / phi1**2
    if h0 == 0.0 or base <= 0.0:
        return math.nan
    return float(np.nextafter(phi1 * base ** (1.0 / h0), np.inf))
