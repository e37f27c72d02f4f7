"""A private real Redis for the tests of the service, started by Tocsin's own launcher."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.state.connection import claim_schema, open_client
from service.state.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis that lives as long as the test run."""
    data_dir: Path = tmp_path_factory.mktemp("state")
    with EmbeddedRedis(data_dir, options=["--appendonly", "no"]) as embedded:
        yield embedded.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A connected client of an empty Redis."""
    client = open_client(redis_url)
    await client.flushall()
    await claim_schema(client)
    yield client
    await client.aclose()
