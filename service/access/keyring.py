"""The API keys that this process knows: all of them, read anew every two seconds.

Owns how old they may be: whoever is revoked is out within ``READ_EVERY_S`` and the round trip. No request waits for
Redis, but for one that brings a key which is not known yet. While Redis is away the keys known last hold; none can be
revoked meanwhile either. Does not know what a key may.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from time import monotonic

from redis.asyncio import Redis

from models.errors import StateError
from service.state import apikeys
from service.state.apikeys import ApiKey

READ_EVERY_S = 2.0
AGAIN_AFTER_S = 0.25
"""Unknown keys make it look again no more often than this."""


class KeyRing:
    """Keys by id: ``declared`` ones of a file, and those in Redis, which do not take the place of a declared one."""

    def __init__(self, redis: Redis, declared: Sequence[ApiKey] = (), clock: Callable[[], float] = monotonic) -> None:
        self._redis = redis
        self._declared = {key.id: key for key in declared}
        self._keys = dict(self._declared)
        self._clock = clock
        self._read_at: float | None = None
        self._looking = asyncio.Lock()
        self.any = bool(declared)
        """Whether there are keys, or were any since this process began: a Redis that lost them lets nobody in."""

    @property
    def known(self) -> bool:
        """Whether Redis has ever said which keys there are."""
        return self._read_at is not None

    def find(self, key_id: str) -> ApiKey | None:
        """A key that this process knows."""
        return self._keys.get(key_id)

    async def sought(self, key_id: str) -> ApiKey | None:
        """A key; one that is unknown may have been made just now."""
        if self.find(key_id) is None and not self._fresh():
            async with self._looking:
                if not self._fresh():
                    with contextlib.suppress(StateError):
                        await self.read()
        return self.find(key_id)

    async def read(self) -> None:
        """Take the keys as they are now. Raises StateError."""
        stored = await apikeys.read(self._redis)
        self._keys = {**{key.id: key for key in stored}, **self._declared}
        self._read_at = self._clock()
        self.any = self.any or bool(self._keys)

    def _fresh(self) -> bool:
        return self._read_at is not None and self._clock() - self._read_at < AGAIN_AFTER_S

    async def keep_reading(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(StateError):
                await self.read()
            await asyncio.sleep(READ_EVERY_S)
