"""Verdicts of session and timeframe ends, in a stream for each source.

Owns their order and cap. Does not know what a verdict says. An entry's id begins with the wall clock in milliseconds
when it was appended, so that a time serves as a place to read from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Arg, Script

BEGINNING = "0-0"

# KEYS stream, and the marker where the batch may be retried. ARGV wall clock ms, cap, TTL s, marker TTL s, verdicts.
# Ids are made here: the caller's clock, never behind the last entry, and more than one of a millisecond in order.
APPEND = Script(
    "append_verdicts",
    """
local stream, marker = KEYS[1], KEYS[2]
if marker and redis.call('EXISTS', marker) == 1 then return redis.call('GET', marker) end
local ms, seq = ARGV[1], -1
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if newest then
  local last_ms, last_seq = string.match(newest[1], '(%d+)-(%d+)')
  if tonumber(last_ms) >= tonumber(ms) then ms, seq = last_ms, tonumber(last_seq) end
end
local id = ''
for i = 5, #ARGV do
  id = ms .. '-' .. string.format('%d', seq + i - 4)
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[2], id, 'v', ARGV[i])
end
redis.call('EXPIRE', stream, ARGV[3])
if marker then redis.call('SET', marker, id, 'EX', ARGV[4]) end
return id
""",
)


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict and its place in the stream: ``id`` serves as ``after`` of the next read."""

    id: str
    verdict: dict[str, Any]


async def append(
    redis: Redis, source: str, verdicts: Sequence[bytes], now: float, batch_id: str | None = None, part: str = ""
) -> str | None:
    """Append verdicts, each JSON, in order; returns the id of the last. Exactly once for a ``batch_id`` and
    ``part``."""
    if not verdicts:
        return None
    names = [keys.verdicts(source)]
    if batch_id is not None:
        names.append(keys.applied(source, "verdicts", batch_id, part))
    args: list[Arg] = [int(now * 1000), keys.VERDICTS_KEPT, keys.VERDICTS_TTL_S, keys.retry_ttl_s(batch_id), *verdicts]
    last = await APPEND.call(redis, names, args)
    return str(last.decode())


async def read(redis: Redis, source: str, after: str = BEGINNING, limit: int = 1000) -> list[StoredVerdict]:
    """Verdicts after an entry (exclusive), oldest first."""
    found = await command(redis, "XRANGE", keys.verdicts(source), f"({after}", "+", "COUNT", limit)
    return [StoredVerdict(entry.decode(), orjson.loads(fields[b"v"])) for entry, fields in found]


def after_time(since: float) -> str:
    """Where to read from for all that was appended at wall clock ``since`` (seconds) or later."""
    ms = int(since * 1000)
    return f"{ms - 1}-18446744073709551615" if ms > 0 else BEGINNING
