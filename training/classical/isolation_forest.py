"""Isolation forest: how few random splits set a session's counts apart.

Liu, Ting, Zhou, "Isolation forest", ICDM 2008; scikit-learn's. Owns the forest. Knows nothing of order.

Plain counts, as idf weights would not change where a tree can split, except that they hide templates in every session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.ensemble import IsolationForest as Forest

from models.sessions import Float64
from training.classical.counts import Columns, Counts

TREES = 100
CONTAMINATION = 0.03
"""Share of training sessions that the published threshold calls anomalous."""


@dataclass(frozen=True, slots=True)
class IsolationForest:
    """Raw output: the isolation score, above 0 to 1; with unseen events 1 plus their share of the session.

    No tree splits on the column of unseen templates, as training has nothing there to split; a session that holds one
    is apart before the first split.
    """

    columns: Columns
    forest: Any
    published: float
    name: str = "isolation_forest"

    @classmethod
    def fit(cls, sessions: Sequence[Counts], seed: int) -> Self:
        """Learn from normal sessions. Raises DataError where they hold no event."""
        columns = Columns.fit(sessions)
        table = columns.table(sessions)
        forest = Forest(n_estimators=TREES, contamination=CONTAMINATION, random_state=seed)
        # Each session as often as it came: trees are grown on samples of 256.
        forest.fit(table.rows[table.index])
        return cls(columns, forest, float(np.nextafter(-forest.offset_, np.inf)))

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """Raw outputs of sessions given as {template id: count}, float64 [n]."""
        return self.columns.score(sessions, self._raws)

    def _raws(self, rows: Float64) -> Float64:
        unseen = rows[:, -1] / np.maximum(rows.sum(axis=1), 1.0)
        return np.where(unseen > 0.0, 1.0 + unseen, -np.asarray(self.forest.score_samples(rows), dtype=np.float64))
