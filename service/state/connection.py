"""The connection to Redis: how it is made, what it refuses, and the one place where its errors become ours.

Does not know what is stored, except the schema mark.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from models.errors import StateError
from service.secrets import without_secret
from service.state import cluster, keys

ATTEMPT_PAUSE_S = 0.1
ANSWER_WITHIN_S = 10.0
"""For one round trip. redis-py's own limit makes a task of every write, which costs more than the write."""

Word = bytes | str | int | float


@asynccontextmanager
async def redis_errors() -> AsyncIterator[None]:
    """Turn what redis-py raises into StateError, with what to do about it, and so what takes too long."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            yield
    except ReadOnlyError as error:
        raise StateError(
            f"Redis is away: a read-only replica answers ({error}); point TOCSIN_REDIS_URL at the primary"
        ) from error
    except OutOfMemoryError as error:
        raise StateError(f"Redis is full: {error}; raise its maxmemory or shorten idle_s of the sources") from error
    except (ConnectionError, TimeoutError, BusyLoadingError, OSError) as error:
        what = str(error) or f"no answer within {ANSWER_WITHIN_S:g} s"
        raise StateError(f"Redis is away: {what}; try again, or check TOCSIN_REDIS_URL") from error
    except RuntimeError as error:
        # What uvloop says of a connection that broke off between its check and the command.
        raise StateError(f"Redis is away: {error}; try again, or check TOCSIN_REDIS_URL") from error
    except ResponseError as error:
        raise StateError(f"Redis refused a command: {error}") from error
    except RedisClusterException as error:  # which is none of their errors
        raise StateError(f"Redis is away: {error}; try again, or check TOCSIN_REDIS_URL") from error
    except RedisError as error:
        raise StateError(f"Redis failed: {error}") from error


async def command(redis: Redis, *words: bytes | str | int | float) -> Any:
    """Run one command; its reply as redis-py gives it, StateError where it fails."""
    async with redis_errors():
        return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def pipelined(redis: Redis, commands: Iterable[Sequence[Word]]) -> list[Any]:
    """Run commands in one round trip, not a transaction; their replies in order, StateError where one fails."""
    async with redis_errors():
        replies = await exchange(redis, list(commands))
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies


async def exchange(redis: Redis, commands: Sequence[Sequence[Word]]) -> list[Any]:
    """Run commands in one round trip, not a transaction; replies in order, a refusal of Redis being one of them.

    Packed by hiredis and read from a connection of the pool: a third of what redis-py's pipeline takes, whose own
    asyncio connections pack in Python. Raises what redis-py raises where the connection fails.
    """
    if isinstance(redis, cluster.ClusterClient):
        return await cluster.exchange(redis, commands)
    pool = redis.connection_pool
    connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        packed = [hiredis.pack_command(tuple(words)) for words in commands]  # type: ignore[arg-type]
        await connection.send_packed_command(packed)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies
    except BaseException:
        # Replies may be on their way that nobody would read: the next caller must not take them for its own.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


def open_client(url: str) -> Redis:
    """A client that has not connected yet. Replies are bytes.

    Commands are never retried on their own: an append without a batch id would be done twice where only its reply was
    lost. A connection that the server closed in the meantime is noticed and replaced before anything is sent.
    """
    if cluster.is_cluster(url):
        return cluster.open_cluster(url, ANSWER_WITHIN_S)
    return Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=None,
        socket_connect_timeout=ANSWER_WITHIN_S,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )


async def connect(url: str, attempts: int = 50) -> Redis:
    """A client whose server answered and holds our schema; raises StateError after ``attempts`` tenths of a second."""
    redis = open_client(url)
    try:
        for attempt in range(attempts):
            try:
                await command(redis, "PING")
                break
            except StateError as error:
                if attempt == attempts - 1:
                    raise StateError(f"{error} ({without_secret(url)})") from error
                await asyncio.sleep(ATTEMPT_PAUSE_S)
        await claim_schema(redis)
    except BaseException:
        await redis.aclose()
        raise
    return redis


async def claim_schema(redis: Redis) -> None:
    """Write the schema mark where there is none; raises StateError where Redis holds another schema."""
    ours = f"version={keys.SCHEMA_VERSION} partitions={keys.PARTITIONS}"
    await command(redis, "SET", keys.SCHEMA, ours, "NX")
    theirs = (await command(redis, "GET", keys.SCHEMA)).decode()
    if theirs != ours:
        raise StateError(
            f"Redis holds Tocsin state of another schema ({theirs}; this version needs {ours}); run the version "
            "that wrote it, or give this one an empty Redis (another TOCSIN_REDIS_URL or TOCSIN_DATA_DIR)"
        )


async def answers(redis: Redis) -> bool:
    """Whether Redis answers now."""
    try:
        await command(redis, "PING")
    except StateError:
        return False
    return True
