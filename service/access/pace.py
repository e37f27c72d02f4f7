"""How fast somebody may go on: token buckets in this process.

Owns the buckets, which are bounded in number: the one that was used least recently goes. Each worker process counts by
itself, which costs no round trip to Redis. Does not know whose they are.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

KEPT = 10_000


class Paces:
    """Buckets by name. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def draw(self, name: str, amount: float, per_s: float, burst: float) -> int:
        """Take ``amount`` from a bucket that gains ``per_s`` a second up to ``burst``: 0, or the seconds to wait where
        it is empty. What is drawn may exceed what is there: a large request passes, and the next ones wait for it."""
        now = self._clock()
        left, at = self._buckets.pop(name, (burst, now))
        left = min(burst, left + (now - at) * per_s)
        taken = left > 0.0
        self._buckets[name] = (left - amount if taken else left, now)
        if len(self._buckets) > KEPT:
            self._buckets.popitem(last=False)
        return 0 if taken else max(1, math.ceil(-left / per_s))
