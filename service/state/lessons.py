"""What waits to be learned, who learns it, and the moment in which a version takes the place of another.

Owns the stream of a source's answers, its consumer group, and the learner's lease. One learner works on a source at a
time; whoever lost the lease meanwhile publishes nothing. What was read and not settled is read again by the next
learner, so a killed one loses nothing, and as a version goes live in the same step in which its answers are settled,
nothing is learned twice. Answers come into the stream with their rule (``rules``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from models.errors import StateError
from service.state import keys
from service.state.connection import command
from service.state.script import Arg, Script
from service.state.sources import LUA_MAKE_LIVE, Activation, pointers

GROUP = "learner"
MEMBER = "learner"
"""One name for all: who holds the lease goes on with what the one before left."""

# KEYS lease. ARGV token, TTL ms. Reply: 1 where the lease is ours.
TAKE = Script(
    "take_learner_lease",
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""",
)

# KEYS lease. ARGV token.
LEAVE = Script(
    "leave_learner_lease",
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
)

# Settled entries leave the stream, so that its length is what waits.
# KEYS lease, stream. ARGV token, group, entry ids. Reply: 1 done, 0 the lease is another's.
LUA_SETTLE = """
local function settle(stream, group, from)
  for i = from, #ARGV do
    redis.call('XACK', stream, group, ARGV[i])
    redis.call('XDEL', stream, ARGV[i])
  end
end
"""
SETTLE = Script(
    "settle_lessons",
    LUA_SETTLE
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
settle(KEYS[2], ARGV[2], 3)
return 1
""",
)

# KEYS lease, stream, rules, live bundle, activations, shadow. ARGV token, group, live version, candidate, its entry,
# entries kept, how many rules it learned, their ids, entry ids. Reply: 1 done, 0 the lease is another's, -1 another
# version is live, -2 a rule was taken back since it was read.
PUBLISH = Script(
    "publish_candidate",
    LUA_SETTLE
    + LUA_MAKE_LIVE
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[4]) ~= ARGV[3] then return -1 end
local learned = tonumber(ARGV[7])
for i = 8, 7 + learned do
  if redis.call('HEXISTS', KEYS[3], ARGV[i]) == 0 then return -2 end
end
make_live(KEYS[4], KEYS[5], KEYS[6], ARGV[4], ARGV[5], ARGV[6])
settle(KEYS[2], ARGV[2], 8 + learned)
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answer in the stream: its ``entry`` and its ``id``."""

    entry: str
    id: str


async def take(redis: Redis, source: str, token: str) -> bool:
    """Take or renew the lease on a source; whether it is ours."""
    return bool(await TAKE.call(redis, [keys.learner(source)], [token, keys.LEARNER_LEASE_TTL_S * 1000]))


async def leave(redis: Redis, source: str, token: str) -> None:
    """Give the lease back."""
    await LEAVE.call(redis, [keys.learner(source)], [token])


async def read(redis: Redis, source: str, limit: int = 1_000) -> list[Waiting]:
    """What waits, oldest first: what was read before and not settled, then what is new. For the holder of the lease."""
    try:
        await command(redis, "XGROUP", "CREATE", keys.lessons(source), GROUP, "0", "MKSTREAM")
    except StateError as error:
        if not isinstance(error.__cause__, ResponseError) or "BUSYGROUP" not in str(error.__cause__):
            raise
    found: list[Waiting] = []
    for after in ("0", ">"):
        reply = await command(
            redis, "XREADGROUP", "GROUP", GROUP, MEMBER, "COUNT", limit, "STREAMS", keys.lessons(source), after
        )
        for _, entries in reply or ():
            # An entry that was trimmed away since it was read has no fields: there is nothing left to learn of it.
            found += [Waiting(entry.decode(), (fields or {}).get(b"id", b"").decode()) for entry, fields in entries]
    return found


async def settle(redis: Redis, source: str, token: str, entries: Sequence[str]) -> bool:
    """Settle entries; False (and nothing happens) where the lease is another's by now."""
    return bool(await SETTLE.call(redis, [keys.learner(source), keys.lessons(source)], [token, GROUP, *entries]))


async def publish(
    redis: Redis,
    source: str,
    token: str,
    entries: Sequence[str],
    learned: Sequence[str],
    *,
    instead_of: str,
    made: Activation,
) -> bool:
    """Settle entries and make a version live, in one step. False, and nothing happens, where the lease is another's by
    now, another version than ``instead_of`` is live, or one of the rules that it ``learned`` was taken back."""
    under = [keys.learner(source), keys.lessons(source), keys.rules(source), *pointers(source)]
    args: list[Arg] = [token, GROUP, instead_of, made.version, made.to_json(), keys.ACTIVATIONS_KEPT, len(learned)]
    return int(await PUBLISH.call(redis, under, [*args, *learned, *entries])) == 1


async def waiting(redis: Redis, source: str) -> int:
    """How many answers are not settled."""
    return int(await command(redis, "XLEN", keys.lessons(source)))
