"""Mute windows and deploy markers of a source, in Redis.

Owns how many are kept and for how long. An ended window stays as long as incidents do: that one was muted is told by
when it was raised.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Script

Kind = Literal["mute", "deploy"]

# KEYS mutes. ARGV id, mute, how many are kept, ids that are over. Reply: 1, or 0 where there are too many.
ADD = Script(
    "add_mute",
    """
for i = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Mute:
    """From ``start`` up to and without ``until``, wall clock in seconds, nobody is told of what is raised. A deploy
    whose two are the same mutes nothing: it is a mark."""

    id: str
    kind: Kind
    start: float
    until: float
    reason: str
    author: str

    def covers(self, moment: float) -> bool:
        """Whether a moment in seconds lies in it."""
        return self.start <= moment < self.until

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        return cls(**orjson.loads(line))


def muted(mutes: Iterable[Mute], moment: float) -> bool:
    """Whether any of some windows covers a moment in seconds."""
    return any(mute.covers(moment) for mute in mutes)


async def add(redis: Redis, source: str, mute: Mute, now: float) -> bool:
    """Store one; those that ended before the oldest incident go. False where there are too many."""
    over = [old.id for old in await read(redis, source) if old.until < now - keys.INCIDENT_TTL_S]
    return bool(await ADD.call(redis, [keys.mutes(source)], [mute.id, mute.to_json(), keys.MUTES_KEPT, *over]))


async def replace(redis: Redis, source: str, mute: Mute) -> None:
    """Store one that is there in another shape."""
    await command(redis, "HSET", keys.mutes(source), mute.id, mute.to_json())


async def remove(redis: Redis, source: str, mute_id: str) -> bool:
    """Forget one; False where it is unknown."""
    return bool(await command(redis, "HDEL", keys.mutes(source), mute_id))


async def read(redis: Redis, source: str) -> Sequence[Mute]:
    """All of a source, the newest first."""
    found = [Mute.from_json(line) for line in await command(redis, "HVALS", keys.mutes(source))]
    return sorted(found, key=lambda mute: (mute.start, mute.id), reverse=True)
