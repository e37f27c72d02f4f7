"""Raw outputs that were worked out before. Results never depend on what is in here.

Owns keying and bounds: a cache is dropped whole when full, which costs one cold batch. Does not know what is scored.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np

from models.detector import EventDetector
from models.sessions import Float64, Int64

CACHE_ROWS = 200_000
"""Raw outputs kept per detector."""

REASONS_KEPT = 5_000
"""Explanations kept per detector."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Values by key, at most ``capacity`` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of ``key``, made where it is not known."""
        value = self._known.get(key)
        if value is None:
            value = make()
            if len(self._known) >= self._capacity:
                self._known.clear()
            self._known[key] = value
        return value


class OutputCache(Generic[K]):
    """Raw outputs of a detector by whatever names its input."""

    def __init__(self, capacity: int = CACHE_ROWS) -> None:
        self.hits = 0
        self.misses = 0
        self._capacity = capacity
        self._raw: dict[K, float] = {}

    def take_counts(self) -> tuple[int, int]:
        """Hits and misses since the last call."""
        counts = self.hits, self.misses
        self.hits = self.misses = 0
        return counts

    def score(self, names: Sequence[K], score: Callable[[Int64], Float64]) -> Float64:
        """Raw outputs float64 [k] of k named inputs; ``score`` gets the places, int64 [u], of those not known, each
        name once, and returns float64 [u]."""
        raws = list(map(self._raw.get, names))
        if None not in raws:
            self.hits += len(names)
            return np.array(raws, dtype=np.float64)
        missing = [i for i, raw in enumerate(raws) if raw is None]
        first: dict[K, int] = {}
        for i in missing:
            first.setdefault(names[i], i)
        self.misses += len(first)
        self.hits += len(names) - len(first)
        fresh = score(np.fromiter(first.values(), dtype=np.int64, count=len(first))).tolist()
        found = dict(zip(first, fresh, strict=True))
        for i in missing:
            raws[i] = found[names[i]]
        if len(self._raw) + len(found) > self._capacity:
            self._raw = found
        else:
            self._raw.update(found)
        return np.array(raws, dtype=np.float64)


class RawCache:
    """Raw outputs of one event detector by (history, key)."""

    def __init__(self, detector: EventDetector, capacity: int = CACHE_ROWS) -> None:
        self.detector = detector
        self._outputs: OutputCache[bytes] = OutputCache(capacity)

    def take_counts(self) -> tuple[int, int]:
        """Hits and misses since the last call."""
        return self._outputs.take_counts()

    def score(self, history: Int64, keys: Int64) -> Float64:
        """As ``detector.score`` on ``history`` int64 [k, h >= window] and ``keys`` int64 [k]."""
        if len(keys) == 0:
            return np.empty(0, dtype=np.float64)
        window = self.detector.window
        if window == 0:
            # No network behind it: asking is cheaper than remembering.
            return self.detector.score(history[:, :0], keys)
        cells = np.empty((len(keys), window + 1), dtype=np.int32)
        cells[:, :window] = history[:, history.shape[1] - window :]
        cells[:, window] = keys
        names: list[bytes] = cells.view(f"V{cells.shape[1] * 4}").ravel().tolist()

        def fresh(at: Int64) -> Float64:
            return self.detector.score(cells[at, :window].astype(np.int64), cells[at, window].astype(np.int64))

        return self._outputs.score(names, fresh)
