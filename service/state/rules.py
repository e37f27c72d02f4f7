"""Feedback rules of a source and the anomalies that no rule may silence, with a version that grows by one with each
change, so that replicas know when to read them.

Owns which rules stand at a version: a batch that is retried is judged by those of its first attempt, so a rule that
goes is kept for as long as a batch may be retried. Does not know what a rule silences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined
from service.state.script import Arg, Script
from service.state.trials import LUA_TRIALS, author_of

# A part of the scripts that read rules: nothing where the reader has that version, else the rules as they are, and of
# those that went since, when the version is an older one.
LUA_RULES = """
local function rules_at(version, now, known, rules, removed)
  if version == known then return {} end
  return {redis.call('HGETALL', rules), version == now and {} or redis.call('HGETALL', removed)}
end
"""

# KEYS version, rules, removed, and where the version is to be pinned, under what. ARGV known version, TTL of the pin s.
READ = Script(
    "read_rules",
    LUA_RULES
    + """
local now = redis.call('GET', KEYS[1]) or '0'
local version = now
if KEYS[4] then
  version = redis.call('GET', KEYS[4]) or now
  redis.call('SET', KEYS[4], version, 'EX', ARGV[2])
end
return {version, rules_at(version, now, ARGV[1], KEYS[2], KEYS[3])}
""",
)

# KEYS version, hashes.
LOAD = Script(
    "load_rules",
    """
local found = {redis.call('GET', KEYS[1]) or '0'}
for i = 2, #KEYS do found[i] = redis.call('HGETALL', KEYS[i]) end
return found
""",
)

# KEYS version, the hash, lessons. ARGV the version that this builds on ('': any), id, entry, lessons kept. Reply: the
# new version, 0 where another change came first. What is in force is in the learner's stream from the same moment on.
ADD = Script(
    "add_rule",
    """
if ARGV[1] ~= '' and (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local version = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], ARGV[2], version .. ' ' .. ARGV[3])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'id', ARGV[2])
return version
""",
)

# KEYS version, rules, cases, removed. ARGV wall clock, how long removed rules are kept s, ids. Reply: how many went.
REMOVE = Script(
    "remove_rules",
    """
local gone, now, ttl = 0, tonumber(ARGV[1]), tonumber(ARGV[2])
local version = (redis.call('GET', KEYS[1]) or '0') + 1
local kept = redis.call('HGETALL', KEYS[4])
for i = 1, #kept, 2 do
  local at = string.match(kept[i + 1], '^%d+ (%S+)')
  if tonumber(at) + ttl < now then redis.call('HDEL', KEYS[4], kept[i]) end
end
for i = 3, #ARGV do
  local rule = redis.call('HGET', KEYS[2], ARGV[i])
  if rule then redis.call('HSET', KEYS[4], ARGV[i], version .. ' ' .. ARGV[1] .. ' ' .. rule) end
  gone = gone + redis.call('HDEL', KEYS[2], ARGV[i]) + redis.call('HDEL', KEYS[3], ARGV[i])
end
redis.call('EXPIRE', KEYS[4], ttl)
if gone > 0 then redis.call('SET', KEYS[1], version) end
return gone
""",
)

# KEYS version, rules, removed, retired. ARGV wall clock, how long removed rules are kept s, ids. Reply: how many went.
RETIRE = Script(
    "retire_rules",
    """
local gone = 0
local version = (redis.call('GET', KEYS[1]) or '0') + 1
for i = 3, #ARGV do
  local rule = redis.call('HGET', KEYS[2], ARGV[i])
  if rule then
    redis.call('HSET', KEYS[3], ARGV[i], version .. ' ' .. ARGV[1] .. ' ' .. rule)
    redis.call('HSET', KEYS[4], ARGV[i], (string.gsub(rule, '^%d+ ', '')))
    gone = gone + redis.call('HDEL', KEYS[2], ARGV[i])
  end
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
if gone > 0 then redis.call('SET', KEYS[1], version) end
return gone
""",
)

# KEYS version, rules, retired, lessons. ARGV lessons kept, ids. Reply: how many are in force again.
REINSTATE = Script(
    "reinstate_rules",
    """
local back = 0
local version = (redis.call('GET', KEYS[1]) or '0') + 1
for i = 2, #ARGV do
  local rule = redis.call('HGET', KEYS[3], ARGV[i])
  if rule then
    redis.call('HSET', KEYS[2], ARGV[i], version .. ' ' .. rule)
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[1], '*', 'id', ARGV[i])
    back = back + 1
  end
end
if back > 0 then redis.call('SET', KEYS[1], version) end
return back
""",
)

# KEYS hits, rules, version, trials, accounts, waiting, removed, and the marker where the batch may be retried. ARGV
# marker TTL s, (rule id, hits) flat.
HIT = Script(
    "hit_rules",
    LUA_TRIALS
    + """
if KEYS[8] and not redis.call('SET', KEYS[8], '1', 'NX', 'EX', ARGV[1]) then return 0 end
local over = {}
for i = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then
    redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
    local allowed, author = string.match(redis.call('HGET', KEYS[4], ARGV[i]) or '', '^(%d+) (.*)$')
    if allowed and charge(KEYS[5], author, tonumber(ARGV[i + 1])) >= tonumber(allowed) then over[author] = true end
  end
end
for author in pairs(over) do
  suspend(KEYS[3], KEYS[2], KEYS[6], KEYS[7], ARGV[1], on_trial(KEYS[4], author))
end
return 1
""",
)


@dataclass(frozen=True, slots=True)
class StoredRules:
    """The rules of a source by id, as of ``version``; of the same, and only where ``load`` read it: ``cases``, rules
    that are ``waiting`` for a second author, and of all on ``trial``, in force or waiting, who gave them."""

    version: int
    rules: dict[str, dict[str, Any]]
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    trial: dict[str, str] = field(default_factory=dict)


NOTHING = StoredRules(0, {})


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a rule: how many verdicts it silenced, whether it is stored, whether it is on ``trial`` until a
    second author agrees, and whether it is ``waiting`` for that out of force."""

    hits: int
    stored: bool
    trial: bool = False
    waiting: bool = False


def names(source: str) -> list[str]:
    """Keys that a script with ``LUA_RULES`` needs: the version, the rules, and those that went."""
    return [keys.rules_version(source), keys.rules(source), keys.removed_rules(source)]


def as_read(version: bytes, reply: Sequence[Sequence[bytes]], known: StoredRules) -> StoredRules:
    """What ``rules_at`` replied: the rules as they stood at ``version``; ``known`` where it is that."""
    if not reply:
        return known
    at, (present, removed) = int(version), reply
    rules = {}
    for name, entry in _pairs(present):
        since, _, rule = entry.partition(b" ")
        if int(since) <= at:
            rules[name] = orjson.loads(rule)
    for name, entry in _pairs(removed):
        until, _, since, rule = entry.split(b" ", 3)
        if int(since) <= at < int(until):
            rules[name] = orjson.loads(rule)
    return StoredRules(at, rules)


async def read(redis: Redis, source: str, known: StoredRules = NOTHING, pin: str | None = None) -> StoredRules:
    """The rules as they stand, ``known`` itself where nothing changed; where they are pinned under a key, those of the
    first time within 15 minutes."""
    under = names(source) if pin is None else [*names(source), pin]
    version, reply = await READ.call(redis, under, [known.version, keys.BATCH_TTL_S])
    return as_read(version, reply, known)


async def unpin(redis: Redis, pin: str) -> None:
    """What was judged under a pin is reported: nothing will read it again."""
    await command(redis, "DEL", pin)


async def load(redis: Redis, source: str) -> StoredRules:
    """All rules and cases of a source."""
    under = [keys.rules_version(source), keys.rules(source), keys.cases(source)]
    under += [keys.waiting_rules(source), keys.trials(source)]
    version, rules, cases, waiting, trial = await LOAD.call(redis, under, [])
    return StoredRules(
        int(version), _entries(rules), _entries(cases),
        {name: orjson.loads(rule) for name, rule in _pairs(waiting)},
        {name: author_of(entry) for name, entry in _pairs(trial)},
    )  # fmt: skip


async def put(redis: Redis, source: str, rule_id: str, rule: Mapping[str, Any], after: int | None = None) -> int:
    """Add a rule; returns the new version, 0 (and nothing is added) where it is not the one that follows ``after``."""
    return await _add(redis, keys.rules(source), source, rule_id, rule, after)


async def protect(redis: Redis, source: str, case_id: str, case: Mapping[str, Any], after: int | None = None) -> int:
    """Add a case, likewise."""
    return await _add(redis, keys.cases(source), source, case_id, case, after)


async def remove(redis: Redis, source: str, ids: Sequence[str], now: float) -> int:
    """Remove rules and cases, as one change at wall clock ``now``; how many there were."""
    if not ids:
        return 0
    for name in (keys.retired_rules, keys.waiting_rules, keys.trials):
        await command(redis, "HDEL", name(source), *ids)
    under = [keys.rules_version(source), keys.rules(source), keys.cases(source), keys.removed_rules(source)]
    return int(await REMOVE.call(redis, under, [repr(float(now)), keys.BATCH_TTL_S, *ids]))


async def retire(redis: Redis, source: str, ids: Sequence[str], now: float) -> int:
    """Take rules out of force that the live version has learned, at wall clock ``now``; how many there were."""
    if not ids:
        return 0
    under = [*names(source), keys.retired_rules(source)]
    return int(await RETIRE.call(redis, under, [repr(float(now)), keys.BATCH_TTL_S, *ids]))


async def retired(redis: Redis, source: str) -> dict[str, dict[str, Any]]:
    """Rules out of force because a version learned them, by id."""
    found = await command(redis, "HGETALL", keys.retired_rules(source))
    return {name.decode(): orjson.loads(rule) for name, rule in found.items()}


async def reinstate(redis: Redis, source: str, ids: Sequence[str]) -> int:
    """Put retired rules in force again, and before the learner; how many there were."""
    if not ids:
        return 0
    under = [keys.rules_version(source), keys.rules(source), keys.retired_rules(source), keys.lessons(source)]
    return int(await REINSTATE.call(redis, under, [keys.LESSONS_KEPT, *ids]))


async def hit(redis: Redis, source: str, hits: Mapping[str, int], batch_id: str | None = None, part: str = "") -> bool:
    """Count what rules silenced, exactly once for a ``batch_id`` and ``part``; whether it was counted."""
    if not hits:
        return False
    under = [
        keys.rule_hits(source), keys.rules(source), keys.rules_version(source), keys.trials(source),
        keys.accounts(source), keys.waiting_rules(source), keys.removed_rules(source),
    ]  # fmt: skip
    if batch_id is not None:
        under.append(keys.applied(source, "hits", batch_id, part))
    ttl_s = keys.retry_ttl_s(batch_id)
    return bool(await HIT.call(redis, under, [ttl_s, *(word for pair in hits.items() for word in pair)]))


async def hits(redis: Redis, source: str) -> dict[str, int]:
    """How many verdicts each rule silenced."""
    found = await command(redis, "HGETALL", keys.rule_hits(source))
    return {rule_id.decode(): int(count) for rule_id, count in found.items()}


async def standing(redis: Redis, source: str, ids: Sequence[str]) -> dict[str, Standing]:
    """What became of some rules."""
    if not ids:
        return {}
    hashes = (keys.rule_hits, keys.rules, keys.trials, keys.waiting_rules)
    counts, *found = await pipelined(redis, [["HMGET", name(source), *ids] for name in hashes])
    return {
        name: Standing(int(count or 0), *(entry is not None for entry in own))
        for name, count, *own in zip(ids, counts, *found, strict=True)
    }


async def forget_hits(redis: Redis, source: str, ids: Sequence[str]) -> None:
    """Drop the counts of rules that nobody asks for any more."""
    if ids:
        await command(redis, "HDEL", keys.rule_hits(source), *ids)


async def _add(redis: Redis, into: str, source: str, entry_id: str, entry: Mapping[str, Any], after: int | None) -> int:
    args: list[Arg] = ["" if after is None else after, entry_id, orjson.dumps(entry), keys.LESSONS_KEPT]
    return int(await ADD.call(redis, [keys.rules_version(source), into, keys.lessons(source)], args))


def _pairs(flat: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2)]


def _entries(flat: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    return {name: orjson.loads(entry.partition(b" ")[2]) for name, entry in _pairs(flat)}
