"""A sample of training windows that goes into the bundle, for rehearsal when the model is fine-tuned later, and which
windows, of training and of live traffic, are never rehearsed.

Owns both choices. Does not know who teaches, nor how live traffic is read (``training.learning.traffic``).
"""

import io
import zlib
from collections.abc import Sequence

import numpy as np

from models.arrays import open_arrays
from models.rows import unique_rows
from models.sessions import Bool, Int64
from training.windows import windows

SAMPLE = 5_000
"""Distinct windows kept at most: about 200 KB."""
HELD = 5
"""One distinct window in so many is kept from teaching, for the gate."""


def sample_windows(sessions: Sequence[Int64], h: int, seed: int) -> bytes:
    """Distinct (history, next key) pairs with their counts, as npz bytes (``history`` int16 [k, h], ``key`` int16 [k],
    ``count`` int64 [k]); a random sample where there are more than ``SAMPLE``. The end of a session is a next key."""
    every = windows(sessions, h)
    cells = np.column_stack([every.history, every.key])
    # The marks for "before the session" and its end are negative, and rows are packed from numbers that are not.
    first, inverse = unique_rows(cells - cells.min())
    rows = cells[first].astype(np.int16)
    count = np.bincount(inverse, minlength=len(first)).astype(np.int64)
    if len(rows) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), SAMPLE, replace=False))
        rows, count = rows[chosen], count[chosen]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, history=rows[:, :h], key=rows[:, h], count=count)
    return buffer.getvalue()


def without_held(data: bytes, width: int) -> bytes:
    """A sample less the windows that the gate keeps for itself, told apart by their last ``width`` keys."""
    with open_arrays(data) as replay:
        every = {name: replay[name] for name in ("history", "key", "count")}
    buffer = io.BytesIO()
    history = every["history"]
    taught = ~held_windows(history[:, history.shape[1] - width :], every["key"])
    np.savez_compressed(buffer, **{name: cells[taught] for name, cells in every.items()})
    return buffer.getvalue()


def held_windows(history: Int64, key: Int64) -> Bool:
    """Which windows (``history`` int64 [k, h], next ``key`` int64 [k]) those are, bool [k]: by a hash of their keys, so
    that the same window is kept from teaching wherever it comes from, and by every later version."""
    rows = np.column_stack([history, key]).astype("<i4", order="C")
    return np.array([zlib.crc32(row) % HELD == 0 for row in rows], dtype=np.bool_)
