"""How far a source is that no version judges yet: lines so far, the newest template, and what the learner said of it.

Owns the counts, which all replicas share; a batch that is retried counts twice. Does not know how many lines are
enough.
"""

from dataclasses import dataclass

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Arg, Script

# KEYS learning. ARGV lines, wall clock of a new template or '', TTL in s.
NOTE = Script(
    "note_learning",
    """
redis.call('HINCRBY', KEYS[1], 'lines', ARGV[1])
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'new_at', ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""",
)

# KEYS learning, the learner's lease.
READ = Script(
    "read_learning",
    """
local found = redis.call('HMGET', KEYS[1], 'lines', 'new_at', 'refused', 'again_at', 'training')
found[6] = redis.call('GET', KEYS[2])
return found
""",
)


@dataclass(frozen=True, slots=True)
class Learned:
    """``lines`` taken so far; ``new_at`` wall clock (seconds) of the newest template; ``refused``: why the learner made
    no version of them, and at how many lines it tries ``again_at``; ``training``: whether it is at it."""

    lines: int = 0
    new_at: float | None = None
    refused: str | None = None
    again_at: int = 0
    training: bool = False


async def note(redis: Redis, source: str, lines: int, new_at: float | None) -> None:
    """Count a batch; ``new_at``: the wall clock where it brought a new template."""
    args: list[Arg] = [lines, "" if new_at is None else repr(new_at), keys.LEARNING_TTL_S]
    await NOTE.call(redis, [keys.learning(source)], args)


async def read(redis: Redis, source: str) -> Learned:
    """How far it is."""
    found = await READ.call(redis, [keys.learning(source), keys.learner(source)], [])
    lines, new_at, refused, again_at, training, lease = found
    return Learned(
        int(lines or 0),
        float(new_at) if new_at else None,
        refused.decode() if refused else None,
        int(again_at or 0),
        training is not None and training == lease,
    )


async def begin(redis: Redis, source: str, token: str) -> None:
    """The learner whose lease has ``token`` is training."""
    await command(redis, "HSET", keys.learning(source), "training", token)


async def refuse(redis: Redis, source: str, why: str, again_at: int) -> None:
    """No version was made, and none is tried before so many lines."""
    await command(redis, "HDEL", keys.learning(source), "training")
    await command(redis, "HSET", keys.learning(source), "refused", why, "again_at", again_at)


async def done(redis: Redis, source: str) -> None:
    """A version judges the source by now."""
    await command(redis, "DEL", keys.learning(source))
