"""Configured sources, which bundle of each is live, which were, and which one judges beside it.

Owns the registry and the pointers. Does not know what a configuration says, nor where bundles lie.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Script

# A part of the scripts that make a version live. A pointer of before there were entries becomes the first one.
LUA_MAKE_LIVE = """
local function make_live(pointer, activations, shadow, version, entry, kept)
  local live = redis.call('GET', pointer)
  if live and redis.call('EXISTS', activations) == 0 then
    redis.call('LPUSH', activations, cjson.encode({version = live, how = 'first'}))
  end
  redis.call('SET', pointer, version)
  redis.call('LPUSH', activations, entry)
  redis.call('LTRIM', activations, 0, kept - 1)
  if redis.call('GET', shadow) == version then redis.call('DEL', shadow) end
end
"""

# KEYS live bundle, activations, shadow. ARGV version, entry, how many entries are kept, on what condition, and for
# "instead" the version that must be live.
ACTIVATE = Script(
    "activate",
    LUA_MAKE_LIVE
    + """
local live = redis.call('GET', KEYS[1])
if ARGV[4] == 'first' and live then return 0 end
if ARGV[4] == 'instead' and live ~= ARGV[5] then return 0 end
make_live(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3])
return 1
""",
)

How = Literal["first", "activated", "rolled_back", "learned"]


@dataclass(frozen=True, slots=True)
class Activation:
    """A version that was made live: ``at`` seconds since the epoch (None: it was before anybody noted it), ``by``
    whoever asked for it, ``how`` whether for the first time, on demand, or in the place of a later one."""

    version: str
    how: How
    at: float | None = None
    by: str | None = None

    def to_json(self) -> bytes:
        """As it is kept."""
        return orjson.dumps(asdict(self))


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


async def activate(
    redis: Redis,
    source: str,
    version: str,
    *,
    at: float | None = None,
    by: str | None = None,
    how: How = "activated",
    instead_of: str | None = None,
) -> bool:
    """Make a version live; replicas follow at their next batch. ``instead_of``: only where that one is live; whether it
    was. A shadow that becomes live is none any more."""
    condition = "" if instead_of is None else "instead"
    return await _activate(redis, source, Activation(version, how, at, by), condition, instead_of or "")


async def activate_first(
    redis: Redis, source: str, version: str, *, at: float | None = None, by: str | None = None
) -> bool:
    """Make a version live where none is; whether it was."""
    return await _activate(redis, source, Activation(version, "first", at, by), "first", "")


async def activations(redis: Redis, source: str) -> list[Activation]:
    """What was made live, oldest first: the last hundred times."""
    found = await command(redis, "LRANGE", keys.activations(source), 0, -1)
    return [Activation(**orjson.loads(entry)) for entry in reversed(found)]


def standing(made: Sequence[Activation]) -> list[str]:
    """Versions that were made live and not rolled back, oldest first: the last is live, the one before it would be
    after a roll-back. ``made`` oldest first."""
    stack: list[str] = []
    for one in made:
        if one.how == "rolled_back" and stack:
            stack.pop()
        if not stack or stack[-1] != one.version:
            stack.append(one.version)
    return stack


async def shadow(redis: Redis, source: str) -> str | None:
    """Version that judges beside the live one; None where none does."""
    found = await command(redis, "GET", keys.shadow_bundle(source))
    return found.decode() if found else None


async def set_shadow(redis: Redis, source: str, version: str | None) -> None:
    """Let a version judge beside the live one, or none; replicas follow at their next batch."""
    key = keys.shadow_bundle(source)
    await (command(redis, "DEL", key) if version is None else command(redis, "SET", key, version))


def pointers(source: str) -> list[str]:
    """Keys that a script with ``LUA_MAKE_LIVE`` needs: the pointer, the activations, the shadow."""
    return [keys.live_bundle(source), keys.activations(source), keys.shadow_bundle(source)]


async def _activate(redis: Redis, source: str, made: Activation, condition: str, live: str) -> bool:
    return bool(
        await ACTIVATE.call(
            redis, pointers(source), [made.version, made.to_json(), keys.ACTIVATIONS_KEPT, condition, live]
        )
    )
