"""A source begins afresh, for ``--reset-sessions``: after that another tree, another rule or older times may come.

Owns what is forgotten, unjudged: live sessions, open timeframes and buckets of rates, the clock. Does not know when.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from models.autolog.judge import FrameJudge
from models.rate.judge import RateJudge
from service.state import watermark
from service.state.frames import StoredFrames
from service.state.rates import StoredRates
from service.state.windows import StoredSessions


async def begin_afresh(
    redis: Redis, source: str, frames: Sequence[FrameJudge | None], rates: Sequence[RateJudge | None]
) -> None:
    """Forget what goes on of a source; ``frames`` and ``rates`` judged it till now, or will: what another version
    counted, of frames of another length, nobody reads. Raises StateError where Redis is away."""
    await StoredSessions(redis).reset(source)
    for chunk_s in {judge.detector.chunk_s for judge in frames if judge is not None}:
        await StoredFrames(redis).reset(source, chunk_s)
    for bucket_s in {judge.detector.bucket_s for judge in rates if judge is not None}:
        await StoredRates(redis).reset(source, bucket_s)
    await watermark.reset(redis, source)
