"""How many lines each series is expected to have at a time of day, and how far counts scatter about that.

Owns the estimate and the transform that makes counts comparable. Does not know what a series is, nor when one rings.

Counts are taken for negative binomial with variance ``m + a * m**2`` (NB2; Cameron and Trivedi, Regression Analysis of
Count Data, 1998): ``m`` is the mean of the hour, ``a`` its overdispersion by the method of moments. A count's deviation
is the difference of its variance-stabilising transform from that of the mean (Anscombe, The transformation of Poisson,
binomial and negative-binomial data, Biometrika 35, 1948), about standard normal. His ``k - 3/4`` is taken as ``k``: it
has no root where counts scatter widely (``k = 1 / a`` below 3/4), and thresholds come from held-out deviations anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.sessions import Float64, Int64

DAY_S = 86_400.0
HOURS = 24
_OFFSET = 0.375
_POISSON = 1e-9
"""Overdispersion below which counts are as good as Poisson's."""
_SMOOTH = ((-1, 0.25), (0, 0.5), (1, 0.25))
_WEEKEND = (5, 6)
_THURSDAY = 3
"""1970-01-01."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Expected counts of S series. ``mean`` and ``excess`` (overdispersion) float64 [classes, hours, S]: one class, or
    weekdays and weekends; 24 hours (UTC), or one for a flat rate."""

    mean: Float64
    excess: Float64

    @classmethod
    def fit(cls, start: Float64, counts: Float64, *, hours: int, classes: int, least_excess: float = 0.0) -> Self:
        """From ``counts`` float64 [n > 0, S] of buckets whose middle is at ``start`` float64 [n], seconds. What a time
        of day lacks is taken from the hours beside it, from the other class, or from all. No series' overdispersion is
        below ``least_excess``, nor that of an hour below that of its series."""
        cell = _class_of(start, classes) * hours + _hour_of(start, hours).astype(np.int64) % hours
        shape = (classes, hours, counts.shape[1])
        number = np.bincount(cell, minlength=classes * hours).astype(np.float64).reshape(classes, hours, 1)
        mean = _ratio(_summed(cell, counts, shape), number)
        flat = cls(mean, np.zeros(shape))
        expected, _ = flat.at(start)
        spread = (counts - expected) ** 2 - expected
        squares = expected**2
        excess = _ratio(_summed(cell, spread, shape), _summed(cell, squares, shape))
        own = spread.sum(axis=0) / np.maximum(squares.sum(axis=0), np.finfo(np.float64).tiny)
        return cls(mean, np.maximum(np.maximum(excess, own), least_excess))

    @property
    def flat(self) -> bool:
        """Whether it is the same at all times."""
        return len(self.mean[0]) == 1

    def at(self, time: Float64) -> tuple[Float64, Float64]:
        """Mean and overdispersion of each series at n times (seconds, the middle of a bucket), float64 [n, S] each: the
        mean goes in straight lines from the middle of one hour to that of the next."""
        classes, hours, _ = self.mean.shape
        own, hour = _class_of(time, classes), _hour_of(time, hours)
        before = np.floor(hour - 0.5)
        share = (hour - 0.5 - before)[:, None]
        first, second = before.astype(np.int64) % hours, (before.astype(np.int64) + 1) % hours
        mean = (1.0 - share) * self.mean[own, first] + share * self.mean[own, second]
        return mean, self.excess[own, hour.astype(np.int64) % hours]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, six digits of each number."""
        return {"mean": _rounded(self.mean), "excess": _rounded(self.excess)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict``. Raises ValueError where the two differ in shape or hold what is no number."""
        mean, excess = (np.array(state[name], dtype=np.float64) for name in ("mean", "excess"))
        if mean.ndim != 3 or mean.shape != excess.shape or not mean.size:
            raise ValueError("a rhythm has a mean and an overdispersion for each class, hour and series")
        if not (np.isfinite(mean).all() and np.isfinite(excess).all() and (mean >= 0).all() and (excess >= 0).all()):
            raise ValueError("a rhythm holds what is no count")
        return cls(mean, excess)


def stabilised(count: Float64, excess: Float64) -> Float64:
    """Transform of counts whose standard deviation is about one whatever their mean."""
    wide = np.maximum(excess, _POISSON)
    raised = count + _OFFSET
    return np.where(excess > _POISSON, 2.0 / np.sqrt(wide) * np.arcsinh(np.sqrt(wide * raised)), 2.0 * np.sqrt(raised))


def count_of(value: Float64, excess: Float64) -> Float64:
    """The count that ``stabilised`` makes ``value`` of; 0 where there is none."""
    wide = np.maximum(excess, _POISSON)
    value = np.maximum(value, 0.0)
    found = np.where(excess > _POISSON, np.sinh(np.sqrt(wide) / 2.0 * value) ** 2 / wide, value**2 / 4.0)
    return np.maximum(found - _OFFSET, 0.0)


def _hour_of(time: Float64, hours: int) -> Float64:
    return (time % DAY_S) * (hours / DAY_S)


def _class_of(time: Float64, classes: int) -> Int64:
    """0 of a weekday, 1 of a day at the weekend (UTC); 0 of all where they are not told apart."""
    if classes == 1:
        return np.zeros(len(time), dtype=np.int64)
    weekday = (np.floor(time / DAY_S).astype(np.int64) + _THURSDAY) % 7
    return np.isin(weekday, _WEEKEND).astype(np.int64)


def weekend(time: Float64) -> Int64:
    """1 of each time (seconds, float64 [n]) that lies in a weekend (UTC), else 0, int64 [n]."""
    return _class_of(time, 2)


def _summed(cell: Int64, values: Float64, shape: tuple[int, int, int]) -> Float64:
    found = np.zeros((shape[0] * shape[1], shape[2]))
    np.add.at(found, cell, values)
    return found.reshape(shape)


def _ratio(above: Float64, below: Float64) -> Float64:
    """Smoothed over the hours beside each (round the clock); of what has nothing there, of both classes together, else
    of all."""
    found = np.broadcast_to(_divided(above.sum(axis=(0, 1)), below.sum(axis=(0, 1))), above.shape).copy()
    for numerator, denominator in (
        (_smooth(above.sum(axis=0, keepdims=True)), _smooth(below.sum(axis=0, keepdims=True))),
        (_smooth(above), _smooth(below)),
    ):
        known = np.broadcast_to(denominator > 0, above.shape)
        found = np.where(known, np.broadcast_to(_divided(numerator, denominator), above.shape), found)
    return np.maximum(found, 0.0)


def _smooth(values: Float64) -> Float64:
    if values.shape[1] == 1:
        return values
    return sum((weight * np.roll(values, shift, axis=1) for shift, weight in _SMOOTH), np.zeros(values.shape))


def _divided(above: Float64, below: Float64) -> Float64:
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


def _rounded(values: Float64) -> list[Any]:
    found = np.zeros(values.shape)
    some = values > 0
    digits = 10.0 ** (5 - np.floor(np.log10(values[some])))
    found[some] = np.round(values[some] * digits) / digits
    return [cells.tolist() for cells in found]
