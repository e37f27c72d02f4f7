"""From sessions to what the network learns from: each distinct session, window and next key once, with its count.

Owns windowing for training and deduplication. Does not know how much a repetition weighs (``fit``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.rows import unique_rows
from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import END, Vocabulary


@dataclass(frozen=True, slots=True)
class DistinctSessions:
    """``sessions``: u distinct ones, each int64 [length]; ``index`` int64 [n]: which of them each given session
    is."""

    sessions: list[Int64]
    index: Int64

    def counts(self, chosen: Int64) -> Int64:
        """How often each distinct session is among the given sessions numbered ``chosen`` int64 [m]; int64 [u]."""
        return np.bincount(self.index[chosen], minlength=len(self.sessions)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Windows:
    """Every predicted event of some sessions, raw ids.

    ``history`` int64 [m, h], ``BEFORE_SESSION`` on the left; ``key`` int64 [m], ``END`` after each session's last
    event; ``session`` int64 [m], which session.
    """

    history: Int64
    key: Int64
    session: Int64


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distinct (window, next key), as places in a vocabulary: ``history`` int64 [p, h], ``target`` int64 [p], and how
    often each was seen, ``count`` int64 [p]."""

    history: Int64
    target: Int64
    count: Int64


def distinct(sessions: Sequence[Int64]) -> DistinctSessions:
    """Sessions that are equal, folded into one. Raises DataError for an empty session."""
    found: dict[bytes, int] = {}
    kept: list[Int64] = []
    index = np.empty(len(sessions), dtype=np.int64)
    for number, session in enumerate(sessions):
        keys = np.ascontiguousarray(session, dtype=np.int64)
        if not len(keys):
            raise DataError(f"session {number} has no event; leave empty sessions out")
        place = found.setdefault(keys.tobytes(), len(kept))
        if place == len(kept):
            kept.append(keys)
        index[number] = place
    return DistinctSessions(kept, index)


def windows(sessions: Sequence[Int64], h: int) -> Windows:
    """The window before every event of ``sessions``, the first and the end included."""
    before = np.full(h, BEFORE_SESSION, dtype=np.int64)
    end = np.array([END], dtype=np.int64)
    parts = [part for session in sessions for part in (before, session, end)]
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    predicted = np.array([len(session) + 1 for session in sessions], dtype=np.int64)
    session = np.repeat(np.arange(len(sessions)), predicted)
    # In the flat array every session is preceded by its own padding: h cells for each session up to this one.
    cell = np.arange(len(session)) + h * (session + 1)
    return Windows(flat[cell[:, None] + np.arange(-h, 0)], flat[cell], session)


def pairs(given: Windows, counts: Int64, vocabulary: Vocabulary) -> Pairs:
    """Distinct (window, next key) of the sessions whose ``counts`` int64 [sessions] are above zero.

    Those whose next key is outside the vocabulary are left out: no network can learn to expect them.
    """
    weight = counts[given.session]
    used = np.flatnonzero((weight > 0) & vocabulary.known(given.key))
    rows = vocabulary.encode(np.column_stack([given.history[used], given.key[used]]))
    first, inverse = unique_rows(rows)
    count = np.bincount(inverse, weights=weight[used], minlength=len(first)).astype(np.int64)
    return Pairs(rows[first, :-1], rows[first, -1], count)
