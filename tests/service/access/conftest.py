"""A replica that asks for keys."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.service.access.making import bearer, made
from tests.service.listening import RAW
from tests.service.page.conftest import small_bundle
from tests.service.serving import Replica, running, stored


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """``blocks`` rings, ``app`` takes any text; a key ``ops`` of every scope, which its client brings."""
    ops = await made(redis, "ops")
    async with running(redis_url, stored(tmp_path / "bundles", small_bundle())) as replica:
        replica.http.headers.update(bearer(ops))
        assert (await replica.http.put("/sources/app", json=RAW)).status_code == 200
        yield replica
