"""Who consumes a partition of a source's durable queue: leases with a fencing token, and who else consumes.

Owns the tokens. A lease is kept by Redis' clock, so that no machine's own clock can stretch it; whoever takes a lease
anew gets a larger token, and what is done under a smaller one is refused where it would have an effect (``Fenced``).
Does not know what is consumed, nor how many partitions are a fair share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys
from service.state.script import Arg, Script

FENCED = b"fenced"
"""What a script replies to a token that is not the newest."""

# KEYS lease, state. ARGV consumer, TTL in ms. Reply: the token, 0 where another consumer has the lease. A lease that
# lapsed and that nobody else took in the meantime is the same one: nothing was done beside it.
TAKE = Script(
    "take_queue_lease",
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('HGET', KEYS[2], 'owner') == ARGV[1] then return tonumber(redis.call('HGET', KEYS[2], 'fence')) end
redis.call('HSET', KEYS[2], 'owner', ARGV[1])
return redis.call('HINCRBY', KEYS[2], 'fence', 1)
""",
)

# KEYS consumers. ARGV consumer, TTL in ms (0: it leaves). Reply: how many consumers there are.
BEAT = Script(
    "beat_queue_consumer",
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], ARGV[1])
else redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1]) end
return redis.call('ZCARD', KEYS[1])
""",
)


# KEYS lease, state. ARGV consumer. What it was taking and gave up is nobody's, and no try of it has failed.
LEAVE = Script(
    "leave_queue_lease",
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'holder') == ARGV[1] then redis.call('HSET', KEYS[2], 'holder', '') end
return redis.call('DEL', KEYS[1])
""",
)


class Fenced(StateError):
    """Another consumer has taken over ``partition``; nothing was changed there."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"another consumer has taken over partition {partition} of the durable queue")
        self.partition = partition


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to consume a partition: refused once somebody else was given a larger ``token``."""

    partition: int
    token: int


def check(reply: object, partition: int) -> None:
    """Raise Fenced where a script refused the token."""
    if reply == FENCED:
        raise Fenced(partition)


async def take(redis: Redis, source: str, partitions: Sequence[int], consumer: str) -> dict[int, Fence]:
    """Take or renew leases; those that nobody else has, by partition. Raises StateError where Redis is away."""
    ttl_ms = keys.QUEUE_LEASE_TTL_S * 1000
    calls: list[tuple[list[str], list[Arg]]] = [
        ([keys.queue_lease(p, source), keys.queue_state(p, source)], [consumer, ttl_ms]) for p in partitions
    ]
    tokens = await TAKE.call_each(redis, calls) if calls else []
    return {p: Fence(p, int(token)) for p, token in zip(partitions, tokens, strict=True) if token}


async def leave(redis: Redis, source: str, partitions: Sequence[int], consumer: str) -> None:
    """Give leases back, so that nobody has to wait for them."""
    if partitions:
        names = [[keys.queue_lease(p, source), keys.queue_state(p, source)] for p in partitions]
        await LEAVE.call_each(redis, [(own, [consumer]) for own in names])


async def beat(redis: Redis, source: str, consumer: str, *, leaving: bool = False) -> int:
    """Say that a consumer is there, or ``leaving``; how many there are."""
    ttl_ms = 0 if leaving else keys.QUEUE_LEASE_TTL_S * 1000
    return int(await BEAT.call(redis, [keys.queue_consumers(source)], [consumer, ttl_ms]))
