"""How far a number may be off before it rings, at several false alarm rates at once.

Owns the scale of raw outputs and the table of limits. Does not know what is off from what, nor how limits are found.
"""

import numpy as np

from models.sessions import Float64, Int64

LEVELS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Raw outputs at which limits are kept. Of normal lines, (1 - confidence) / raw reach one: at confidence 0.99, 1 %
reach 1.0 and 0.1 % reach 10.0."""
ONE = LEVELS.index(1.0)
SIDES = 2
"""Below what was expected, and above it."""
FIRST, NEXT, MEAN = range(3)
"""What a number is off from: the prediction where the history does not have it, the prediction where it does, and the
mean."""
KINDS = 3


def of_reach(reach: Float64) -> Float64:
    """Limits float64 [positions, KINDS, SIDES, LEVELS] of a bundle of before there were any, which held one ``reach``
    float64 [positions, KINDS] for both sides, of which raw outputs were multiples."""
    return np.asarray(np.repeat(reach[:, :, None, None] * np.array(LEVELS), SIDES, axis=2))


def size_at(limits: Float64, raw: float) -> float:
    """How far a number with ``limits`` float64 [LEVELS] may be off for its raw output to be ``raw`` > 0.0 at most, but
    for rounding."""
    if raw <= LEVELS[0]:
        return float(limits[0]) * raw / LEVELS[0]
    return float(np.interp(raw, LEVELS, limits)) * max(1.0, raw / LEVELS[-1])


class Limits:
    """``table`` float64 [templates, width, KINDS, SIDES, LEVELS], above 0 and rising with the level."""

    def __init__(self, table: Float64) -> None:
        self._table = table
        self._flat = np.ascontiguousarray(table.reshape(-1, len(LEVELS)))

    def raws(self, rows: Int64, kind: Int64 | int, off: Float64) -> Float64:
        """Raw outputs float64 [n, width] of ``off`` float64 [n, width] (signed, NaN where there is nothing: 0.0) of
        templates ``rows`` int64 [n]; ``kind`` int64, broadcast. Between two levels it is interpolated, beyond
        them in proportion."""
        signed = np.nan_to_num(off, nan=0.0)
        width, kinds, sides = self._table.shape[1:4]
        place = ((rows[:, None] * width + np.arange(width)) * kinds + kind) * sides + (signed > 0.0)
        size = np.abs(signed)
        least = self._flat[place, 0]
        found: Float64 = np.asarray(LEVELS[0] * size / least)
        beyond = size > least
        if beyond.any():
            found[beyond] = _between(size[beyond], self._flat[place[beyond]])
        return found

    def normal(self, row: int, kind: Int64 | int) -> tuple[Float64, Float64]:
        """How far below and above the numbers of one template may be off at a raw output of 1, float64 [width] each."""
        own = self._table[row, np.arange(self._table.shape[1]), kind, :, ONE]
        return own[:, 0], own[:, 1]


def _between(size: Float64, limits: Float64) -> Float64:
    """Raw outputs float64 [m] of sizes beyond the first of their ``limits`` float64 [m, LEVELS]."""
    found = np.full(len(size), LEVELS[0])
    for level in range(len(LEVELS) - 1):
        low, high = limits[:, level], limits[:, level + 1]
        gap = high - low
        part = np.where(gap > 0.0, np.clip((size - low) / np.where(gap > 0.0, gap, 1.0), 0.0, 1.0), size >= low)
        found += (LEVELS[level + 1] - LEVELS[level]) * part
    return np.asarray(found * np.maximum(size / limits[:, -1], 1.0))
