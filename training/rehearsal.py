"""A sample of training windows that goes into the bundle, for rehearsal when the model is fine-tuned later."""

import io
from collections import Counter
from collections.abc import Sequence

import numpy as np

from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import END

SAMPLE = 5_000
"""Distinct windows kept at most: about 200 KB."""


def sample_windows(sessions: Sequence[Int64], h: int, seed: int) -> bytes:
    """Distinct (history, next key) pairs with their counts, as npz bytes (``history`` int16 [k, h], ``key`` int16 [k],
    ``count`` int64 [k]); a random sample where there are more than ``SAMPLE``. The end of a session is a next key."""
    counts: Counter[tuple[int, ...]] = Counter()
    for session in sessions:
        padded = [BEFORE_SESSION] * h + session.tolist() + [END]
        counts.update(tuple(padded[i : i + h + 1]) for i in range(len(padded) - h))
    rows = np.array(list(counts), dtype=np.int16)
    count = np.array(list(counts.values()), dtype=np.int64)
    if len(rows) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), SAMPLE, replace=False))
        rows, count = rows[chosen], count[chosen]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, history=rows[:, :h], key=rows[:, h], count=count)
    return buffer.getvalue()
