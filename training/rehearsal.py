"""A sample of training windows that goes into the bundle, for rehearsal when the model is fine-tuned later."""

import io
from collections.abc import Sequence

import numpy as np

from models.deeplog.rows import unique_rows
from models.sessions import Int64
from training.deeplog.windows import windows

SAMPLE = 5_000
"""Distinct windows kept at most: about 200 KB."""


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
