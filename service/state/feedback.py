"""Feedback that people gave, and the audit trail of giving and undoing it.

Owns storage and order. Does not know what feedback does: rules are in ``rules``, learning in the learner. All sources
share one slot, as feedback comes at the pace of people.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Arg, Script

# KEYS items, index, audit. ARGV id, item, time, audit entry, audit cap.
PUT = Script(
    "put_feedback",
    """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[4])
redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
return 1
""",
)

# KEYS items. ARGV id, item.
REPLACE = Script(
    "replace_feedback",
    """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
""",
)

# KEYS items, index, audit. ARGV id, audit entry, audit cap.
DELETE = Script(
    "delete_feedback",
    """
local item = redis.call('HGET', KEYS[1], ARGV[1])
if not item then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[2])
redis.call('LTRIM', KEYS[3], 0, ARGV[3] - 1)
return item
""",
)

_KEYS = [keys.FEEDBACK, keys.FEEDBACK_INDEX, keys.FEEDBACK_AUDIT]


async def put(redis: Redis, feedback_id: str, item: Mapping[str, Any], time: float, audit: Mapping[str, Any]) -> bool:
    """Store an item given at ``time`` (wall clock, seconds) with its audit entry; False where the id is taken."""
    args: list[Arg] = [feedback_id, orjson.dumps(item), repr(float(time)), orjson.dumps(audit), keys.AUDIT_KEPT]
    return bool(await PUT.call(redis, _KEYS, args))


async def replace(redis: Redis, feedback_id: str, item: Mapping[str, Any]) -> bool:
    """Store an item anew, in its place, for what became of it; False where it is unknown or undone."""
    return bool(await REPLACE.call(redis, [keys.FEEDBACK], [feedback_id, orjson.dumps(item)]))


async def get(redis: Redis, feedback_id: str) -> dict[str, Any] | None:
    """One item; None where it is unknown or undone."""
    found = await command(redis, "HGET", keys.FEEDBACK, feedback_id)
    return orjson.loads(found) if found else None


async def newest(redis: Redis, source: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
    """Items, newest first; of one source (their ``source``) where given."""
    ids = await command(redis, "ZREVRANGE", keys.FEEDBACK_INDEX, 0, -1 if source else limit - 1)
    bodies = await command(redis, "HMGET", keys.FEEDBACK, *ids) if ids else []
    items = [orjson.loads(body) for body in bodies if body]
    return [item for item in items if source is None or item.get("source") == source][:limit]


async def delete(redis: Redis, feedback_id: str, audit: Mapping[str, Any]) -> dict[str, Any] | None:
    """Undo an item, with its audit entry; returns what it was, None where there is none."""
    found = await DELETE.call(redis, _KEYS, [feedback_id, orjson.dumps(audit), keys.AUDIT_KEPT])
    return orjson.loads(found) if found else None


async def audit_trail(redis: Redis, limit: int = 1000) -> list[dict[str, Any]]:
    """What was given and undone, newest first."""
    entries = await command(redis, "LRANGE", keys.FEEDBACK_AUDIT, 0, limit - 1)
    return [orjson.loads(entry) for entry in entries]
