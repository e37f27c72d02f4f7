"""What the quantitative LSTM reads: how often each key came in a window so far.

Owns the columns and the normalisation. Training and the service count here and nowhere else.
"""

import numpy as np
from numpy.typing import NDArray

from models.sessions import Int64
from models.vocabulary import EOS, UNK

Float32 = NDArray[np.float32]


def columns(size: int) -> int:
    """Columns for a vocabulary of ``size``: one for unknown keys, then one for each key in the vocabulary's order."""
    return size - EOS


def running_counts(windows: Int64, size: int) -> Float32:
    """Counts float32 [n, h, columns(size)] for ``windows`` int64 [n, h] of places in a vocabulary of ``size``.

    Row t counts steps 0 to t and is divided by h, so that the last one is the window's count vector and those before
    it say how it came about. The paper counts the window that ends at each step, for which 2h - 1 keys
    would have to be kept; within the window both are the same. Steps before the session count in no column, so a
    young session has small sums.
    """
    rows, h = windows.shape
    counts = np.zeros((rows, h, columns(size)), dtype=np.float32)
    row, step = np.nonzero(windows >= UNK)
    counts[row, step, np.maximum(windows[row, step] - EOS, 0)] = 1.0
    # Whole numbers until the division: sums in float32 are exact.
    np.cumsum(counts, axis=1, out=counts)
    counts /= h
    return counts
