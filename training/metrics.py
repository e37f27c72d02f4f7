"""Figures of a binary judgement: confusion counts and what follows from them.

Owns the formulas, the one for another prevalence among them. Knows nothing of detectors, thresholds or data sets.

Where a ratio has no denominator (no alarm, no anomaly) it is 0.0, as in scikit-learn's default.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of judged sessions (or lines): ``tp`` and ``fn`` anomalous, ``fp`` and ``tn`` normal."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def fpr(self) -> float:
        """False alarms as a share of the normal ones."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient, -1 to 1."""
        margins = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return _ratio(self.tp * self.tn - self.fp * self.fn, math.sqrt(margins))

    def precision_at(self, prevalence: float) -> float:
        """P*: the precision where anomalies are the share ``prevalence`` of all, not the share of this sample.

        ``P* = pi R / (pi R + (1 - pi) FPR)``. A sample with as many anomalies as normals flatters plain precision.
        """
        hits = prevalence * self.recall
        return _ratio(hits, hits + (1.0 - prevalence) * self.fpr)

    def f1_at(self, prevalence: float) -> float:
        """F1*: the harmonic mean of P* and recall."""
        precision = self.precision_at(prevalence)
        return _ratio(2.0 * precision * self.recall, precision + self.recall)


def confusion(predicted: ArrayLike, actual: ArrayLike) -> Confusion:
    """Count ``predicted`` against ``actual``, both bool [n] (or 0/1). Raises DataError where the shapes differ."""
    alarms = np.asarray(predicted, dtype=bool)
    labels = np.asarray(actual, dtype=bool)
    if alarms.shape != labels.shape:
        raise DataError(f"confusion: {alarms.shape} predictions for {labels.shape} labels; give one for each")
    return Confusion(
        tp=int(np.sum(alarms & labels)),
        fp=int(np.sum(alarms & ~labels)),
        fn=int(np.sum(~alarms & labels)),
        tn=int(np.sum(~alarms & ~labels)),
    )


def auc(scores: ArrayLike, actual: ArrayLike) -> float:
    """Area under the ROC curve of ``scores`` float [n]: the share of pairs (anomalous, normal) ranked the right way
    round, ties counting half. Raises DataError where one class is missing or a score is not a number."""
    values = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(actual, dtype=bool)
    if values.shape != labels.shape:
        raise DataError(f"auc: {values.shape} scores for {labels.shape} labels; give one for each")
    if np.isnan(values).any():
        raise DataError("auc: a score is not a number; leave such rows out")
    anomalous, normal = values[labels], np.sort(values[~labels])
    if not len(anomalous) or not len(normal):
        raise DataError("auc: needs at least one anomalous and one normal row")
    below = np.searchsorted(normal, anomalous, side="left")
    up_to = np.searchsorted(normal, anomalous, side="right")
    return float((below + up_to).sum() / (2.0 * len(anomalous) * len(normal)))


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
