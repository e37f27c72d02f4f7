"""How far a number may be off: quantiles of its held-out deviations.

Owns the estimate. Does not know what deviates.

Where there are samples enough the quantile is empirical; beyond, excesses over the last level that still has some are
taken for exponential (peaks over threshold with shape 0; Siffer et al., KDD 2017, use it for streams). A Gaussian would
not do: pauses and durations have long tails even as logarithms.
"""

import numpy as np

from models.sessions import Float64

LEAST_BEYOND = 5
"""Samples beyond a level for it to be empirical."""
LEAST_REACH = 0.5
"""Standard deviations of the number; what is small beside its own spread is no fault, however well it is predicted."""
_PRIOR, _PRIOR_SCALE = 2.0, 0.5
"""The scale of excesses, in standard deviations of the values, as if this many more samples had said so: five alone
would say anything. Beyond its 95th percentile a Gaussian's is 0.4."""


def reaches(deviations: Float64, shares: Float64, spread: float = 1.0) -> Float64:
    """What each of ``shares`` float64 [k] of new deviations will exceed, float64 [k], judged by ``deviations`` float64
    [n >= 1], of one side (those of the other at most 0), in standard deviations of the number; ``spread`` is what its
    values vary by in these."""
    ordered = np.sort(deviations)
    number = len(ordered)
    # A new value is one of n + 1, so that the largest of n is exceeded by one in n + 1.
    beyond = np.maximum(shares, min(0.5, LEAST_BEYOND / (number + 1)))
    place = np.minimum(number, np.ceil((number + 1) * (1.0 - beyond)).astype(np.int64)) - 1
    level = ordered[place]
    above = np.append(np.cumsum(ordered[::-1])[::-1], 0.0)[place + 1]
    count = number - place - 1
    prior = _PRIOR_SCALE * spread
    scale = (above - count * level + _PRIOR * prior) / (count + _PRIOR)
    return np.asarray(np.maximum(LEAST_REACH, level + scale * np.log(beyond / shares)))
