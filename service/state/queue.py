"""The durable queue of accepted lines: one stream for each partition of each source.

Owns what makes an addition happen once, the order in a partition, which entries are taken together, and how often in
vain. Does not know what an entry's data says, nor who consumes (``leases``).

Entries are taken in runs. A run is written down before it is handed out and goes as a whole, so that a consumer which
is killed is followed by one that takes the very same entries: a session that a later entry closed must find the peaks
of an earlier one. A run that fails again and again is cut: its entries are taken one by one, until the one that is to
blame stands alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined
from service.state.leases import Fence, check
from service.state.script import Arg, Script

WHOLE_TRIES = 2
"""A run that failed so often is taken one by one."""
RUN_ENTRIES = 64
"""Entries that are taken together at most."""

# KEYS clock, begun, arriving, batch, bell. ARGV largest event time of the batch, wall clock, the batch, its head, TTL
# of what the retry finds in s, time in which it counts as crashed in ms, TTL of the batch in s. Reply: the largest
# time before.
ARRIVE = Script(
    "arrive_in_queue",
    """
local prior = redis.call('GET', KEYS[2])
if not prior then
  prior = redis.call('HGET', KEYS[1], 'max') or '-inf'
  if tonumber(ARGV[1]) > tonumber(prior) then redis.call('HSET', KEYS[1], 'max', ARGV[1]) end
  local input = redis.call('HGET', KEYS[1], 'input')
  if not input or tonumber(ARGV[2]) > tonumber(input) then redis.call('HSET', KEYS[1], 'input', ARGV[2]) end
  redis.call('HINCRBY', KEYS[1], 'inputs', 1)
  redis.call('SET', KEYS[2], prior, 'EX', ARGV[5])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[3], now + ARGV[6], prior .. ' ' .. ARGV[3])
redis.call('INCR', KEYS[5])
redis.call('HSETNX', KEYS[4], 'head', ARGV[4])
redis.call('EXPIRE', KEYS[4], ARGV[7])
return prior
""",
)

# KEYS stream, state, marker. ARGV lines, largest time before, arrival, batch, data, TTL of the marker, largest time of
# the batch. Reply: the entry's id. No entry's prior is below what came before it here: what a watermark has passed it
# does not come back to.
ADD = Script(
    "add_to_queue",
    """
local known = redis.call('GET', KEYS[3])
if known then return known end
local prior = redis.call('HGET', KEYS[2], 'prior')
if not prior or tonumber(prior) < tonumber(ARGV[2]) then prior = ARGV[2] end
redis.call('HSET', KEYS[2], 'prior', tonumber(ARGV[7]) > tonumber(prior) and ARGV[7] or prior)
local id = redis.call('XADD', KEYS[1], '*', 'n', ARGV[1], 'm', prior, 't', ARGV[3], 'b', ARGV[4], 'd', ARGV[5])
redis.call('HINCRBY', KEYS[2], 'lines', ARGV[1])
redis.call('SET', KEYS[3], id, 'EX', ARGV[6])
return id
""",
)

# KEYS stream, state. ARGV token, consumer, entries and lines at most, tries of a run before it is cut. Reply: failed
# tries and the run's entries.
TAKE = Script(
    "take_from_queue",
    """
local stream, state = KEYS[1], KEYS[2]
if redis.call('HGET', state, 'fence') ~= ARGV[1] then return 'fenced' end
local last, holder, tries, stop = unpack(redis.call('HMGET', state, 'last', 'holder', 'tries', 'until'))
tries = tonumber(tries or 0)
local found
if last then
  -- Whoever took it did not come back: it may be the entries that ended the process.
  if holder ~= '' and holder ~= ARGV[2] then tries = tries + 1 end
  found = redis.call('XRANGE', stream, '-', last)
  if #found > 1 and tries >= tonumber(ARGV[5]) then
    stop, tries, found = last, 0, {found[1]}
    redis.call('HSET', state, 'until', stop)
  end
end
if not last or #found == 0 then
  tries, found = 0, {}
  if stop then
    found = redis.call('XRANGE', stream, '-', stop, 'COUNT', 1)
    if #found == 0 then redis.call('HDEL', state, 'until') end
  end
  if #found == 0 then
    found = redis.call('XRANGE', stream, '-', '+', 'COUNT', ARGV[3])
    local lines = 0
    for i = 1, #found do
      lines = lines + found[i][2][2]
      if i > 1 and lines > tonumber(ARGV[4]) then
        for j = #found, i, -1 do found[j] = nil end
        break
      end
    end
  end
end
if #found == 0 then
  redis.call('HDEL', state, 'last', 'holder', 'tries')
else
  redis.call('HSET', state, 'last', found[#found][1], 'holder', ARGV[2], 'tries', tries)
end
return {tries, found}
""",
)

# KEYS stream, state. ARGV token, then entry ids. Reply: how many there were.
DONE = Script(
    "done_in_queue",
    """
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] then return 'fenced' end
local gone = 0
for i = 2, #ARGV do
  local found = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  if found then
    gone = gone + redis.call('XDEL', KEYS[1], ARGV[i])
    redis.call('HINCRBY', KEYS[2], 'lines', -found[2][2])
  end
end
redis.call('HDEL', KEYS[2], 'last', 'holder', 'tries')
return gone
""",
)

# KEYS stream, state. Reply: lines, entries, and of the oldest entry the largest time before it and its arrival.
DEPTH = Script(
    "depth_of_queue",
    """
local lines = tonumber(redis.call('HGET', KEYS[2], 'lines') or 0)
local head = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not head then return {lines, 0} end
return {lines, redis.call('XLEN', KEYS[1]), head[2][4], head[2][6]}
""",
)

# KEYS arriving. Reply: what is being added, as it lies there.
ARRIVING = Script(
    "arriving_in_queue",
    """
local time = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000))
return redis.call('ZRANGE', KEYS[1], 0, -1)
""",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one partition gets of a batch: how many ``lines`` (end records among them), and the ``data``."""

    partition: int
    lines: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece in the queue. ``prior`` is the largest event time before its batch and ``arrival`` when that came,
    seconds."""

    id: str
    partition: int
    lines: int
    prior: float
    arrival: float
    batch: str
    data: bytes

    @property
    def batch_id(self) -> str:
        """Under which its effects happen once: of this entry and of no other."""
        return f"{keys.QUEUED_BATCH}{self.partition:02d}-{self.id}"


@dataclass(frozen=True, slots=True)
class Run:
    """Entries of one partition that are taken together, in order, by what right, and how often that failed before."""

    fence: Fence
    entries: list[Entry]
    tries: int


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in one partition. ``prior`` and ``arrival`` of the oldest entry, seconds; None where none waits."""

    lines: int
    entries: int
    prior: float | None = None
    arrival: float | None = None


async def arrive(redis: Redis, source: str, batch: str, head: bytes, newest: float, arrival: float) -> float:
    """Note a batch that is to be added, whose largest event time is ``newest`` seconds (-inf: none says one); returns
    the largest before it (-inf: none). The same batch gets the same answer for 15 minutes. Raises StateError."""
    begun = keys.begun(source, keys.QUEUED_BATCH + batch)
    names = [
        keys.clock(source), begun, keys.queue_arriving(source), keys.queued_batch(source, batch),
        keys.queue_bell(source),
    ]  # fmt: skip
    args: list[Arg] = [
        repr(float(newest)), repr(float(arrival)), batch, head, keys.BATCH_TTL_S, keys.IN_FLIGHT_TTL_S * 1000,
        keys.QUEUED_TTL_S,
    ]  # fmt: skip
    return float(await ARRIVE.call(redis, names, args))


async def add(
    redis: Redis, source: str, batch: str, pieces: Sequence[Piece], *, prior: float, newest: float, arrival: float
) -> None:
    """Add the pieces of a batch, each once: those that are there already stay. ``prior`` is the largest event time
    before it, ``newest`` its own. Raises StateError where Redis is away; then some may have been added."""
    calls: list[tuple[list[str], list[Arg]]] = []
    for piece in pieces:
        p = piece.partition
        names = [keys.queue(p, source), keys.queue_state(p, source), keys.queue_added(p, source, batch)]
        args: list[Arg] = [
            piece.lines, repr(float(prior)), repr(float(arrival)), batch, piece.data, keys.BATCH_TTL_S,
            repr(float(newest)),
        ]  # fmt: skip
        calls.append((names, args))
    if calls:
        await ADD.call_each(redis, calls)


async def arrived(redis: Redis, source: str, batch: str, prior: float) -> None:
    """Every piece of the batch is in the queue."""
    member = f"{float(prior)!r} {batch}"
    await pipelined(redis, [["INCR", keys.queue_bell(source)], ["ZREM", keys.queue_arriving(source), member]])


async def bell(redis: Redis, source: str) -> int:
    """Changes with whatever is added; 0 where nothing ever was."""
    return int(await command(redis, "GET", keys.queue_bell(source)) or 0)


async def take(redis: Redis, source: str, fence: Fence, consumer: str, lines: int) -> Run:
    """The next run of a partition, of at most ``lines`` lines where it is more than one entry; without entries where
    none waits. The same run again until it is ``done``. Raises Fenced, StateError."""
    [run] = await take_each(redis, source, [fence], consumer, lines)
    return run


async def take_each(redis: Redis, source: str, fences: Sequence[Fence], consumer: str, lines: int) -> list[Run]:
    """``take`` of several partitions in one round trip, ``lines`` of each. Raises Fenced, StateError."""
    calls: list[tuple[list[str], list[Arg]]] = [
        (
            [keys.queue(fence.partition, source), keys.queue_state(fence.partition, source)],
            [fence.token, consumer, RUN_ENTRIES, lines, WHOLE_TRIES],
        )
        for fence in fences
    ]
    runs: list[Run] = []
    for fence, reply in zip(fences, await TAKE.call_each(redis, calls), strict=True):
        check(reply, fence.partition)
        runs.append(Run(fence, [entry_of(fence.partition, *found) for found in reply[1]], int(reply[0])))
    return runs


async def done(redis: Redis, source: str, runs: Sequence[Run]) -> int:
    """The verdicts of runs are stored: their entries go; how many there were. Raises Fenced where one's right is gone,
    once the others are done, and StateError."""
    calls: list[tuple[list[str], list[Arg]]] = [
        (
            [keys.queue(run.fence.partition, source), keys.queue_state(run.fence.partition, source)],
            [run.fence.token, *[entry.id for entry in run.entries]],
        )
        for run in runs
    ]
    replies = await DONE.call_each(redis, calls) if calls else []
    for run, reply in zip(runs, replies, strict=True):
        check(reply, run.fence.partition)
    return sum(map(int, replies))


async def depths(redis: Redis, source: str) -> list[Depth]:
    """What waits in each partition."""
    names = [[keys.queue(p, source), keys.queue_state(p, source)] for p in range(keys.PARTITIONS)]
    replies = await DEPTH.call_each(redis, [(own, []) for own in names])
    return [Depth(int(lines), int(entries), *map(float, head)) for lines, entries, *head in replies]


async def horizon(redis: Redis, source: str) -> float:
    """The largest event time, in seconds, behind which nothing can come out of the queue any more (inf: it is empty):
    silence is no silence before what waits has been heard."""
    if not await bell(redis, source):
        return math.inf
    arriving = await ARRIVING.call(redis, [keys.queue_arriving(source)], [])
    priors = [float(member.partition(b" ")[0]) for member in arriving]
    priors += [depth.prior for depth in await depths(redis, source) if depth.prior is not None]
    return min(priors, default=math.inf)


def entry_of(partition: int, entry_id: bytes, flat: Sequence[Any]) -> Entry:
    """An entry as a script replies it."""
    named = {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}
    return Entry(
        entry_id.decode(), partition, int(named[b"n"]), float(named[b"m"]), float(named[b"t"]),
        named[b"b"].decode(), named[b"d"],
    )  # fmt: skip
