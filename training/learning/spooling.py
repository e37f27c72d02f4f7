"""Replayed batches put by as the service spools live ones, in memory.

Owns what is kept, and the bound. Does not know what is learned from it; the form is ``models.spool``'s.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl

from models.members.event import Observed
from models.sessions import Bool, Int64
from models.spool import closings as ends
from models.spool import rows
from models.spool.layout import Layout
from models.spool.reader import LIMIT, Spooled
from training.player import Heard
from training.stream import Batch


class ReplayedTraffic:
    """Distinct events and closed sessions of a replay with what became of them: at most ``limit`` of each, the
    newest. ``tail`` keys are kept of a session."""

    def __init__(self, tail: int, limit: int = LIMIT) -> None:
        self._tail = tail
        self._limit = limit
        self._layout: Layout | None = None
        self._rows: dict[bytes, int] = {}
        self._ends: dict[ends.Packed, tuple[int, ends.First]] = {}

    def add(self, batch: Batch, heard: Heard) -> None:
        """A batch and what was left of it."""
        key = batch.events.key[batch.windows.row]
        observed = Observed(batch.windows, key, batch.texts)
        if len(key):
            if self._layout is None:
                self._layout = Layout.of(observed, bool(batch.texts), self._tail)
            packed = rows.pack(self._layout, observed, _marked(len(key), heard.rang), heard.silenced)
            for name, times in Counter(packed).items():
                self._rows[name] = self._rows.pop(name, 0) + times
        rang = _marked(len(heard.closings), heard.ends_rang)
        for end, closing in zip(ends.pack(heard.closings, rang, heard.ends_silenced), heard.closings, strict=True):
            count, first = self._ends.pop(end, (0, ends.first(closing)))
            self._ends[end] = count + 1, first
        while len(self._rows) > self._limit:
            del self._rows[next(iter(self._rows))]
        while len(self._ends) > self._limit:
            del self._ends[next(iter(self._ends))]

    def read(self) -> Spooled:
        """What there is, as the learner reads a spool."""
        frames = () if self._layout is None else (rows.columns(self._layout, self._rows),)
        ended = ends.columns(self._ends)
        return Spooled(frames, ends.closings(ended), *_flags(frames[0] if frames else ended.clear()), *_flags(ended))


def _marked(size: int, places: Iterable[int]) -> Bool:
    marked = np.zeros(size, dtype=np.bool_)
    marked[list(places)] = True
    return marked


def _flags(frame: pl.DataFrame) -> tuple[Int64, Bool, Bool]:
    """Counts, and which rang and which were silenced."""
    return frame["count"].to_numpy(), frame["anomalous"].to_numpy(), frame["silenced"].to_numpy()
