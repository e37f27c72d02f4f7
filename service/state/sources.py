"""Configured sources, and which bundle of each is live.

Owns the registry. Does not know what a configuration says, nor where bundles lie.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command


async def put(redis: Redis, source: str, config: Mapping[str, Any]) -> bool:
    """Store a source's configuration; whether the source is new."""
    return bool(await command(redis, "HSET", keys.SOURCES, source, orjson.dumps(config)))


async def add(redis: Redis, source: str, config: Mapping[str, Any]) -> bool:
    """Store a source's configuration where it has none; whether it was stored."""
    return bool(await command(redis, "HSETNX", keys.SOURCES, source, orjson.dumps(config)))


async def get(redis: Redis, source: str) -> dict[str, Any] | None:
    """A source's configuration; None where it is unknown."""
    found = await command(redis, "HGET", keys.SOURCES, source)
    return orjson.loads(found) if found else None


async def everyone(redis: Redis) -> dict[str, dict[str, Any]]:
    """All configurations by name, in name order."""
    found = await command(redis, "HGETALL", keys.SOURCES)
    return {name.decode(): orjson.loads(config) for name, config in sorted(found.items())}


async def live_bundle(redis: Redis, source: str) -> str | None:
    """Version of the live bundle; None where none is."""
    found = await command(redis, "GET", keys.live_bundle(source))
    return found.decode() if found else None


async def activate(redis: Redis, source: str, version: str) -> None:
    """Make a version live; replicas follow at their next batch."""
    await command(redis, "SET", keys.live_bundle(source), version)


async def activate_first(redis: Redis, source: str, version: str) -> bool:
    """Make a version live where none is; whether it was."""
    return bool(await command(redis, "SET", keys.live_bundle(source), version, "NX"))
