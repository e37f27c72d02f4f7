"""Waiting until replicas of Redis have what was written.

Redis answers a write before its replicas have it, so a master that dies takes with it what they had not got yet. Owns
the wait. Does not know what was written, nor what is promised of it. ``WAIT`` speaks of the writes of its own
connection, so a mark is written on it first, behind everything that is to be waited for
(https://redis.io/docs/latest/commands/wait/).
"""

from collections.abc import Iterable

from redis.asyncio import Redis

from models.errors import StateError
from service.state import cluster, keys
from service.state.connection import Word, exchange, redis_errors

WITHIN_S = 1.0


async def confirm(redis: Redis, source: str, partitions: Iterable[int], replicas: int) -> None:
    """Wait until ``replicas`` of each master that has the source's own keys, or those of ``partitions``, have all that
    was written there so far; 0: nothing is waited for. Raises StateError where they do not within a second."""
    if not replicas:
        return
    names = [keys.copied(source), *(keys.copied_partition(p, source) for p in partitions)]
    marks: list[list[Word]] = [["SET", name, 1, "EX", keys.COPIED_TTL_S] for name in names]
    wait: list[Word] = ["WAIT", replicas, round(WITHIN_S * 1000)]
    async with redis_errors():
        if isinstance(redis, cluster.ClusterClient):
            replies = await cluster.exchange_and_ask_each(redis, marks, wait)
        else:
            replies = await exchange(redis, [*marks, wait])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
    fewest = min(map(int, replies[len(marks) :]))
    if fewest < replicas:
        raise StateError(
            f"{fewest} of the {replicas} replicas of Redis that TOCSIN_DURABLE_REPLICAS asks for have what was "
            "written; try again, or see to the replicas"
        )
