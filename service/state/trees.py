"""Template trees in Redis: a snapshot, and a log of the changes since, one for each version.

Owns the order in which replicas change a source's tree. Does not know what a change does: it is plain JSON with
``version`` (growing by one) and ``kind``, a snapshot plain JSON with ``tree_id`` and ``version``
(``models.template.tree``).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys
from service.state.connection import command
from service.state.script import Arg, Script

LOCK_POLL_S = 0.01

# KEYS tree, base, log. ARGV snapshot, its tree id, its version, and '1' to replace what is there.
SEED = Script(
    "seed_tree",
    """
if ARGV[4] ~= '1' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'version', ARGV[3], 'base', ARGV[3])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
return 1
""",
)

# KEYS tree, base, log.
LOAD = Script(
    "load_tree",
    """
local id = redis.call('HGET', KEYS[1], 'id')
if not id then return {} end
return {id, redis.call('GET', KEYS[2]), redis.call('LRANGE', KEYS[3], 0, -1)}
""",
)

# KEYS tree, log. ARGV tree id, version. The reply's first: 1 found, 0 another tree or compacted past it.
CHANGES = Script(
    "tree_changes",
    """
local id, version, base = unpack(redis.call('HMGET', KEYS[1], 'id', 'version', 'base'))
local since = tonumber(ARGV[2])
if id ~= ARGV[1] or since < tonumber(base) or since > tonumber(version) then return {0} end
return {1, redis.call('LRANGE', KEYS[2], since - base, -1)}
""",
)

# KEYS tree, log, the minute's counter. ARGV tree id, version that the changes build on, how many are new, TTL, changes.
PUBLISH = Script(
    "publish_tree",
    """
local id, version = unpack(redis.call('HMGET', KEYS[1], 'id', 'version'))
if id ~= ARGV[1] or version ~= ARGV[2] then return 0 end
for i = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('HSET', KEYS[1], 'version', tostring(tonumber(version) + #ARGV - 4))
if tonumber(ARGV[3]) > 0 then
  redis.call('INCRBY', KEYS[3], ARGV[3])
  redis.call('EXPIRE', KEYS[3], ARGV[4])
end
return 1
""",
)

# KEYS tree, base, log. ARGV snapshot, tree id, version.
COMPACT = Script(
    "compact_tree",
    """
local id, version, base = unpack(redis.call('HMGET', KEYS[1], 'id', 'version', 'base'))
local at = tonumber(ARGV[3])
if id ~= ARGV[2] or at <= tonumber(base) or at > tonumber(version) then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('LTRIM', KEYS[3], at - base, -1)
redis.call('HSET', KEYS[1], 'base', ARGV[3])
return 1
""",
)

# KEYS lock. ARGV token.
UNLOCK = Script(
    "unlock_tree", "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


@dataclass(frozen=True, slots=True)
class StoredTree:
    """A snapshot and the changes since, in version order."""

    snapshot: dict[str, Any]
    changes: list[dict[str, Any]]


async def seed(redis: Redis, source: str, snapshot: Mapping[str, Any]) -> bool:
    """Store a tree where the source has none; whether it was stored."""
    return await _seed(redis, source, snapshot, replace=False)


async def replace(redis: Redis, source: str, snapshot: Mapping[str, Any]) -> None:
    """Store a tree in place of whatever the source has: for activating another ``tree_id``."""
    await _seed(redis, source, snapshot, replace=True)


async def load(redis: Redis, source: str) -> StoredTree | None:
    """The source's tree as it stands; None where it has none."""
    found = await LOAD.call(redis, [keys.tree(source), keys.tree_base(source), keys.tree_log(source)], [])
    if not found:
        return None
    return StoredTree(orjson.loads(found[1]), [orjson.loads(change) for change in found[2]])


async def changes_since(redis: Redis, source: str, tree_id: str, version: int) -> list[dict[str, Any]] | None:
    """Changes after ``version`` in order; None where the tree is another or its log no longer reaches back: load it."""
    found = await CHANGES.call(redis, [keys.tree(source), keys.tree_log(source)], [tree_id, version])
    return [orjson.loads(change) for change in found[1]] if found[0] else None


async def publish(
    redis: Redis, source: str, tree_id: str, base_version: int, changes: Sequence[Mapping[str, Any]], minute: int
) -> bool:
    """Append changes to the tree if it still stands at ``base_version``; False: fetch what came between and learn
    again.

    New templates among them count against ``minute`` (minutes since the epoch). Raises ValueError where the versions of
    the changes do not follow on.
    """
    if [change["version"] for change in changes] != list(range(base_version + 1, base_version + 1 + len(changes))):
        raise ValueError(f"the versions of the changes do not follow on {base_version}")
    new = sum(change["kind"] == "new" for change in changes)
    names = [keys.tree(source), keys.tree_log(source), keys.new_templates(source, minute)]
    args: list[Arg] = [
        tree_id,
        base_version,
        new,
        keys.NEW_TEMPLATES_TTL_S,
        *(orjson.dumps(change) for change in changes),
    ]
    return bool(await PUBLISH.call(redis, names, args))


async def compact(redis: Redis, source: str, snapshot: Mapping[str, Any]) -> bool:
    """Make a snapshot of the same tree at a later version the base and drop the changes before it; whether it was."""
    names = [keys.tree(source), keys.tree_base(source), keys.tree_log(source)]
    args: list[Arg] = [orjson.dumps(snapshot), str(snapshot["tree_id"]), int(snapshot["version"])]
    return bool(await COMPACT.call(redis, names, args))


async def new_templates(redis: Redis, source: str, minute: int) -> int:
    """How many new templates were published in a minute since the epoch."""
    return int(await command(redis, "GET", keys.new_templates(source, minute)) or 0)


@asynccontextmanager
async def locked(redis: Redis, source: str, token: str, wait_s: float = 5.0) -> AsyncIterator[None]:
    """Hold the source's lock on learning templates; ``token`` is the holder's own.

    Spares replicas from learning the same twice; it is ``publish`` that keeps them from overwriting each other, so a
    holder that outlives the lock's ten seconds does no harm. Raises StateError where the lock is not free within
    ``wait_s``.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while not await _acquire(redis, source, token):
        if loop.time() > deadline:
            raise StateError(f"another replica has been learning templates of {source} for {wait_s} s; try again")
        await asyncio.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        await UNLOCK.call(redis, [keys.tree_lock(source)], [token])


async def _acquire(redis: Redis, source: str, token: str) -> bool:
    return bool(await command(redis, "SET", keys.tree_lock(source), token, "NX", "EX", keys.TREE_LOCK_TTL_S))


async def _seed(redis: Redis, source: str, snapshot: Mapping[str, Any], replace: bool) -> bool:
    names = [keys.tree(source), keys.tree_base(source), keys.tree_log(source)]
    args: list[Arg] = [
        orjson.dumps(snapshot),
        str(snapshot["tree_id"]),
        int(snapshot["version"]),
        "1" if replace else "0",
    ]
    return bool(await SEED.call(redis, names, args))
