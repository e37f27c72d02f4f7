"""A log's lines by bucket of time: a run without long gaps, whole buckets only.

Owns the choice of the run. Does not know rhythms. A log may hold lines of a wrong clock, or of two months with a year
between: what is learned from is the run of buckets, no gap in it longer than timeframes close in silence, that holds
most lines; its first and last bucket, which the log may not have whole, are left out.
"""

from dataclasses import dataclass

import numpy as np

from models.autolog.frames import EMPTY, chunk_of
from models.sessions import Float64, Int64


@dataclass(frozen=True, slots=True)
class Buckets:
    """n buckets in order, none left out: ``first`` the number of the first, ``bucket_s`` their length; ``keys`` the
    templates that have a column, the most frequent first; ``counts`` float64 [n, 2 + keys], of all lines, of each
    template's, and of the rest."""

    first: int
    bucket_s: float
    keys: tuple[int, ...]
    counts: Float64

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def middle(self) -> Float64:
        """When the middle of each was, seconds, float64 [n]."""
        middle: Float64 = (self.first + np.arange(len(self), dtype=np.float64) + 0.5) * self.bucket_s
        return middle


def buckets_of(time: Float64, ids: Int64, bucket_s: float, templates: int, most: int) -> Buckets:
    """From records' ``time`` float64 [n] (seconds) and template ``ids`` int64 [n], -1 where there is none: the newest
    ``most`` buckets of the run, columns for the ``templates`` most frequent templates in it."""
    chunk = chunk_of(time, bucket_s)
    first, last = _run(chunk, most)
    own = (chunk > first) & (chunk < last)
    size = max(0, last - first - 1)
    keys, number = np.unique(ids[own & (ids >= 0)], return_counts=True)
    chosen = keys[np.lexsort((keys, -number))][:templates]
    place = np.full(int(ids.max(initial=-1)) + 2, len(chosen) + 1, dtype=np.int64)
    place[chosen] = 1 + np.arange(len(chosen))
    width = len(chosen) + 2
    at = (chunk[own] - first - 1) * width + place[ids[own]]
    counts = np.bincount(at, minlength=size * width).reshape(size, width).astype(np.float64)
    counts[:, 0] = counts.sum(axis=1)
    return Buckets(first + 1, bucket_s, tuple(chosen.tolist()), counts)


def _run(chunk: Int64, most: int) -> tuple[int, int]:
    """First and last bucket of the run, the first moved up so that at most ``most`` lie between."""
    if not len(chunk):
        return 0, 0
    found, lines = np.unique(chunk, return_counts=True)
    run = np.concatenate([[0], np.cumsum(np.diff(found) > EMPTY)])
    best = int(np.bincount(run, weights=lines).argmax())
    inside = found[run == best]
    last = int(inside[-1])
    return max(int(inside[0]), last - most - 1), last
