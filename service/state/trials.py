"""Rules on trial: those of one named author that nobody else has agreed to.

All rules on trial of an author together may silence so many verdicts a week; past that they wait, and so do his next
ones, until somebody else says the same. Owns that account and which of the rules wait. What is silenced is known once a
batch is reported, so one batch may overshoot. A rule on trial is not before the learner: what one author alone said is
not learned.

Does not know who may agree, nor what a rule silences.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.script import Arg, Script

ACCOUNT_S = 7 * 86_400
"""An author's account of what he silenced alone starts anew so long after it began, seconds of Redis' clock."""

# A part of the scripts that keep the account. A trial is "allowed author", an account "count since".
LUA_TRIALS = f"""
local function clock() return tonumber(redis.call('TIME')[1]) end

local function account(accounts, author)
  local count, since = string.match(redis.call('HGET', accounts, author) or '', '^(%d+) (%d+)$')
  if not count or tonumber(since) + {ACCOUNT_S} <= clock() then return 0, clock() end
  return tonumber(count), tonumber(since)
end

local function charge(accounts, author, verdicts)
  local count, since = account(accounts, author)
  count = math.max(0, count + verdicts)
  redis.call('HSET', accounts, author, string.format('%d %d', count, since))
  return count
end

-- Ids of the rules on trial of an author.
local function on_trial(trials, author)
  local found, all = {{}}, redis.call('HGETALL', trials)
  for i = 1, #all, 2 do
    if string.match(all[i + 1], '^%d+ (.*)$') == author then found[#found + 1] = all[i] end
  end
  return found
end

-- Take rules out of force as one change; those that a pinned batch may ask for are kept as they were.
local function suspend(version, rules, waiting, removed, ttl, ids)
  local next_version, gone = (redis.call('GET', version) or '0') + 1, 0
  for _, id in ipairs(ids) do
    local rule = redis.call('HGET', rules, id)
    if rule then
      redis.call('HSET', removed, id, next_version .. ' ' .. clock() .. ' ' .. rule)
      redis.call('HSET', waiting, id, (string.gsub(rule, '^%d+ ', '')))
      redis.call('HDEL', rules, id)
      gone = gone + 1
    end
  end
  if gone > 0 then
    redis.call('EXPIRE', removed, ttl)
    redis.call('SET', version, next_version)
  end
end

-- Put rules that wait in force, as of a version.
local function resume(version, rules, waiting, ids)
  for _, id in ipairs(ids) do
    local rule = redis.call('HGET', waiting, id)
    if rule then
      redis.call('HSET', rules, id, version .. ' ' .. rule)
      redis.call('HDEL', waiting, id)
    end
  end
end
"""

# KEYS version, rules, trials, accounts, waiting. ARGV the version that this builds on, id, entry, allowed, author.
# Reply: the new version, 0 where another change came first.
TRY = Script(
    "try_rule",
    LUA_TRIALS
    + """
if ARGV[1] ~= '' and (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local version = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[4] .. ' ' .. ARGV[5])
if account(KEYS[4], ARGV[5]) < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[2], ARGV[2], version .. ' ' .. ARGV[3])
else
  redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
end
return version
""",
)

# KEYS version, rules, trials, accounts, waiting, lessons, hits. ARGV the version that this builds on, lessons kept,
# ids. Reply: the new version, 0 where another change came first.
AGREE = Script(
    "agree_to_rule",
    LUA_TRIALS
    + """
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local version = redis.call('INCR', KEYS[1])
for i = 3, #ARGV do
  local allowed, author = string.match(redis.call('HGET', KEYS[3], ARGV[i]) or '', '^(%d+) (.*)$')
  if allowed then
    redis.call('HDEL', KEYS[3], ARGV[i])
    resume(version, KEYS[2], KEYS[5], {ARGV[i]})
    redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[2], '*', 'id', ARGV[i])
    local left = charge(KEYS[4], author, -(tonumber(redis.call('HGET', KEYS[7], ARGV[i]) or '0')))
    if left < tonumber(allowed) then resume(version, KEYS[2], KEYS[5], on_trial(KEYS[3], author)) end
  end
end
return version
""",
)

# KEYS version, rules, trials, accounts, waiting, removed, hits. ARGV allowed, TTL of removed rules s, ids.
DOUBT = Script(
    "doubt_rule",
    LUA_TRIALS
    + """
for i = 3, #ARGV do
  local rule = redis.call('HGET', KEYS[2], ARGV[i])
  if rule then
    local author = cjson.decode((string.gsub(rule, '^%d+ ', '')))['author']
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[1] .. ' ' .. author)
    if charge(KEYS[4], author, tonumber(redis.call('HGET', KEYS[7], ARGV[i]) or '0')) >= tonumber(ARGV[1]) then
      suspend(KEYS[1], KEYS[2], KEYS[5], KEYS[6], ARGV[2], on_trial(KEYS[3], author))
    end
  end
end
return 1
""",
)


async def put(redis: Redis, source: str, rule_id: str, rule: Mapping[str, Any], after: int | None, allowed: int) -> int:
    """Add a rule on trial of its ``author``, whose rules on trial may silence ``allowed`` verdicts together; in force,
    or waiting where they have. The new version, 0 (and nothing is added) where it is not the one after ``after``."""
    args: list[Arg] = ["" if after is None else after, rule_id, orjson.dumps(rule), allowed, rule["author"]]
    return int(await TRY.call(redis, _account_keys(source), args))


async def agree(redis: Redis, source: str, ids: Sequence[str], after: int) -> int:
    """Somebody else says the same as some rules on trial: they are on trial no more, in force, before the learner, and
    what they silenced is no longer held against their authors. Returns as ``put`` does."""
    under = [*_account_keys(source), keys.lessons(source), keys.rule_hits(source)]
    return int(await AGREE.call(redis, under, [after, keys.LESSONS_KEPT, *ids]))


async def doubt(redis: Redis, source: str, ids: Sequence[str], allowed: int) -> None:
    """Whoever agreed takes it back: those of the rules that are in force are on trial again."""
    if ids:
        under = [*_account_keys(source), keys.removed_rules(source), keys.rule_hits(source)]
        await DOUBT.call(redis, under, [allowed, keys.BATCH_TTL_S, *ids])


def author_of(trial: bytes) -> str:
    """Who gave a rule on trial, of what is kept of it."""
    return trial.decode().partition(" ")[2]


def _account_keys(source: str) -> list[str]:
    return [
        keys.rules_version(source), keys.rules(source), keys.trials(source), keys.accounts(source),
        keys.waiting_rules(source),
    ]  # fmt: skip
