"""The population stability index: how far one distribution over bins lies from another.

Owns the formula and what becomes of empty bins. Does not know what is counted.
"""

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError

SMALLEST = 1e-4
"""Smaller shares count as this much: one event in ten thousand. Without it a bin that is empty on one side would make
the index infinite."""


def psi(expected: ArrayLike, actual: ArrayLike, smallest: float = SMALLEST) -> float:
    """Population stability index of two distributions over the same bins, 0 where they are equal.

        PSI = sum over bins i of  (a_i - e_i) * log(a_i / e_i),    shares below ``smallest`` raised to it

    ``expected`` and ``actual``: counts or shares [k], at least 0, each taken as shares of its own sum. It is the
    symmetric Kullback-Leibler divergence (Jeffreys 1946), known by this name from credit scoring (Siddiqi, Credit Risk
    Scorecards, 2006), where 0.1 to 0.25 is read as a moderate and more as a significant shift. Of two samples of one
    distribution it is about ``(k - 1) * (1 / n + 1 / m)`` (Yurdakul, 2018): many bins need large samples.

    Raises DataError where the bins differ in number or one side is empty.
    """
    both = [np.asarray(side, dtype=np.float64) for side in (expected, actual)]
    if both[0].shape != both[1].shape:
        raise DataError(f"PSI of {both[0].shape} and {both[1].shape} bins; count both over the same ones")
    sums = [float(side.sum()) for side in both]
    if not min(sums) > 0:
        raise DataError("PSI of a distribution that holds nothing; count something first")
    e, a = (np.maximum(side / total, smallest) for side, total in zip(both, sums, strict=True))
    return float(((a - e) * np.log(a / e)).sum())
