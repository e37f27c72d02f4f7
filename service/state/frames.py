"""Open timeframes in Redis: count a batch, close what is over.

Owns the Lua twin of ``models.autolog.frames`` (a property test holds the two equal). Does not know what a term means,
nor how a frame is judged.

Per partition and frame one hash of counters and one of entities; per partition the open frames and the newest closed
one, in the same slot, so that one script can refuse what comes too late. Frames are closed in rounds. A round's id and
its end are written down before anything is closed, and counters are dropped only once it is reported: a replica that
dies between is followed by one that closes the same frames again, under the same id.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from models.autolog.frames import (
    BUCKETS,
    ENTITIES,
    LINES,
    OTHER,
    TERMS,
    Frame,
    Tally,
    assemble,
    bucket_of,
    open_from,
    plan,
)
from service.state import keys
from service.state.connection import command, pipelined
from service.state.script import Arg, Script
from service.state.sweeps import TAKE as TAKE_LEASE

ROUND = 64
"""Frames closed in one round at most: their counters pass through memory together."""
_EVERYWHERE = range(BUCKETS)

# KEYS closed, open, then terms and entities of each frame, and the marker where the batch may be retried. ARGV TTL, TTL
# of the marker, entities and terms kept, the name of what is too many, frames (JSON array of numbers as text), groups
# (JSON array of: place of the frame, entity, lines, terms, counts). Reply: records that came too late.
COUNT = Script(
    "count_frames",
    """
local closed, open = KEYS[1], KEYS[2]
local ttl, marker_ttl, most_entities, most_terms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local other = ARGV[5]
local chunks, groups = cjson.decode(ARGV[6]), cjson.decode(ARGV[7])
local marker = KEYS[3 + 2 * #chunks]
if marker then
  local known = redis.call('GET', marker)
  if known then return tonumber(known) end
end
local shut = tonumber(redis.call('GET', closed) or '-inf')
local late, touched = 0, {}
for _, group in ipairs(groups) do
  local place, entity, lines, terms, counts = group[1], group[2], group[3], group[4], group[5]
  if tonumber(chunks[place]) <= shut then
    late = late + lines
  else
    local cells, entities = KEYS[1 + 2 * place], KEYS[2 + 2 * place]
    touched[place] = true
    local kept = redis.call('HGET', entities, entity)
    if not kept and redis.call('HLEN', entities) >= most_entities then
      entity = other
      kept = redis.call('HGET', entities, entity)
    end
    kept = tonumber(kept or 0)
    local own = ' ' .. entity
    redis.call('HINCRBY', cells, own, lines)
    for i = 1, #terms do
      local name, count = terms[i] .. own, counts[i]
      if kept < most_terms then
        if redis.call('HINCRBY', cells, name, count) == count then kept = kept + 1 end
      else
        if redis.call('HEXISTS', cells, name) == 0 then name = other .. own end
        redis.call('HINCRBY', cells, name, count)
      end
    end
    redis.call('HSET', entities, entity, kept)
  end
end
for place in pairs(touched) do
  redis.call('ZADD', open, chunks[place], chunks[place])
  redis.call('EXPIRE', KEYS[1 + 2 * place], ttl)
  redis.call('EXPIRE', KEYS[2 + 2 * place], ttl)
end
redis.call('EXPIRE', open, ttl)
if marker then redis.call('SET', marker, late, 'EX', marker_ttl) end
return late
""",
)

# KEYS closed, then terms of each frame. ARGV the newest frame that is closed now, TTL. Reply: each frame's counters.
CLOSE = Script(
    "close_frames",
    """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '-inf') then redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
local found = {}
for i = 2, #KEYS do found[i - 1] = redis.call('HGETALL', KEYS[i]) end
return found
""",
)

# KEYS place. ARGV the round's id, the newest frame that held a line, the next frame, TTL. Reply: 1 where this round was
# the one under way.
ADVANCE = Script(
    "advance_frames",
    """
if redis.call('HGET', KEYS[1], 'round') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'last', ARGV[2], 'at', ARGV[3])
redis.call('HDEL', KEYS[1], 'upto', 'round')
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Round:
    """Frames to close together: ``id`` names the round, ``chunks`` are in order, and ``last`` is the newest frame
    before them that held a line."""

    id: str
    chunks: list[int]
    last: int


class StoredFrames:
    """The open timeframes of every source. Holds no state of its own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def count(self, source: str, chunk_s: float, tally: Tally, batch_id: str | None = None) -> int:
        """Add a batch, one call for each partition that it touches, all in one round trip; how many of its records
        were late, those among them that the tally had left out.

        With a ``batch_id`` the same call within 15 minutes returns the same and changes nothing. Raises StateError
        where Redis is away.
        """
        parts: dict[int, tuple[dict[int, int], list[tuple[int, str, int, list[str], list[int]]]]] = {}
        for group in tally.groups:
            chunks, groups = parts.setdefault(bucket_of(group.entity), ({}, []))
            place = chunks.setdefault(group.chunk, len(chunks) + 1)
            groups.append((place, group.entity, group.lines, group.terms, group.counts))
        calls: list[tuple[list[str], list[Arg]]] = []
        for p, (chunks, groups) in parts.items():
            names = [keys.closed_frame(p, source, chunk_s), keys.open_frames(p, source, chunk_s)]
            for chunk in chunks:
                names += [keys.frame_terms(p, source, chunk_s, chunk), keys.frame_entities(p, source, chunk_s, chunk)]
            if batch_id is not None:
                names.append(keys.counted(p, source, chunk_s, batch_id))
            args: list[Arg] = [keys.frames_ttl_s(chunk_s), keys.retry_ttl_s(batch_id), ENTITIES, TERMS, OTHER]
            args += [orjson.dumps([str(chunk) for chunk in chunks]), orjson.dumps(groups)]
            calls.append((names, args))
        return tally.late + (sum(await COUNT.call_each(self._redis, calls)) if calls else 0)

    async def next_round(self, source: str, chunk_s: float, watermark: float) -> Round | None:
        """What to close now that the watermark stands at ``watermark`` seconds, and note that it is under way; None
        where no frame is over. A round that was begun and not finished comes first, as it was.

        Only the holder of the lease may ask.
        """
        limit, most = open_from(watermark, chunk_s), ROUND
        place = keys.frame_place(source, chunk_s)
        at, last, upto, name = await command(self._redis, "HMGET", place, "at", "last", "upto", "round")
        if name is not None:
            limit, most = int(upto) + 1, sys.maxsize
        opened = await self._opened(source, chunk_s, limit)
        if at is None:
            if not opened:
                return None
            at = last = opened[0]
        chunks = plan(int(at), int(last), opened, limit, most)
        if not chunks:
            return None
        if name is None:
            name = uuid4().hex.encode()
            fields: list[Arg] = ["at", int(at), "last", int(last), "upto", chunks[-1], "round", name]
            await pipelined(self._redis, [["HSET", place, *fields], ["EXPIRE", place, keys.frames_ttl_s(chunk_s)]])
        return Round(name.decode(), chunks, int(last))

    async def due(self, source: str, chunk_s: float, watermark: float) -> bool:
        """Whether a frame is over, or a round unfinished. Changes nothing."""
        limit = open_from(watermark, chunk_s)
        at, last, upto = await command(self._redis, "HMGET", keys.frame_place(source, chunk_s), "at", "last", "upto")
        if upto is not None:
            return True
        if at is not None and int(at) >= limit:
            return False
        opened = await self._opened(source, chunk_s, limit)
        return bool(opened if at is None else plan(int(at), int(last), opened, limit, 1))

    async def close(self, source: str, chunk_s: float, found: Round) -> list[Frame]:
        """The frames of a round, after which no line is counted in them or in any before."""
        ttl_s = keys.frames_ttl_s(chunk_s)
        calls = [
            (
                [
                    keys.closed_frame(p, source, chunk_s),
                    *(keys.frame_terms(p, source, chunk_s, chunk) for chunk in found.chunks),
                ],
                [found.chunks[-1], ttl_s],
            )
            for p in _EVERYWHERE
        ]
        replies = await CLOSE.call_each(self._redis, calls)
        return [
            assemble(chunk, (cell for reply in replies for cell in _cells(reply[number])))
            for number, chunk in enumerate(found.chunks)
        ]

    async def finish(self, source: str, chunk_s: float, found: Round, frames: Iterable[Frame]) -> None:
        """The round was reported: go on behind it, and drop its counters."""
        last = max([found.last, *(frame.chunk for frame in frames if frame.lines)])
        upto = found.chunks[-1]
        args: list[Arg] = [found.id, last, upto + 1, keys.frames_ttl_s(chunk_s)]
        await ADVANCE.call(self._redis, [keys.frame_place(source, chunk_s)], args)
        await self._drop(source, chunk_s, dict.fromkeys(_EVERYWHERE, found.chunks), upto)

    async def reset(self, source: str, chunk_s: float) -> None:
        """Forget every frame, unjudged, and what was closed: after that older times may come."""
        found = await pipelined(
            self._redis, [["ZRANGE", keys.open_frames(p, source, chunk_s), 0, -1] for p in _EVERYWHERE]
        )
        await self._drop(source, chunk_s, {p: [int(c) for c in own] for p, own in zip(_EVERYWHERE, found, strict=True)})
        await pipelined(self._redis, [["DEL", keys.closed_frame(p, source, chunk_s)] for p in _EVERYWHERE])
        await command(self._redis, "DEL", keys.frame_place(source, chunk_s))

    async def take_lease(self, source: str, token: str) -> bool:
        """Take or renew the lease of a source's timeframes; False where another holder has it."""
        args: list[Arg] = [token, keys.SWEEP_LEASE_TTL_S]
        return bool(await TAKE_LEASE.call(self._redis, [keys.frame_lease(source)], args))

    async def _opened(self, source: str, chunk_s: float, limit: int) -> list[int]:
        """Open frames below ``limit``, sorted: the oldest of each partition, a round's worth."""
        commands: list[list[str | int]] = [
            ["ZRANGEBYSCORE", keys.open_frames(p, source, chunk_s), "-inf", f"({limit}", "LIMIT", 0, ROUND]
            for p in _EVERYWHERE
        ]
        return sorted({int(chunk) for found in await pipelined(self._redis, commands) for chunk in found})

    async def _drop(
        self, source: str, chunk_s: float, chunks: dict[int, Sequence[int]], upto: int | None = None
    ) -> None:
        commands: list[list[str | int]] = []
        for p, own in chunks.items():
            names = [keys.frame_terms(p, source, chunk_s, chunk) for chunk in own]
            names += [keys.frame_entities(p, source, chunk_s, chunk) for chunk in own]
            if names:
                commands.append(["DEL", *names])
            top = "+inf" if upto is None else upto
            commands.append(["ZREMRANGEBYSCORE", keys.open_frames(p, source, chunk_s), "-inf", top])
        await pipelined(self._redis, commands)


def _cells(flat: Sequence[bytes]) -> Iterator[tuple[str, str, int]]:
    """(entity, term, count) of one hash of counters; no term is ``LINES``."""
    for at in range(0, len(flat), 2):
        term, _, entity = flat[at].decode().partition(" ")
        yield entity, term or LINES, int(flat[at + 1])
