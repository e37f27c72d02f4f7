"""The event clock of a source, and the versions that a batch is judged by: each batch's first round trip.

Owns the largest event time seen, the wall clock of the last input, and the fixing of both under a batch id. Does not
know how a watermark is made of them (``models.sessions.watermarks``), nor what a version holds.
"""

import math
from dataclasses import dataclass

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Script

# KEYS clock, live bundle, tree, rules version, and the reply's key where the batch may be retried. ARGV largest event
# time of the batch, wall clock, TTL. Times are text: Lua's own number to text conversion keeps 14 digits.
BEGIN = Script(
    "begin",
    """
local kept = KEYS[5]
if kept then
  local reply = redis.call('GET', kept)
  if reply then return cmsgpack.unpack(reply) end
end
local prior = redis.call('HGET', KEYS[1], 'max') or '-inf'
if tonumber(ARGV[1]) > tonumber(prior) then redis.call('HSET', KEYS[1], 'max', ARGV[1]) end
local input = redis.call('HGET', KEYS[1], 'input')
if not input or tonumber(ARGV[2]) > tonumber(input) then redis.call('HSET', KEYS[1], 'input', ARGV[2]) end
local reply = {
  prior, redis.call('GET', KEYS[2]) or '', redis.call('HGET', KEYS[3], 'id') or '',
  redis.call('HGET', KEYS[3], 'version') or '0', redis.call('GET', KEYS[4]) or '0',
}
if kept then redis.call('SET', kept, cmsgpack.pack(reply), 'EX', ARGV[3]) end
return reply
""",
)


@dataclass(frozen=True, slots=True)
class Began:
    """What a batch starts from: the largest event time before it in seconds (-inf: none), and the versions that are
    live."""

    prior_max: float
    bundle: str | None
    tree_id: str | None
    tree_version: int
    rules_version: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The largest event time, and the wall clock when something last came in; seconds, -inf for none."""

    largest: float
    last_input: float

    def watermark(self, now: float, lateness_s: float) -> float:
        """The watermark at wall clock ``now``: moved on by the time without input beyond ``lateness_s``, which a pause
        between two batches does not reach."""
        if self.last_input == -math.inf:
            return -math.inf
        return self.largest - lateness_s + max(0.0, now - self.last_input - lateness_s)


async def begin(redis: Redis, source: str, batch_id: str | None, max_time: float, now: float) -> Began:
    """Note a batch whose largest event time is ``max_time`` seconds (-inf: none says one) and that came at ``now``.

    The same ``batch_id`` gets the same answer for 15 minutes. Raises StateError where Redis is away.
    """
    names = [keys.clock(source), keys.live_bundle(source), keys.tree(source), keys.rules_version(source)]
    if batch_id is not None:
        names.append(keys.begun(source, batch_id))
    prior, bundle, tree_id, tree_version, rules_version = await BEGIN.call(
        redis, names, [repr(float(max_time)), repr(float(now)), keys.BATCH_TTL_S]
    )
    return Began(float(prior), bundle.decode() or None, tree_id.decode() or None, int(tree_version), int(rules_version))


async def first_arrival(redis: Redis, source: str, batch_id: str, now: float) -> float:
    """When a batch first arrived, seconds: ``now``, or what an earlier try within 15 minutes said.

    A source without timestamps dates its lines by it, so a retry must not bring another time.
    """
    key = keys.arrived(source, batch_id)
    await command(redis, "SET", key, repr(float(now)), "NX", "EX", keys.BATCH_TTL_S)
    return float(await command(redis, "GET", key) or now)


async def read(redis: Redis, source: str) -> Clock:
    """The source's clock as it stands."""
    largest, last_input = await command(redis, "HMGET", keys.clock(source), "max", "input")
    return Clock(float(largest or "-inf"), float(last_input or "-inf"))


async def reset(redis: Redis, source: str) -> None:
    """Forget the clock: for ``--reset-sessions``, after which older times may come."""
    await command(redis, "DEL", keys.clock(source))
