"""The event clock of a source, and the versions and rules that a batch is judged by: each batch's first round trip.

Owns the largest event time seen, the largest whose rows are all stored, the wall clock of the last input, and the
fixing of all that under a batch id. Does not know how a watermark is made of it (``models.sessions.watermarks``), nor
what a version or a rule holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from models.sessions import Float64
from service.state import keys, rules
from service.state.connection import Word, command, pipelined
from service.state.rules import LUA_RULES, NOTHING, StoredRules
from service.state.script import Arg, Script

# KEYS clock, live bundle, tree, rules version, rules, removed rules, shadow, and the reply's key where a batch may be
# retried.
# ARGV largest event time of the batch, wall clock, TTL, the version of the rules that the caller has, largest event
# time of an earlier batch whose rows are stored. Times are text: Lua's own number to text conversion keeps 14 digits.
# The kept reply pins the version of the rules and not the rules themselves, which are the same for many batches.
BEGIN = Script(
    "begin",
    LUA_RULES
    + """
local now = redis.call('GET', KEYS[4]) or '0'
local stored = tonumber(ARGV[5])
if stored > -math.huge and stored > tonumber(redis.call('HGET', KEYS[1], 'stored') or '-inf') then
  redis.call('HSET', KEYS[1], 'stored', ARGV[5])
end
local kept, reply, again = KEYS[8], nil, 0
if kept then
  local first = redis.call('GET', kept)
  if first then reply, again = cmsgpack.unpack(first), 1 end
end
if not reply then
  local prior = redis.call('HGET', KEYS[1], 'max') or '-inf'
  if tonumber(ARGV[1]) > tonumber(prior) then redis.call('HSET', KEYS[1], 'max', ARGV[1]) end
  local input = redis.call('HGET', KEYS[1], 'input')
  if not input or tonumber(ARGV[2]) > tonumber(input) then redis.call('HSET', KEYS[1], 'input', ARGV[2]) end
  redis.call('HINCRBY', KEYS[1], 'inputs', 1)
  reply = {
    prior, redis.call('GET', KEYS[2]) or '', redis.call('HGET', KEYS[3], 'id') or '',
    redis.call('HGET', KEYS[3], 'version') or '0', now,
  }
  if kept then redis.call('SET', kept, cmsgpack.pack(reply), 'EX', ARGV[3]) end
end
reply[6] = rules_at(reply[5], now, ARGV[4], KEYS[5], KEYS[6])
reply[7] = redis.call('GET', KEYS[7]) or ''
reply[8] = again
return reply
""",
)

# KEYS clock. ARGV largest event time of a batch whose rows are stored.
ADVANCE = Script(
    "advance",
    """
local prior = redis.call('HGET', KEYS[1], 'stored')
if not prior or tonumber(ARGV[1]) > tonumber(prior) then redis.call('HSET', KEYS[1], 'stored', ARGV[1]) end
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is noted of a batch: its largest event time (-inf: none says one) and when it came, seconds; under a
    ``batch_id`` what it starts from is kept for a retry."""

    newest: float
    arrival: float
    batch_id: str | None = None

    @classmethod
    def of(cls, times: Float64, arrival: float, batch_id: str | None = None) -> "Beginning":
        """Of a batch with event ``times`` float64 [n]."""
        return cls(float(times.max()) if len(times) else -math.inf, arrival, batch_id)


@dataclass(frozen=True, slots=True)
class Began:
    """What a batch starts from: the largest event time before it in seconds (-inf: none), the versions that are live,
    the rules of the source, and which version judges beside the live one now, also where a batch is retried;
    ``repeated``: it was begun before, and starts from what it started from then."""

    prior_max: float
    bundle: str | None
    tree_id: str | None
    tree_version: int
    rules: StoredRules
    shadow: str | None = None
    repeated: bool = False

    @property
    def judged_by(self) -> tuple[object, ...]:
        """What is the same for batches that are judged alike."""
        return self.bundle, self.tree_id, self.tree_version, self.rules.version, self.shadow


@dataclass(frozen=True, slots=True)
class Clock:
    """The largest event time whose batch is stored, and the wall clock when something last came in; seconds, -inf for
    none. ``inputs`` grows with all that comes in, whatever the clocks say.

    A batch that began and is not stored yet must not move what closes silent sessions: its own rows may be the ones
    that end a silence.
    """

    largest: float
    last_input: float
    inputs: int = 0

    def watermark(self, now: float, lateness_s: float) -> float:
        """The watermark at wall clock ``now``: moved on by the time without input beyond ``lateness_s``, which a pause
        between two batches does not reach."""
        if self.last_input == -math.inf:
            return -math.inf
        return self.largest - lateness_s + max(0.0, now - self.last_input - lateness_s)


async def begin(redis: Redis, source: str, batch: Beginning, known: StoredRules = NOTHING) -> Began:
    """``begin_each`` of one batch."""
    [began] = await begin_each(redis, source, [batch], known)
    return began


async def begin_each(
    redis: Redis,
    source: str,
    batches: Sequence[Beginning],
    known: StoredRules = NOTHING,
    stored_to: float = -math.inf,
) -> list[Began]:
    """Note batches one after the other, in one round trip; ``known`` are the rules that the caller has, which come back
    where nothing changed; ``stored_to`` does what ``advance`` does, for an earlier batch.

    The same batch id gets the same answer for 15 minutes. Raises StateError where Redis is away.
    """
    shared = [
        keys.clock(source), keys.live_bundle(source), keys.tree(source), *rules.names(source),
        keys.shadow_bundle(source),
    ]  # fmt: skip
    calls = []
    for batch in batches:
        names = shared if batch.batch_id is None else [*shared, keys.begun(source, batch.batch_id)]
        args: list[Arg] = [
            repr(batch.newest), repr(float(batch.arrival)), keys.BATCH_TTL_S, known.version, repr(float(stored_to)),
        ]  # fmt: skip
        calls.append((names, args))
    return [_began(reply, known) for reply in await BEGIN.call_each(redis, calls)]


def _began(reply: Sequence[Any], known: StoredRules) -> Began:
    prior, bundle, tree_id, tree_version, version, read, shadow, again = reply
    return Began(
        float(prior), bundle.decode() or None, tree_id.decode() or None, int(tree_version),
        rules.as_read(version, read, known), shadow.decode() or None, bool(again),
    )  # fmt: skip


async def first_arrival(redis: Redis, source: str, batch_id: str, now: float) -> float:
    """When a batch first arrived, seconds: ``now``, or what an earlier try within 15 minutes said.

    A source without timestamps dates its lines by it, so a retry must not bring another time.
    """
    key = keys.arrived(source, batch_id)
    set_once: list[Word] = ["SET", key, repr(float(now)), "NX", "EX", keys.BATCH_TTL_S]
    _, first = await pipelined(redis, [set_once, ["GET", key]])
    return float(first or now)


async def forget(redis: Redis, source: str, batch_id: str) -> None:
    """Drop what a batch was told, whose final answer is stored. When it arrived is kept: whoever stood still before it
    asked for that must look into the same drawer (``keys.drawer``) for the mark that the batch is over."""
    await command(redis, "DEL", keys.begun(source, batch_id))


async def advance(redis: Redis, source: str, max_time: float) -> None:
    """Note that every row of a batch is stored whose largest event time is ``max_time`` seconds: what is silent by it
    may be closed now. Raises StateError where Redis is away."""
    if max_time > -math.inf:
        await ADVANCE.call(redis, [keys.clock(source)], [repr(float(max_time))])


async def read(redis: Redis, source: str) -> Clock:
    """The source's clock as it stands."""
    names = ("stored", "input", "inputs")
    largest, last_input, inputs = await command(redis, "HMGET", keys.clock(source), *names)
    return Clock(float(largest or "-inf"), float(last_input or "-inf"), int(inputs or 0))


async def reset(redis: Redis, source: str) -> None:
    """Forget the clock: for ``--reset-sessions``, after which older times may come."""
    await command(redis, "DEL", keys.clock(source))
    await pipelined(redis, [["HDEL", keys.queue_state(p, source), "prior"] for p in range(keys.PARTITIONS)])
