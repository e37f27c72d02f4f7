"""Feedback that people gave, the audit trail of giving, refusing and undoing it, and how fast an author may go on.

Owns storage, order and pace. Does not know what feedback does: rules are in ``rules``, learning in the learner. All
sources share one slot, as feedback comes at the pace of people.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined
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

# KEYS bucket. ARGV wall clock, tokens a minute, TTL s. Reply: 0 where one was taken, else seconds until there is one.
DRAW = Script(
    "draw_token",
    """
local now, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local tokens, at = unpack(redis.call('HMGET', KEYS[1], 'tokens', 'at'))
tokens = tonumber(tokens or most)
local stamp = ARGV[1]
if at then
  tokens = math.min(most, tokens + math.max(0, now - tonumber(at)) * most / 60)
  if tonumber(at) > now then stamp = at end
end
local wait = 0
if tokens < 1 then wait = (1 - tokens) * 60 / most else tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', stamp)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return tostring(wait)
""",
)

READ_AT_ONCE = 1_000

Sees = Callable[[str], bool]
"""Whether somebody may see a source."""
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


async def newest(
    redis: Redis, source: str | None = None, limit: int = 1000, sees: Sees | None = None
) -> list[dict[str, Any]]:
    """Items, newest first; of one source (their ``source``), and of those that somebody ``sees``, where given."""
    ids = await command(redis, "ZREVRANGE", keys.FEEDBACK_INDEX, 0, -1 if source or sees else limit - 1)
    bodies = await command(redis, "HMGET", keys.FEEDBACK, *ids) if ids else []
    items = [orjson.loads(body) for body in bodies if body]
    return [
        item
        for item in items
        if source in (None, item.get("source")) and (sees is None or sees(item.get("source", "")))
    ][:limit]


async def delete(redis: Redis, feedback_id: str, audit: Mapping[str, Any]) -> dict[str, Any] | None:
    """Undo an item, with its audit entry; returns what it was, None where there is none."""
    found = await DELETE.call(redis, _KEYS, [feedback_id, orjson.dumps(audit), keys.AUDIT_KEPT])
    return orjson.loads(found) if found else None


async def undo(redis: Redis, ids: Sequence[str], audit: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Undo some items, with an audit entry for each by its id; returns what they were, those that were there."""
    calls: list[tuple[list[str], list[Arg]]] = [
        (_KEYS, [name, orjson.dumps(audit[name]), keys.AUDIT_KEPT]) for name in ids
    ]
    found = await DELETE.call_each(redis, calls) if calls else []
    return [orjson.loads(item) for item in found if item]


async def by_author(redis: Redis, author: str) -> list[dict[str, Any]]:
    """All items of one author, oldest first."""
    ids = await command(redis, "ZRANGE", keys.FEEDBACK_INDEX, 0, -1)
    found = []
    for start in range(0, len(ids), READ_AT_ONCE):
        bodies = await command(redis, "HMGET", keys.FEEDBACK, *ids[start : start + READ_AT_ONCE])
        found += [item for item in (orjson.loads(body) for body in bodies if body) if item.get("author") == author]
    return found


async def draw(redis: Redis, author: str, now: float, per_minute: int) -> float:
    """Take one of the ``per_minute`` tokens that an author gets, as many at once; 0 where there was one, else the
    seconds until there will be. ``now``: wall clock, seconds."""
    bucket = keys.feedback_bucket(hashlib.sha256(author.encode("utf-8", "surrogatepass")).hexdigest()[:32])
    return float(await DRAW.call(redis, [bucket], [repr(float(now)), per_minute, keys.BUCKET_TTL_S]))


async def note(redis: Redis, audit: Mapping[str, Any]) -> None:
    """Add to the audit trail what changed nothing: a refusal."""
    commands: list[list[str | bytes | int]] = [
        ["LPUSH", keys.FEEDBACK_AUDIT, orjson.dumps(audit)], ["LTRIM", keys.FEEDBACK_AUDIT, 0, keys.AUDIT_KEPT - 1]
    ]  # fmt: skip
    await pipelined(redis, commands)


async def audit_trail(redis: Redis, limit: int = 1000, sees: Sees | None = None) -> list[dict[str, Any]]:
    """What was given, refused and undone, newest first; of sources that somebody ``sees`` where given."""
    found = await command(redis, "LRANGE", keys.FEEDBACK_AUDIT, 0, -1 if sees else limit - 1)
    entries = [orjson.loads(entry) for entry in found]
    return [entry for entry in entries if sees is None or sees(entry.get("source", ""))][:limit]
