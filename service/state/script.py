"""A Lua script and how it is called: by its hash, and loaded where Redis does not know it yet.

Owns the round trip and the NOSCRIPT fallback. Does not know what any script does.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from service.state.connection import Word, exchange, redis_errors

Arg = Word


class Script:
    """One Lua script. ``name`` stands in errors; every key that it touches must lie in one slot."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def call(self, redis: Redis, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run once and return its reply; raises StateError where Redis is away."""
        return (await self.call_each(redis, [(keys, args)]))[0]

    async def call_each(self, redis: Redis, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        """Run for each ``(keys, args)`` in one pipeline, not a transaction; replies in order."""
        async with redis_errors():
            replies = await self._send(redis, calls)
            unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:
                await redis.script_load(self.text)
                again = await self._send(redis, [calls[i] for i in unknown])
                for i, reply in zip(unknown, again, strict=True):
                    replies[i] = reply
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            return replies

    async def _send(self, redis: Redis, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        return await exchange(redis, [("EVALSHA", self.sha, len(keys), *keys, *args) for keys, args in calls])
