"""The service in this process, over an empty Redis and two small bundles."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.service.serving import Replica, blocks_bundle, running, shop_bundle, stored


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """One replica that serves ``blocks`` and ``shop``."""
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())) as replica:
        yield replica
