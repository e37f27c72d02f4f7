"""Which incidents changed, at a glance: without reading what they say.

Owns one round trip more than none for each source. Does not know what a tally or a state means.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined

Sighting = tuple[bytes | None, bytes | None]
"""An incident's tally and state as they are stored: different once it was seen again or answered."""

WATCHED = 200
"""Newest incidents of a source that are looked at."""


async def glance(redis: Redis, source: str) -> dict[str, Sighting]:
    """The newest incidents of a source by id. Raises StateError."""
    ids: Sequence[bytes] = await command(redis, "ZREVRANGE", keys.incident_index(source), 0, WATCHED - 1)
    if not ids:
        return {}
    names = (keys.incident_tally(source), keys.incident_state(source))
    tallies, states = await pipelined(redis, [["HMGET", name, *ids] for name in names])
    return {name.decode(): (tally, state) for name, tally, state in zip(ids, tallies, states, strict=True)}
