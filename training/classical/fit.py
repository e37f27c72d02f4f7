"""The table of classical detectors, and their thresholds from held-out normal sessions.

Owns names and folds. Does not know how a method judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.errors import DataError
from models.sessions import Float64, Int64
from training.classical.counts import Counts
from training.classical.invariants import Invariants
from training.classical.isolation_forest import IsolationForest
from training.classical.log_cluster import LogCluster
from training.classical.one_class_svm import OneClassSvm
from training.classical.pca import Pca
from training.member import alone, held_out, require
from training.progress import Progress, silent

FOLDS = 5


class Classical(Protocol):
    """Judges sessions by their counts; a raw output is a float64, larger is stranger."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def published(self) -> float:
        """The raw output from which on the method, as published, calls a session anomalous; NaN where it has none."""

    def score(self, sessions: Sequence[Counts]) -> Float64:
        """Raw outputs float64 [n] of sessions given as {template id: count}."""


CLASSICAL: dict[str, Callable[[Sequence[Counts], int], Classical]] = {
    "pca": lambda sessions, _: Pca.fit(sessions),
    "isolation_forest": IsolationForest.fit,
    "one_class_svm": lambda sessions, _: OneClassSvm.fit(sessions),
    "log_cluster": lambda sessions, _: LogCluster.fit(sessions),
    "invariants": lambda sessions, _: Invariants.fit(sessions),
}
"""Name -> fit on normal sessions (oldest first) by a seed."""


@dataclass(frozen=True, slots=True)
class FittedClassical:
    """``detector`` fitted on all sessions; ``raws`` float64 [n] of each by a fit that did not see it; ``threshold``:
    raw output from which on it rings, chosen on those."""

    detector: Classical
    raws: Float64
    threshold: float


def fit_classical(name: str, sessions: Sequence[Counts], seed: int, progress: Progress = silent) -> FittedClassical:
    """Fit on normal sessions given as {template id: count}. Raises DataError for a name outside ``CLASSICAL``, and
    where there are fewer sessions than folds."""
    if name not in CLASSICAL:
        raise DataError(f"no classical detector {name!r}; there are {', '.join(CLASSICAL)}")
    require(len(sessions), FOLDS, name)
    fit = CLASSICAL[name]

    def raws_of(chosen: Int64, test: Int64) -> Float64:
        detector = fit([sessions[i] for i in chosen.tolist()], seed)
        return detector.score([sessions[i] for i in test.tolist()])

    raws = held_out(len(sessions), FOLDS, seed, raws_of, name, progress)
    return FittedClassical(fit(sessions, seed), raws, alone(raws))
