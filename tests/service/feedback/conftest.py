"""Two replicas over one Redis, and a clock that both go by."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.service.clicks import Clock
from tests.service.serving import Replica, blocks_bundle, running, stored


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return stored(tmp_path / "bundles", blocks_bundle())


@pytest.fixture
async def pair(redis: Redis, redis_url: str, bundles: Path, clock: Clock) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas over one Redis."""
    await redis.ping()
    async with running(redis_url, bundles, clock) as one, running(redis_url, bundles, clock) as other:
        yield one, other


@pytest.fixture
def replica(pair: tuple[Replica, Replica]) -> Replica:
    return pair[0]
