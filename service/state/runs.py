"""Which messages of a log that others keep are judged together: the runs of a partition of Kafka.

A run is written down before it is judged, and stays until its offset is committed, so that a consumer which follows one
that was killed, or lost the partition, takes the very same messages: under the run's name they then have their effects
once. Owns what is written down. Does not know what a message is.
"""

from redis.asyncio import Redis

from service.state import keys
from service.state.script import Script

# KEYS runs. ARGV first offset, last offset, TTL in s, 1 to begin anew. Reply: the last offset of the run.
TAKE = Script(
    "take_run",
    """
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last and ARGV[4] == '0' then return last end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return ARGV[2]
""",
)

# KEYS runs. ARGV the offset that comes next.
DONE = Script(
    "done_runs",
    """
for _, first in ipairs(redis.call('HKEYS', KEYS[1])) do
  if tonumber(first) < tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], first) end
end
return 1
""",
)


async def take(
    redis: Redis, group: str, topic: str, partition: int, first: int, last: int, *, anew: bool = False
) -> int:
    """The last offset of the run that begins at offset ``first``: ``last``, or what was written down for it before,
    unless that is to be begun ``anew``. Raises StateError where Redis is away."""
    key = keys.kafka_runs(group, topic, partition)
    return int(await TAKE.call(redis, [key], [str(first), str(last), keys.KAFKA_RUNS_TTL_S, str(int(anew))]))


async def done(redis: Redis, group: str, topic: str, partition: int, following: int) -> None:
    """Forget the runs before offset ``following``, which is committed. Raises StateError where Redis is away."""
    await DONE.call(redis, [keys.kafka_runs(group, topic, partition)], [str(following)])
