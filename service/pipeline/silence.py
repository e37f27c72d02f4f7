"""How far a source has been heard: what may be called silence.

Owns that nothing closes because of silence before everything is judged that was accepted earlier: while lines wait in
the durable queue, the source has been heard up to what came before them, and the clock says nothing. And that silence
goes by a steady clock: a wall clock that jumps closes no session.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf

from redis.asyncio import Redis

from service.state import queue, watermark
from service.state.watermark import Clock


class Hearing:
    """Listens to one source for one process; ``ticks`` is a clock in seconds that never jumps."""

    def __init__(self, redis: Redis, source: str, ticks: Callable[[], float]) -> None:
        self._redis = redis
        self._source = source
        self._ticks = ticks
        self._inputs: int | None = None
        self._looked = -inf
        self._since = 0.0

    async def heard(self, now: float) -> Clock:
        """The source's clock at wall clock ``now`` (seconds), held back by what waits; by its last input the silence
        until ``now`` is as long as this process has seen it last. Raises StateError."""
        # In this order: what the clock has heard of by now has left no piece behind that the queue does not show.
        clock = await watermark.read(self._redis, self._source)
        horizon = await queue.horizon(self._redis, self._source)
        ticks, looked = self._ticks(), self._looked
        self._looked = ticks
        if clock.inputs != self._inputs:
            # It came after the last look. What was silent before the first one only the wall clocks know.
            self._inputs = clock.inputs
            self._since = ticks - min(max(0.0, now - clock.last_input), ticks - looked)
        if horizon != inf:
            return replace(clock, largest=min(clock.largest, horizon), last_input=max(clock.last_input, now))
        if clock.last_input == -inf:
            return clock
        return replace(clock, last_input=now - (ticks - self._since))
