"""What stands in Redis, in numbers: sessions that are live, incidents, answers and accepted lines that
wait, and Redis itself.

Owns what is counted and how often. These are looked up now and then, beside the batches, and never by them.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis

from models.errors import StateError
from service.metrics import Metrics
from service.state import dead, incidents, lessons, queue
from service.state.connection import command
from service.state.windows import StoredSessions

EVERY_S = 15.0

log = logging.getLogger("tocsin")


class Inventory:
    """Counts what stands in Redis for the sources that ``names`` gives."""

    def __init__(
        self,
        redis: Redis,
        sessions: StoredSessions,
        metrics: Metrics,
        names: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._sessions = sessions
        self._metrics = metrics
        self._names = names
        self._clock = clock

    async def take(self) -> None:
        """Count once. Raises StateError where Redis is away."""
        for name in list(self._names()):
            self._metrics.live_sessions.labels(name).set(await self._sessions.count_live(name))
            self._metrics.incidents_kept.labels(name).set(await incidents.count(self._redis, name))
            self._metrics.lessons_waiting.labels(name).set(await lessons.waiting(self._redis, name))
            depths = await queue.depths(self._redis, name)
            oldest = min((depth.arrival for depth in depths if depth.arrival is not None), default=None)
            self._metrics.durable_queue_lines.labels(name).set(sum(depth.lines for depth in depths))
            age_s = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
            self._metrics.durable_queue_age.labels(name).set(age_s)
            self._metrics.dead_entries.labels(name).set(await dead.count(self._redis, name))
        told: dict[str, Any] = {}
        for section in ("memory", "clients", "stats"):
            told |= await command(self._redis, "INFO", section)
        self._metrics.redis_memory.set(told["used_memory"])
        # What is compatible with Redis may leave it out.
        self._metrics.redis_memory_limit.set(told.get("maxmemory", 0))
        self._metrics.redis_clients.set(told.get("connected_clients", math.nan))
        self._metrics.redis_operations.set(told.get("instantaneous_ops_per_sec", math.nan))

    async def keep_taking(self) -> None:
        """Count every ``EVERY_S`` seconds; while Redis is away, which others tell of, nothing is counted."""
        while True:
            try:
                await self.take()
            except StateError as error:
                log.debug("nothing is counted: %s", error)
            await asyncio.sleep(EVERY_S)
