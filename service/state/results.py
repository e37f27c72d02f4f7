"""What became of batches that went through the durable queue: their heads, and the result of each piece.

Owns how long and how much of it is kept: an hour after a batch is done, and of each source so many bytes, the oldest
going first. Does not know what a head or a result says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined
from service.state.script import Arg, Script

OVERHEAD_BYTES = 100
"""What a result takes beside its own bytes."""
_HEAD = b"head"

# KEYS batch, list, bytes. ARGV name of the piece, result, entry of the list, its bytes, pieces of the batch, TTL in s
# where all are done and before, TTL of the list. Reply: bytes of all that is kept. A batch that is forgotten stays so;
# one that is judged again does not count twice.
KEEP = Script(
    "keep_result",
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return tonumber(redis.call('GET', KEYS[3]) or 0) end
local new = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local whole = redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5])
redis.call('EXPIRE', KEYS[1], whole and ARGV[6] or ARGV[7])
if new == 1 then
  redis.call('RPUSH', KEYS[2], ARGV[3])
  redis.call('INCRBY', KEYS[3], ARGV[4])
end
redis.call('EXPIRE', KEYS[2], ARGV[7])
redis.call('EXPIRE', KEYS[3], ARGV[7])
return tonumber(redis.call('GET', KEYS[3]) or 0)
""",
)

# KEYS list, bytes. ARGV bytes that are kept at most. Reply: entries of the list that have to go.
OVERFLOW = Script(
    "overflow_results",
    """
local gone = {}
while tonumber(redis.call('GET', KEYS[2]) or 0) > tonumber(ARGV[1]) do
  local oldest = redis.call('LPOP', KEYS[1])
  if not oldest then break end
  gone[#gone + 1] = oldest
  redis.call('DECRBY', KEYS[2], string.match(oldest, '(%d+)$'))
end
return gone
""",
)

# KEYS batch. ARGV name of the piece. It was done, and what it came to is gone: emptied and not removed.
EMPTY = Script(
    "empty_result",
    "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], '') end return 1",
)


@dataclass(frozen=True, slots=True)
class Result:
    """Of the piece of a batch in ``partition``; ``pieces`` is how many pieces the batch has."""

    batch: str
    partition: int
    pieces: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """``head`` of a batch and the results of its pieces so far, by partition; None in the place of one that was too
    much to keep."""

    head: bytes
    results: dict[int, bytes | None]


async def head(redis: Redis, source: str, batch: str) -> bytes | None:
    """The head of a batch; None where it is unknown or forgotten."""
    found: bytes | None = await command(redis, "HGET", keys.queued_batch(source, batch), _HEAD)
    return found


async def heads(redis: Redis, source: str, batches: Sequence[str]) -> list[bytes | None]:
    """The heads of batches in one round trip."""
    return await pipelined(redis, [["HGET", keys.queued_batch(source, batch), _HEAD] for batch in batches])


async def keep(redis: Redis, source: str, results: Sequence[Result], most_bytes: int) -> None:
    """Keep results for as long as their batch is, and forget the oldest of the source past ``most_bytes``."""
    if not results:
        return
    calls: list[tuple[list[str], list[Arg]]] = []
    for one in results:
        size = len(one.body) + OVERHEAD_BYTES
        names = [keys.queued_batch(source, one.batch), keys.queue_results(source), keys.queue_results_bytes(source)]
        entry = f"{one.batch} {_field(one.partition)} {size}"
        calls.append(
            (names, [_field(one.partition), one.body, entry, size, one.pieces, keys.RESULTS_TTL_S, keys.QUEUED_TTL_S])
        )
    if max(await KEEP.call_each(redis, calls)) <= most_bytes:
        return
    gone = await OVERFLOW.call(redis, calls[0][0][1:], [most_bytes])
    words = [entry.decode().split(" ") for entry in gone]
    if words:
        await EMPTY.call_each(redis, [([keys.queued_batch(source, batch)], [field]) for batch, field, _ in words])


async def read(redis: Redis, source: str, batch: str) -> StoredBatch | None:
    """A batch and what it came to so far; None where it is unknown or forgotten."""
    flat = await command(redis, "HGETALL", keys.queued_batch(source, batch))
    found = {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)} if isinstance(flat, list) else flat
    if _HEAD not in found:
        return None
    results = {int(name[1:]): body or None for name, body in found.items() if name != _HEAD}
    return StoredBatch(found[_HEAD], results)


def _field(partition: int) -> str:
    return f"p{partition:02d}"
