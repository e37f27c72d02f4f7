"""What the connection refuses, and that Redis being away is said in one way."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys, sources, watermark
from service.state.connection import answers, claim_schema, command, connect, open_client, pipelined
from service.state.embedded import EmbeddedRedis
from service.state.watermark import Beginning


async def test_first_connection_writes_the_schema_and_later_ones_accept_it(redis_url: str, redis: Redis) -> None:
    await redis.flushall()
    for _ in range(2):
        client = await connect(redis_url)
        await client.aclose()
    assert await redis.get(keys.SCHEMA) == b"version=3 partitions=16"


async def test_another_schema_refuses_to_start(redis_url: str, redis: Redis) -> None:
    await redis.set(keys.SCHEMA, "version=1 partitions=32")
    with pytest.raises(StateError, match=r"partitions=32.*empty Redis"):
        await connect(redis_url)
    await redis.delete(keys.SCHEMA)
    await claim_schema(redis)


async def test_redis_that_is_away_is_a_state_error_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="Redis is away") as caught:
        await connect("redis://user:secret@127.0.0.1:1/0", attempts=2)
    assert "secret" not in str(caught.value)
    client = open_client(f"unix://{tmp_path}/none.sock")
    assert not await answers(client)
    with pytest.raises(StateError, match="Redis is away"):
        await sources.everyone(client)
    with pytest.raises(StateError, match="Redis is away"):
        await watermark.begin(client, "s", Beginning(1.0, 1.0))
    await client.aclose()


async def test_client_survives_a_restart_of_redis(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path).start()
    client = await connect(server.url)
    await sources.put(client, "s", {"name": "s"})
    server.stop()
    with pytest.raises(StateError, match="Redis is away"):
        await sources.get(client, "s")
    with EmbeddedRedis(tmp_path):
        assert await sources.get(client, "s") == {"name": "s"}
        await client.aclose()


async def test_read_only_replica_is_told_apart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = await connect(server.url)
        await client.replicaof("127.0.0.1", 1)
        with pytest.raises(StateError, match="read-only replica"):
            await sources.put(client, "s", {})
        await client.replicaof("NO", "ONE")
        await client.aclose()


def test_a_connection_that_breaks_off_just_before_a_command_is_a_state_error(redis_url: str) -> None:
    """On the event loop that serves: uvloop's transports raise RuntimeError once they are closed."""

    async def lost_in_between() -> None:
        client = await connect(redis_url)
        pool = client.connection_pool
        connected = pool.get_connection

        async def breaks_off() -> Any:
            connection = await connected()  # type: ignore[no-untyped-call]
            connection._writer.transport.abort()
            await asyncio.sleep(0.01)
            return connection

        pool.get_connection = breaks_off  # type: ignore[method-assign]
        with pytest.raises(StateError, match="Redis is away"):
            await pipelined(client, [["PING"]])
        pool.get_connection = connected  # type: ignore[method-assign]
        assert await command(client, "PING")
        await client.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(lost_in_between())
