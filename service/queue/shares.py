"""Which partitions of a source this process consumes: its fair share of what is there, under leases.

Owns how much is fair and when a partition is given back. Each consumer takes up to the same number, as many as there
are consumers want it to be; one that has more, as another came, lets go between two runs.
"""

import asyncio
import logging
import math
from collections.abc import Collection, Sequence

from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys, leases
from service.state.leases import Fence

log = logging.getLogger("tocsin")

BEAT_EVERY_S = keys.QUEUE_LEASE_TTL_S / 5
_EVERYWHERE = range(keys.PARTITIONS)


class Shares:
    """The partitions of one source that ``consumer`` has. Keep ``keep`` running while it consumes."""

    def __init__(self, redis: Redis, source: str, consumer: str) -> None:
        self._redis = redis
        self._source = source
        self._consumer = consumer
        self._busy: Collection[int] = ()
        self._changing = asyncio.Lock()
        self.held: dict[int, Fence] = {}

    async def balance(self) -> None:
        """Say that this consumer is there, renew what it has, take what is free or give back what is too much. Raises
        StateError where Redis is away."""
        async with self._changing:
            consumers = await leases.beat(self._redis, self._source, self._consumer)
            share = math.ceil(keys.PARTITIONS / max(1, consumers))
            # From the largest number down, and from a place of one's own up: two that start at once meet seldom.
            excess = [p for p in sorted(self.held, reverse=True) if p not in self._busy][
                : max(0, len(self.held) - share)
            ]
            await self._leave(excess)
            held = await leases.take(self._redis, self._source, sorted(self.held), self._consumer)
            wanted = share - len(held)
            if wanted > 0:
                start = hash(self._consumer) % keys.PARTITIONS
                free = [p for p in (*_EVERYWHERE[start:], *_EVERYWHERE[:start]) if p not in held]
                for p in free:
                    if wanted <= 0:
                        break
                    taken = await leases.take(self._redis, self._source, [p], self._consumer)
                    held |= taken
                    wanted -= len(taken)
            self.held = held

    def begin(self, partitions: Sequence[int]) -> list[Fence]:
        """The rights to partitions that are worked on until ``end``; of those that are still held."""
        fences = [self.held[p] for p in partitions if p in self.held]
        self._busy = [fence.partition for fence in fences]
        return fences

    def end(self) -> None:
        """The runs are done, or given up."""
        self._busy = ()

    def lost(self, partition: int) -> None:
        """Somebody else has the partition now."""
        self.held.pop(partition, None)

    async def keep(self) -> None:
        """Balance every ``BEAT_EVERY_S`` seconds."""
        while True:
            try:
                await self.balance()
            except StateError as error:
                log.debug("leases of the durable queue are not renewed: %s", error)
            await asyncio.sleep(BEAT_EVERY_S)

    async def give_back(self) -> None:
        """Give everything back: others need not wait. Raises StateError."""
        async with self._changing:
            await self._leave(sorted(self.held))
            await leases.beat(self._redis, self._source, self._consumer, leaving=True)

    async def _leave(self, partitions: Sequence[int]) -> None:
        for p in partitions:
            self.held.pop(p, None)
        await leases.leave(self._redis, self._source, partitions, self._consumer)
