"""What people are shown of the durable queue, and what they may do to its dead entries.

Owns the words. Does not know which sources there are.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from service.queue.content import Content, UnreadableEntry
from service.state import dead, keys, queue

MOST = keys.DEAD_ENTRIES_KEPT * keys.PARTITIONS
SHOWN_CHARACTERS = 200


async def described(redis: Redis, sources: Sequence[str], now: float) -> list[dict[str, Any]]:
    """How much of each source waits at wall clock ``now`` (seconds), and how much is dead. Raises StateError."""
    found = []
    for source in sources:
        depths = await queue.depths(redis, source)
        oldest = min((depth.arrival for depth in depths if depth.arrival is not None), default=None)
        found.append(
            {
                "source": source,
                "lines": sum(depth.lines for depth in depths),
                "entries": sum(depth.entries for depth in depths),
                "age_s": None if oldest is None else max(0.0, now - oldest),
                "dead": await dead.count(redis, source),
            }
        )
    return found


async def listed(redis: Redis, sources: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The dead of all ``sources``, those that died last first, ``limit`` at most. Raises StateError."""
    found = [(source, one) for source in sources for one in await dead.everyone(redis, source, limit)]
    found.sort(key=lambda pair: -pair[1].died)
    return [
        {
            "id": one.id,
            "source": source,
            "batch": f"{source}:{one.entry.batch}",
            "lines": one.entry.lines,
            "died": one.died,
            "reason": one.reason,
            "first": _first(one.entry.data),
        }
        for source, one in found[:limit]
    ]


async def raise_all(redis: Redis, sources: Sequence[str]) -> int:
    """Let all dead entries wait again; how many. Raises StateError."""
    return sum([await dead.raise_dead(redis, s, await dead.everyone(redis, s, MOST)) for s in sources])


async def drop_all(redis: Redis, sources: Sequence[str]) -> int:
    """Forget all dead entries; how many. Raises StateError."""
    return sum([await dead.drop(redis, s, await dead.everyone(redis, s, MOST)) for s in sources])


def _first(data: bytes) -> str | None:
    """The first line of an entry; None where it has none, or cannot be read."""
    try:
        lines = Content.decode(data).lines
    except UnreadableEntry:
        return None
    return lines[0][:SHOWN_CHARACTERS] if lines else None
