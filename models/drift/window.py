"""Counts over the newest stretch of a stream, in bounded memory.

Owns what is still counted. Time is passed in; does not know what the counts mean.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from models.sessions import Int64

ENOUGH_LINES = 5_000
"""Lines that tell something of a source's mix of templates."""
ENOUGH_SESSIONS = 200
"""Sessions that tell something of its scores."""
SPAN_S = 3_600.0
"""How far back counts go where enough came, seconds."""
OLDEST_S = 7 * 86_400.0
"""Nothing older is counted, however little came since, seconds."""
SLOTS = 60
"""Parts of the span that are forgotten one after the other."""


@dataclass(slots=True)
class _Slot:
    began: float
    number: int
    counts: Int64


class Window:
    """Counts [size] of the last hour, or of the last ``least`` things where an hour brings fewer, but of no more than
    seven days. Some 120 slots at most are kept, a minute or a sixtieth of ``least`` each, whichever takes longer."""

    def __init__(self, size: int, least: int) -> None:
        self._least = least
        self._slots: deque[_Slot] = deque()
        self._counts = np.zeros(size, dtype=np.int64)
        self.number = 0
        """Things counted that are still within it."""

    @property
    def slots(self) -> int:
        """Slots that are kept."""
        return len(self._slots)

    @property
    def counts(self) -> Int64:
        """Counts of what is within, int64 [size]."""
        return self._counts.copy()

    def add(self, counts: Int64, number: int, now: float) -> None:
        """Take in ``number`` things that came at ``now`` seconds, and their ``counts``, int64 [size]. A time before the
        newest one's counts as that one's."""
        newest = self._slots[-1] if self._slots else None
        full = newest is not None and now - newest.began >= SPAN_S / SLOTS and newest.number >= self._least / SLOTS
        if newest is None or full:
            newest = _Slot(now, 0, np.zeros_like(self._counts))
            self._slots.append(newest)
        newest.counts += counts
        newest.number += number
        self._counts += counts
        self.number += number
        self.forget(now)

    def forget(self, now: float) -> None:
        """Drop what is too old at ``now`` seconds."""
        while self._slots and self._over(now):
            oldest = self._slots.popleft()
            self._counts -= oldest.counts
            self.number -= oldest.number

    def _over(self, now: float) -> bool:
        """Whether all of the oldest slot is too old: it ended when the next one began, at the latest."""
        oldest = self._slots[0]
        if len(self._slots) == 1:
            return now - oldest.began > OLDEST_S + SPAN_S
        age = now - self._slots[1].began
        return age > OLDEST_S or (age >= SPAN_S and self.number - oldest.number >= self._least)
