"""The service in this process, over an empty Redis and two small bundles."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.state.connection import open_client
from tests.service.serving import Replica, blocks_bundle, running, shop_bundle, stored


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """One replica that serves ``blocks`` and ``shop``."""
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())) as replica:
        yield replica


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[asyncio.Runner, Replica]]:
    """The same on a loop of its own, as examples of one test share it."""
    bundles = stored(tmp_path_factory.mktemp("served") / "bundles", blocks_bundle(), shop_bundle())
    with asyncio.Runner() as runner:
        runner.run(_empty(redis_url))
        service = running(redis_url, bundles)
        replica = runner.run(service.__aenter__())
        yield runner, replica
        runner.run(service.__aexit__(None, None, None))


async def _empty(redis_url: str) -> None:
    client = open_client(redis_url)
    await client.flushall()
    await client.aclose()
