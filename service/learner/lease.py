"""The lease of the learner on one source: taken, renewed while work is done, given back.

Owns the renewal. Does not know the work.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys, lessons

RENEW_EVERY_S = keys.LEARNER_LEASE_TTL_S / 4


@asynccontextmanager
async def kept(redis: Redis, source: str, token: str) -> AsyncIterator[None]:
    """Renew the lease that was taken while the body runs; give it back after."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            with contextlib.suppress(StateError):  # whether it still is ours is asked when it counts
                await lessons.take(redis, source, token)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
        # Not awaited itself: whether its cancellation or our own is raised there cannot be told apart.
        await asyncio.wait({renewing})
        with contextlib.suppress(StateError):
            await lessons.leave(redis, source, token)
