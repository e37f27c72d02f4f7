"""Entries of the durable queue that could not be processed: how often they were tried, and what became of them.

Owns that an entry is in the queue or among the dead, never in both and never in neither, and how many dead ones are
kept. Does not know why an entry fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import Word, command, pipelined
from service.state.leases import Fence, check
from service.state.queue import Entry, entry_of
from service.state.script import Arg, Script

REASON_CHARACTERS = 2_000

# KEYS state. ARGV token. Reply: how often what is being taken has failed.
FAIL = Script(
    "fail_in_queue",
    """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 'fenced' end
if redis.call('HEXISTS', KEYS[1], 'last') == 0 then return 0 end
return redis.call('HINCRBY', KEYS[1], 'tries', 1)
""",
)

# KEYS stream, state, dead. ARGV token, entry, reason, when (seconds), how many dead ones are kept. Reply: 1, or 0 where
# it was not there.
BURY = Script(
    "bury_in_queue",
    """
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] then return 'fenced' end
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
redis.call('HDEL', KEYS[2], 'last', 'holder', 'tries')
if not found then return 0 end
local words = found[2]
words[#words + 1], words[#words + 2], words[#words + 3], words[#words + 4] = 'reason', ARGV[3], 'died', ARGV[4]
redis.call('XADD', KEYS[3], '*', unpack(words))
redis.call('XTRIM', KEYS[3], 'MAXLEN', ARGV[5])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HINCRBY', KEYS[2], 'lines', -found[2][2])
return 1
""",
)

# KEYS dead, stream, state. ARGV entry of the dead. Reply: 1, or 0 where it was not there. It goes
# behind all that waits.
RAISE = Script(
    "raise_in_queue",
    """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not found then return 0 end
local words = found[2]
for i = #words, 1, -1 do if i > 10 then words[i] = nil end end
local prior = redis.call('HGET', KEYS[3], 'prior')
if prior and tonumber(prior) > tonumber(words[4]) then words[4] = prior end
redis.call('XADD', KEYS[2], '*', unpack(words))
redis.call('HINCRBY', KEYS[3], 'lines', words[2])
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Dead:
    """An entry that nobody tries any more, since ``died`` (seconds), and why."""

    entry: Entry
    reason: str
    died: float

    @property
    def id(self) -> str:
        """Its name among the dead of its source."""
        return f"{self.entry.partition:02d}-{self.entry.id}"


async def fail(redis: Redis, source: str, fence: Fence) -> int:
    """Note that the run at work failed; how often by now. Raises Fenced, StateError."""
    reply = await FAIL.call(redis, [keys.queue_state(fence.partition, source)], [fence.token])
    check(reply, fence.partition)
    return int(reply)


async def bury(redis: Redis, source: str, fence: Fence, entry: Entry, reason: str, now: float) -> bool:
    """An entry goes to the dead; False where it was not in the queue. Raises Fenced, StateError."""
    p = fence.partition
    names = [keys.queue(p, source), keys.queue_state(p, source), keys.queue_dead(p, source)]
    args: list[Arg] = [fence.token, entry.id, reason[:REASON_CHARACTERS], repr(float(now)), keys.DEAD_ENTRIES_KEPT]
    reply = await BURY.call(redis, names, args)
    check(reply, p)
    return bool(reply)


async def everyone(redis: Redis, source: str, limit: int) -> list[Dead]:
    """The dead of a source, those that died last first."""
    commands: list[list[Word]] = [
        ["XREVRANGE", keys.queue_dead(p, source), "+", "-", "COUNT", limit] for p in range(keys.PARTITIONS)
    ]
    found: list[Dead] = []
    for p, replies in enumerate(await pipelined(redis, commands)):
        for entry_id, flat in replies:
            named = {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)} if isinstance(flat, list) else flat
            words = [word for pair in named.items() for word in pair]
            reason = named[b"reason"].decode(errors="replace")
            found.append(Dead(entry_of(p, entry_id, words), reason, float(named[b"died"])))
    return sorted(found, key=lambda dead: -dead.died)[:limit]


async def count(redis: Redis, source: str) -> int:
    """How many entries of a source are dead."""
    return sum(await pipelined(redis, [["XLEN", keys.queue_dead(p, source)] for p in range(keys.PARTITIONS)]))


async def raise_dead(redis: Redis, source: str, dead: Sequence[Dead]) -> int:
    """Let dead entries wait again, behind all that waits; how many still were there."""
    calls: list[tuple[list[str], list[Arg]]] = []
    for one in dead:
        p = one.entry.partition
        names = [keys.queue_dead(p, source), keys.queue(p, source), keys.queue_state(p, source)]
        calls.append((names, [one.entry.id]))
    found = sum(await RAISE.call_each(redis, calls)) if calls else 0
    await command(redis, "INCR", keys.queue_bell(source))
    return found


async def drop(redis: Redis, source: str, dead: Sequence[Dead]) -> int:
    """Forget dead entries; how many still were there."""
    found = 0
    for one in dead:
        found += int(await command(redis, "XDEL", keys.queue_dead(one.entry.partition, source), one.entry.id))
    return found
