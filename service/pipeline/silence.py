"""How far a source has been heard: what may be called silence.

Owns that nothing closes because of silence before everything is judged that was accepted earlier: while lines wait in
the durable queue, the source has been heard up to what came before them, and the wall clock says nothing.
"""

from redis.asyncio import Redis

from service.state import queue, watermark
from service.state.watermark import Clock


async def heard(redis: Redis, source: str, now: float) -> Clock:
    """The source's clock at wall clock ``now`` (seconds), held back by what waits. Raises StateError."""
    # In this order: what the clock has heard of by now has left no piece behind that the queue does not show.
    clock = await watermark.read(redis, source)
    horizon = await queue.horizon(redis, source)
    if horizon == float("inf"):
        return clock
    return Clock(min(clock.largest, horizon), max(clock.last_input, now))
