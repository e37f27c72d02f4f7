"""One-class SVM: how far outside the region of normal counts a session lies.

Schölkopf et al., "Estimating the support of a high-dimensional distribution", Neural Computation 2001; scikit-learn's.
Owns the region. Knows nothing of order.

Counts are weighted by idf. Predictions of the library are +1 and -1; a published table compares them with 0/1 labels,
which makes every normal session a false alarm. Here only the signed distance is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.svm import OneClassSVM as Svm

from models.sessions import Float64
from training.classical.counts import Columns, Counts, idf

NU = 0.03
"""Share of training sessions that may lie outside; the isolation forest's contamination."""
TOLERANCE = 1e-3
"""To which the library solves: what lies this near to the boundary is on it, as the commonest sessions do."""


@dataclass(frozen=True, slots=True)
class OneClassSvm:
    """Raw output: minus the decision function, above 0 outside the region."""

    columns: Columns
    idf: Float64
    svm: Any
    published: float = TOLERANCE
    name: str = "one_class_svm"

    @classmethod
    def fit(cls, sessions: Sequence[Counts]) -> Self:
        """Learn from normal sessions. Raises DataError where they hold no event."""
        columns = Columns.fit(sessions)
        table = columns.table(sessions)
        weights = idf(table)
        rows = table.rows * weights
        svm = Svm(kernel="rbf", nu=NU, gamma=_gamma(rows, table.weights), tol=TOLERANCE)
        svm.fit(rows, sample_weight=table.weights)
        return cls(columns, weights, svm)

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """Raw outputs of sessions given as {template id: count}, float64 [n]."""
        return self.columns.score(sessions, lambda rows: -np.asarray(self.svm.decision_function(rows * self.idf)))


def _gamma(rows: Float64, weights: Float64) -> float:
    """The library's ``scale``, 1 / (columns * variance of all cells), with every session counted; 1.0 without
    variance."""
    cells = np.average(rows, axis=0, weights=weights).mean()
    variance = float(np.average((rows - cells) ** 2, axis=0, weights=weights).mean())
    return 1.0 / (rows.shape[1] * variance) if variance > 0.0 else 1.0
