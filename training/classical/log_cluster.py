"""LogCluster: how far a session's counts point away from every cluster of normal ones.

Lin, Zhang, Lou, Zhang, Chen, "Log clustering based problem identification for online service systems", ICSE 2016; as
the published loglizer does it. Owns the clusters. Knows nothing of order.

Counts are weighted by idf and compared by their cosine. The first sessions are clustered by complete linkage; each
further one joins the nearest cluster within ``MAX_DISTANCE``, whose centroid becomes the mean of all its sessions, or
opens one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from models.sessions import Float64, Int64
from training.classical.counts import Columns, Counts, idf

BOOTSTRAP = 1_000
"""Sessions clustered at once; the rest follow one by one."""
MAX_DISTANCE = 0.3
"""Cosine distance, 0 to 1: within it a session belongs to a cluster."""
BLOCK = 4_096
"""Sessions compared with all centroids at once."""


@dataclass(frozen=True, slots=True)
class LogCluster:
    """Raw output: cosine distance to the nearest of ``centroids`` float64 [clusters, columns + 1], unit length."""

    columns: Columns
    idf: Float64
    centroids: Float64
    published: float = float(np.nextafter(MAX_DISTANCE, np.inf))
    name: str = "log_cluster"

    @classmethod
    def fit(cls, sessions: Sequence[Counts]) -> Self:
        """Learn from normal sessions, oldest first. Raises DataError where they hold no event."""
        columns = Columns.fit(sessions)
        table = columns.table(sessions)
        weights = idf(table)
        vectors = _vectors(table.rows * weights)
        sums = _bootstrap(vectors, table.index[:BOOTSTRAP])
        for number in table.index[BOOTSTRAP:].tolist():
            vector = vectors[number]
            # A sum points where its mean does.
            similar = sums @ vector / (np.linalg.norm(sums, axis=1) * np.linalg.norm(vector))
            nearest = int(np.argmax(similar))
            if 1.0 - similar[nearest] <= MAX_DISTANCE:
                sums[nearest] += vector
            else:
                sums = np.vstack([sums, vector])
        return cls(columns, weights, _units(sums))

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """Raw outputs of sessions given as {template id: count}, float64 [n], 0.0 to 1.0."""
        return self.columns.score(sessions, self._raws)

    def _raws(self, rows: Float64) -> Float64:
        units = _units(_vectors(rows * self.idf))
        blocks = [units[start : start + BLOCK] for start in range(0, len(units), BLOCK)]
        similar = np.concatenate([(block @ self.centroids.T).max(axis=1) for block in blocks])
        return np.maximum(0.0, 1.0 - similar)


def _bootstrap(vectors: Float64, index: Int64) -> Float64:
    """Sum of the vectors of each cluster of the sessions ``index`` int64 [m], float64 [clusters, columns + 1]."""
    # Equal sessions merge at distance 0, so clusters of the distinct ones are clusters of all.
    chosen, counts = np.unique(index, return_counts=True)
    units = _units(vectors[chosen])
    labels = np.zeros(len(chosen), dtype=np.int64)
    if len(chosen) > 1:
        clustering = AgglomerativeClustering(
            n_clusters=None, distance_threshold=MAX_DISTANCE, metric="precomputed", linkage="complete"
        )
        labels = clustering.fit_predict(np.maximum(0.0, 1.0 - units @ units.T))
    sums = np.zeros((int(labels.max()) + 1, vectors.shape[1]), dtype=np.float64)
    np.add.at(sums, labels, vectors[chosen] * counts[:, None])
    return sums


def _vectors(rows: Float64) -> Float64:
    """``rows`` with one more column, 1.0 where all others are 0.0: sessions without any weight are alike, and at a
    right angle to all others."""
    return np.column_stack([rows, ~rows.any(axis=1)])


def _units(vectors: Float64) -> Float64:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)
