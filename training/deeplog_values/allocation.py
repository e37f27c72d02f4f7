"""Where false alarms are spent: the limits of every number that together catch most faults for so many of them.

Owns the choice between numbers and sides. Does not know what a fault is, nor the network.

A limit that a share a of normal deviations exceed costs a false alarm in 1 / a lines that have the number, and catches
what part of the faults it catches. The best limits for so many false alarms in all are those where one more would catch
the same number of faults wherever it were spent (Neyman and Pearson's lemma, over numbers), so that one price decides
for all of them: each number takes the share at which faults caught, less price times false alarms, are most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.deeplog_values.limits import FIRST, KINDS, MEAN, NEXT
from models.sessions import Bool, Float64, Int64
from training.deeplog_values.ranges import reaches

SHARES = np.geomspace(3e-5, 0.1, 24)
"""Of a number's deviations that may exceed a limit. A limit never becomes farther than the least of them: what has no
long tail is not free to be anything."""
_LEAST_OF_A_KIND = 10
"""Deviations, with a history or without, to make a limit of their own."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Off:
    """How far m numbers are off on one side (the other side is below 0), float64 [m] each: from the prediction and from
    the mean; ``seen`` bool [m]: the history has the number."""

    prediction: Float64
    mean: Float64
    seen: Bool

    @classmethod
    def none(cls) -> Self:
        return cls(np.empty(0), np.empty(0), np.empty(0, dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Candidates:
    """The limits that one side of one number can have: ``limits`` float64 [KINDS, shares], by the share of deviations
    beyond; the false alarms ``cost`` and the faults ``caught`` in a line, float64 [shares]."""

    limits: Float64
    cost: Float64
    caught: Float64


def candidates(normal: Off, faults: Off, rate: float, spread: float = 1.0) -> Candidates:
    """From the ``normal`` deviations of a number that ``rate`` of all lines have, one at least, and from planted
    ``faults``; ``spread``: see ``reaches``. What the prediction and the mean let through is much the same, so both have
    the whole share."""
    told = normal.seen
    every = np.ones(len(told), dtype=np.bool_)
    # Of the kind of which there are too few, all of them say more than those few.
    first, after = (kind if kind.sum() >= _LEAST_OF_A_KIND else every for kind in (~told, told))
    limits = np.empty((KINDS, len(SHARES)))
    limits[FIRST] = reaches(normal.prediction[first], SHARES, spread)
    limits[NEXT] = reaches(normal.prediction[after], SHARES, spread)
    limits[MEAN] = reaches(normal.mean, SHARES, spread)
    if not len(faults.seen):
        return Candidates(limits, rate * SHARES, np.zeros(len(SHARES)))
    reach = np.where(faults.seen, limits[NEXT, :, None], limits[FIRST, :, None])
    caught = (faults.prediction >= reach) | (faults.mean >= limits[MEAN, :, None])
    return Candidates(limits, rate * SHARES, rate * caught.mean(axis=1))


def spend(given: Sequence[Candidates], rates: Float64) -> Float64:
    """Limits float64 [len(given), KINDS, LEVELS] that together ring on ``rates`` float64 [LEVELS], falling, of normal
    lines."""
    cost, caught = np.stack([one.cost for one in given]), np.stack([one.caught for one in given])
    limits = np.stack([one.limits for one in given])
    rows = np.arange(len(given))
    found = np.stack([limits[rows, :, _chosen(cost, caught, rate)] for rate in rates.tolist()], axis=2)
    return np.asarray(np.maximum.accumulate(found, axis=2))


def _chosen(cost: Float64, caught: Float64, rate: float) -> Int64:
    """The option of each row, int64 [rows], at the least price at which all cost at most ``rate``."""
    low, high = 1e-3, 1e6
    rows = np.arange(len(cost))
    for _ in range(_HALVINGS):
        price = float(np.sqrt(low * high))
        options = np.argmax(caught - price * cost, axis=1)
        if cost[rows, options].sum() <= rate:
            high = price
        else:
            low = price
    return np.asarray(np.argmax(caught - high * cost, axis=1))
