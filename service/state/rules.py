"""Feedback rules of a source, with a version that grows by one with each change, so that replicas know when to read
them.

Does not know what a rule silences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Script

# KEYS rules, version. ARGV id, rule ('' removes it).
CHANGE = Script(
    "change_rule",
    """
if ARGV[2] == '' then
  if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return redis.call('INCR', KEYS[2])
""",
)

# KEYS rules, version.
LOAD = Script("load_rules", "return {redis.call('GET', KEYS[2]) or '0', redis.call('HGETALL', KEYS[1])}")

# KEYS hits, and the marker where the batch may be retried. ARGV marker TTL s, (rule id, hits) flat.
HIT = Script(
    "hit_rules",
    """
if KEYS[2] and not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
""",
)


@dataclass(frozen=True, slots=True)
class StoredRules:
    """The rules of a source by id, as of ``version``."""

    version: int
    rules: dict[str, dict[str, Any]]


async def put(redis: Redis, source: str, rule_id: str, rule: Mapping[str, Any]) -> int:
    """Add or replace a rule; returns the new version."""
    names = [keys.rules(source), keys.rules_version(source)]
    return int(await CHANGE.call(redis, names, [rule_id, orjson.dumps(rule)]))


async def remove(redis: Redis, source: str, rule_id: str) -> bool:
    """Remove a rule; False where there is none."""
    return bool(await CHANGE.call(redis, [keys.rules(source), keys.rules_version(source)], [rule_id, ""]))


async def load(redis: Redis, source: str) -> StoredRules:
    """All rules of a source."""
    version, flat = await LOAD.call(redis, [keys.rules(source), keys.rules_version(source)], [])
    return StoredRules(int(version), {flat[i].decode(): orjson.loads(flat[i + 1]) for i in range(0, len(flat), 2)})


async def hit(redis: Redis, source: str, hits: Mapping[str, int], batch_id: str | None = None, part: str = "") -> bool:
    """Count what rules silenced, exactly once for a ``batch_id`` and ``part``; whether it was counted."""
    if not hits:
        return False
    names = [keys.rule_hits(source)]
    if batch_id is not None:
        names.append(keys.applied(source, "hits", batch_id, part))
    return bool(await HIT.call(redis, names, [keys.BATCH_TTL_S, *(word for pair in hits.items() for word in pair)]))


async def hits(redis: Redis, source: str) -> dict[str, int]:
    """How many verdicts each rule silenced."""
    found = await command(redis, "HGETALL", keys.rule_hits(source))
    return {rule_id.decode(): int(count) for rule_id, count in found.items()}
