"""Spoilt windows: normal ones in which some keys are replaced by keys that never follow there.

Owns what may follow what in the training windows and the drawing, which is InterpretableSAD's. Does not know the
network, nor how many are wanted.
"""

import numpy as np

from models.sessions import Int64
from models.vocabulary import BOS, EOS, SPECIALS

ROUNDS = 16
"""Draws for a window in which the places first drawn can hold no other key, before it is left out."""


class Successors:
    """Which keys follow which in some windows, and draws of those that do not.

    Keys are places ``low..size - 1`` of a vocabulary. Only pairs that were seen are stored: a source may have thousands
    of keys.
    """

    def __init__(self, previous: Int64, key: Int64, low: int, size: int) -> None:
        """``previous`` int64 [m], 0..size, and the ``key`` int64 [m] seen after each; keys below ``low`` are no
        keys."""
        self._low = low
        self._keys = size - low
        self._span = self._keys + 1
        pair = np.unique((previous * self._span + key - low)[key >= low])
        own, offset = pair // self._span, pair % self._span
        self._start = np.searchsorted(own, np.arange(size + 2))
        # Of a sorted list of n members, the t-th (from 0) has ``offset - t`` non-members below it, which never falls.
        self._passed = own * self._span + offset - (np.arange(len(pair)) - self._start[own])

    def draw(self, previous: Int64, random: np.random.Generator) -> Int64:
        """For each of ``previous`` int64 [k] a key that was never seen after it, every such key as likely, int64 [k];
        -1 where all of them were."""
        start = self._start[previous]
        free = self._keys - (self._start[previous + 1] - start)
        rank = (random.random(len(previous)) * free).astype(np.int64)
        passed = np.searchsorted(self._passed, previous * self._span + rank, side="right") - start
        return np.where(free > 0, self._low + rank + passed, -1)


class Spoiler:
    """Draws spoilt windows from normal ones.

    Of a window that holds n keys, places of keys are drawn u times with replacement, u evenly from 1..n. From left to
    right, the key at each place drawn is replaced by one that no training window has after the key now before it; at
    the first place of the window, by one with which no training window begins. The end of a session is drawn for the
    last place alone, and "before the session" is never replaced: neither could come otherwise. So no replaced key is
    an allowed successor, whatever was replaced before it.
    """

    def __init__(self, windows: Int64, size: int) -> None:
        """``windows`` int64 [u, length]: all training windows, as places in a vocabulary of ``size``."""
        # What begins a window is what follows this: no key's place.
        self._beginning = size
        previous, key = np.insert(windows[:, :-1], 0, self._beginning, axis=1).ravel(), windows.ravel()
        self._inner = Successors(previous, key, SPECIALS, size)
        # No session is empty, so that it ends at once is not drawn either.
        self._last = Successors(np.append(previous, BOS), np.append(key, EOS), EOS, size)
        self._normal = set(_names(windows))

    def spoil(self, windows: Int64, random: np.random.Generator) -> Int64:
        """A spoilt window, int64 [k, length], for each of ``windows`` int64 [n, length] but those of which every place
        drawn could hold no other key, ``ROUNDS`` times over. None is a training window."""
        found = np.empty_like(windows)
        pending = np.arange(len(windows))
        for _ in range(ROUNDS):
            drawn = self._once(windows[pending], random)
            fresh = np.array([name not in self._normal for name in _names(drawn)], dtype=np.bool_)
            found[pending[fresh]] = drawn[fresh]
            pending = pending[~fresh]
            if not len(pending):
                break
        return np.delete(found, pending, axis=0)

    def _once(self, windows: Int64, random: np.random.Generator) -> Int64:
        rows, length = windows.shape
        held = (windows != BOS).sum(axis=1)
        places = length - 1 - (random.random((rows, length)) * held[:, None]).astype(np.int64)
        drawings = random.integers(1, held, endpoint=True)
        chosen = np.zeros((rows, length), dtype=np.bool_)
        row, drawing = np.nonzero(np.arange(length) < drawings[:, None])
        chosen[row, places[row, drawing]] = True
        found = windows.copy()
        for place in range(length):
            at = np.flatnonzero(chosen[:, place])
            previous = found[at, place - 1] if place else np.full(len(at), self._beginning)
            key = (self._last if place == length - 1 else self._inner).draw(previous, random)
            found[at[key >= 0], place] = key[key >= 0]
        return found


def _names(windows: Int64) -> list[bytes]:
    """Windows as bytes, which hash: a test for membership costs the same among any number."""
    cells = np.ascontiguousarray(windows, dtype=np.int32)
    names: list[bytes] = cells.view(f"V{cells.shape[1] * 4}").ravel().tolist()
    return names
