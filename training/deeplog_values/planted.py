"""Faults planted in normal lines: what limits are chosen to catch.

Owns what a fault is. Does not know how its deviations are come by, nor what limits make of them. No label is read, and
no anomaly: a fault is a normal line with one number moved.

A fault moves the number of one line by some standard deviations of the values as they are logged, and not of their
logarithms: of a long-tailed number that is a small step on the logarithm. Numbers on a logarithmic scale are moved up
only: what is never below zero and has a long tail fails by too much.
"""

import numpy as np

from models.deeplog_values.layout import ELAPSED, Position, transformed
from models.sessions import Float64
from training.deeplog_values.allocation import Off

SPAN = (3.0, 30.0)
"""Standard deviations of the least and of the largest fault. Less is hard to tell from what is normal, more is caught
by any limit."""
SIZES = tuple(np.geomspace(*SPAN, 8).tolist())
"""Even on a logarithm, as nothing says how large faults are. Were the largest less, a number whose tail reaches as far
would be left without a limit that stops still larger ones."""
LINES = 250
"""Lines of each number that are moved, at most, by each of the sizes."""


def faults(position: Position, values: Float64, normal: Off, std: float, side: int, random: np.random.Generator) -> Off:
    """One side's deviations of faults in ``values`` float64 [m] of a number, whose own are ``normal``."""
    if not side and position.unit > 0.0:
        return Off.none()
    chosen = np.tile(random.permutation(len(values))[:LINES], len(SIZES))
    size = np.repeat(SIZES, min(LINES, len(values))) * std
    was = values[chosen]
    moved = was + size if side else was - size
    if position.mask == ELAPSED:
        moved = np.maximum(moved, 0.0)
    shift = np.abs(transformed(moved, position.unit) - transformed(was, position.unit)) / position.std
    return Off(normal.prediction[chosen] + shift, normal.mean[chosen] + shift, normal.seen[chosen])
