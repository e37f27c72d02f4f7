"""Buckets of rates in Redis, and what goes on in them.

Owns the place of the episodes. Counting, closing, rounds and lease are those of timeframes (``service.state.frames``),
under a name of their own, so that AutoLog's frames of the same length are others. Does not know what rings.
"""

from collections.abc import Iterable

import orjson
from redis.asyncio import Redis

from models.autolog.frames import Frame, Tally
from models.rate.judge import Episodes
from service.state import keys
from service.state.connection import command
from service.state.frames import Round, StoredFrames


class StoredRates:
    """The open buckets of every source. Holds no state of its own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._frames = StoredFrames(redis)

    async def count(self, source: str, bucket_s: float, tally: Tally, batch_id: str | None = None) -> None:
        """Add a batch; with a ``batch_id``, once within 15 minutes. Raises StateError where Redis is away."""
        await self._frames.count(keys.rates(source), bucket_s, tally, batch_id)

    async def due(self, source: str, bucket_s: float, watermark: float) -> bool:
        """Whether a bucket is over at ``watermark`` seconds, or a round unfinished. Changes nothing."""
        return await self._frames.due(keys.rates(source), bucket_s, watermark)

    async def take_lease(self, source: str, token: str) -> bool:
        """Take or renew the lease of a source's buckets; False where another holder has it."""
        return await self._frames.take_lease(keys.rates(source), token)

    async def next_round(self, source: str, bucket_s: float, watermark: float) -> Round | None:
        """What to close now; None where nothing is over. Only the holder of the lease may ask."""
        return await self._frames.next_round(keys.rates(source), bucket_s, watermark)

    async def close(self, source: str, bucket_s: float, found: Round) -> list[Frame]:
        """The buckets of a round, after which no line is counted in them."""
        return await self._frames.close(keys.rates(source), bucket_s, found)

    async def episodes(self, source: str) -> Episodes:
        """What goes on, as kept last."""
        kept = await command(self._redis, "GET", keys.rate_episodes(source))
        return Episodes() if kept is None else Episodes.from_dict(orjson.loads(kept))

    async def finish(
        self, source: str, bucket_s: float, found: Round, frames: Iterable[Frame], after: Episodes
    ) -> None:
        """The round was reported: keep what goes on ``after`` it, and go on behind it.

        Whoever dies between the two is followed by one that judges the round again, from what went on after it: the
        same incidents, as they begin at the same buckets.
        """
        value = orjson.dumps(after.to_dict())
        ttl_s = keys.frames_ttl_s(bucket_s)
        await command(self._redis, "SET", keys.rate_episodes(source), value, "EX", ttl_s)
        await self._frames.finish(keys.rates(source), bucket_s, found, frames)

    async def reset(self, source: str, bucket_s: float) -> None:
        """Forget every bucket, unjudged, and what went on: whoever counts next begins."""
        await self._frames.reset(keys.rates(source), bucket_s)
        await command(self._redis, "DEL", keys.rate_episodes(source))
