"""Whether Redis has on disk what it acknowledges, and whether its memory is short.

Owns what is read of Redis' own configuration and state. Does not know what is stored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from models.errors import StateError
from service.state.connection import command

MEMORY_SHORT = 0.8
"""Share of maxmemory from which on nothing more should be queued: windows and incidents need the rest."""


@dataclass(frozen=True, slots=True)
class Durability:
    """``problem`` says in words why what Redis acknowledges may be lost; None where it is on disk."""

    problem: str | None


async def read_durability(redis: Redis) -> Durability:
    """What Redis says of its append-only file; where it does not let CONFIG be read, what INFO tells. Raises
    StateError where Redis is away."""
    persistence: dict[str, Any] = await command(redis, "INFO", "persistence")
    if not int(persistence.get("aof_enabled", 0)):
        return Durability("Redis keeps no append-only file: what was accepted is lost when it ends; set appendonly yes")
    if persistence.get("aof_last_write_status", "ok") != "ok":
        return Durability("Redis could not write its append-only file; see its log, and make room on its disk")
    try:
        told = await command(redis, "CONFIG", "GET", "appendfsync")
    except StateError:
        return Durability("Redis does not tell its appendfsync (CONFIG is refused); see to it that it is always")
    fsync = _value(told)
    if fsync != "always":
        lost = "up to 2 s of" if fsync == "everysec" else "any"
        return Durability(
            f"Redis runs with appendfsync {fsync}: when its host dies, {lost} accepted lines may be lost; set always"
        )
    return Durability(None)


async def write_through(redis: Redis, folder: Path) -> None:
    """Have the private Redis whose files lie in ``folder`` acknowledge what is on disk from now on; any other Redis is
    its operator's and is left alone. Raises StateError where Redis is away."""
    try:
        theirs = Path(_value(await command(redis, "CONFIG", "GET", "dir")))
    except StateError:
        return
    if theirs.resolve() == folder:
        await command(redis, "CONFIG", "SET", "appendfsync", "always")


async def memory_problem(redis: Redis) -> str | None:
    """Why nothing more should be queued; None where Redis has memory, or no limit. Raises StateError."""
    memory: dict[str, Any] = await command(redis, "INFO", "memory")
    used, limit = int(memory["used_memory"]), int(memory.get("maxmemory", 0))
    if limit and used > MEMORY_SHORT * limit:
        return f"Redis uses {used:,} of {limit:,} bytes; wait for the queue to shorten, or raise its maxmemory"
    return None


def _value(told: Any) -> str:
    found = next(iter(told.values())) if isinstance(told, dict) and told else told[1] if told else b"?"
    return found.decode() if isinstance(found, bytes) else str(found)
