"""Live sessions in Redis: append a batch, get back what each session was before it and which sessions are over.

Owns the Lua twin of ``models.sessions`` (a property test holds the two equal) and the grouping of rows by partition.
Does not know what a key means, nor how windows are judged: ``models.sessions.build_windows`` makes them of what this
returns.

One hash, one sorted set by last time and one sparse hash of peaks per (partition, source), not a key per session: a
live session of 25 characters with a tail of 10 costs less than 300 bytes, its place in the sorted set included. Sources
that keep notes of their events (``models.notes``) have one hash more.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from models.errors import StateError
from models.notes import NoteSettings, SessionNotes
from models.sessions import NO_KEY, Closing, Rows, SessionSettings, SessionState, group_by_session
from service.state import keys
from service.state.connection import command, pipelined
from service.state.leases import Fence, check
from service.state.packing import MAX_KEY, MAX_TAIL, unpack_notes, unpack_peaks, unpack_state
from service.state.script import Arg, Script

SWEEP_LIMIT = 1_000
"""Sessions that one call closes for idleness at most: Redis serves nobody else while a script runs."""
_EVERYWHERE = range(keys.PARTITIONS)
_HEADER = struct.Struct("<ddIIIIHHHHI")
_OVER = b"over"
"""In the place of a kept reply once the batch's answer is stored. Not msgpack of any reply: that is an array."""
_PURE_END = MAX_KEY + 1
_ENDS = 0x8000

# KEYS live, idle, peaks, notes, the reply's key where the batch may be retried, and where it comes out of the durable
# queue that partition's state. ARGV header (idle_s f64, sweep_to f64, tail u32, sweep limit u32, TTLs u32, u32; of
# notes: bytes and number of value vectors, bytes and number of codes, u16 each; fencing token u32), msgpack arrays of:
# rows of each session, keys (bit 15: ends), times, watermarks, session ids, and where notes are kept each row's values
# and codes. Reply: priors, closings flat as (session, state, peaks, row), notes; 'fenced' to a stale token.
APPEND = Script(
    "append",
    """
local live, idle, peaks, notes, kept = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sunpack, spack, sub, rep = struct.unpack, struct.pack, string.sub, string.rep
local idle_s, sweep_to, h, limit, ttl, kept_ttl, vsize, vdepth, csize, cdepth, token =
  sunpack('<ddIIIIHHHHI', ARGV[1])
if KEYS[6] and tonumber(redis.call('HGET', KEYS[6], 'fence')) ~= token then return 'fenced' end
if kept then
  local reply = redis.call('GET', kept)
  if reply == 'over' then return reply end
  if reply then return cmsgpack.unpack(reply) end
end
local sizes, rowkeys = cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local times, marks = cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
local sessions = cmsgpack.unpack(ARGV[6])
local noting = vdepth + cdepth > 0
local rowvalues, rowcodes = {}, {}
if noting and #rowkeys > 0 then rowvalues, rowcodes = cmsgpack.unpack(ARGV[7]), cmsgpack.unpack(ARGV[8]) end
local CHUNK = 1000
local priors, closings, nc = {}, {}, 0
local noted = {}
local any_peaks = redis.call('EXISTS', peaks) == 1

local function in_chunks(command, key, words)
  for a = 1, #words, CHUNK do
    redis.call(command, key, unpack(words, a, math.min(a + CHUNK - 1, #words)))
  end
end

local function take_peaks(session, state)
  if not any_peaks then return '' end
  local found = redis.call('HGET', peaks, session)
  if not found then return '' end
  redis.call('HDEL', peaks, session)
  if sub(found, 1, 8) ~= sub(state, 1, 8) then return '' end
  return found
end

for a = 1, #sessions, CHUNK do
  local b = math.min(a + CHUNK - 1, #sessions)
  local found = redis.call('HMGET', live, unpack(sessions, a, b))
  for i = 1, b - a + 1 do priors[a + i - 1] = found[i] or '' end
  if noting then
    local kept_notes = redis.call('HMGET', notes, unpack(sessions, a, b))
    for i = 1, b - a + 1 do
      local found_notes = kept_notes[i] or ''
      -- Notes of another epoch, or of a version that kept others, are none.
      if found_notes ~= '' then
        local began, v, c = sunpack('<dHH', found_notes)
        local prior = priors[a + i - 1]
        if v ~= vsize or c ~= csize or sub(prior, 1, 8) ~= sub(found_notes, 1, 8) then found_notes = '' end
      end
      noted[a + i - 1] = found_notes
    end
  end
end

-- Formats of k pairs of key and count and the two bytes of a key, each made once a call. A count takes as many bytes as
-- the number of events n needs: most sessions have fewer than 256.
local function formats_of(pair)
  return setmetatable({}, {__index = function(t, k)
    local f = '<' .. rep(pair, k)
    t[k] = f
    return f
  end})
end
local small, medium, large = formats_of('HB'), formats_of('HH'), formats_of('HI')
local function form_of(count)
  if count < 256 then return small, 3 elseif count < 65536 then return medium, 4 else return large, 6 end
end
local two = setmetatable({}, {__index = function(t, v)
  local s = spack('<H', v)
  t[v] = s
  return s
end})

-- The session at hand. flat: key, count, key, count..; place: key -> where its count stands in flat.
local session, alive, continues, started, last, n, tail, flat, place
local values, order, codes
local row = 0

local function unpacked_notes(found)
  values, order, codes = {}, {}, ''
  if found == '' then return end
  local _, _, _, length, at = sunpack('<dHHH', found)
  codes = sub(found, at, at + length - 1)
  at = at + length
  while at <= #found do
    local key, count, after = sunpack('<HB', found, at)
    values[key] = sub(found, after, after + count * vsize - 1)
    order[#order + 1] = key
    at = after + count * vsize
  end
end

local function packed_notes()
  local parts = {spack('<dHHH', started, vsize, csize, #codes), codes}
  for i = 1, #order do
    local found = values[order[i]]
    parts[#parts + 1] = spack('<HB', order[i], #found / vsize)
    parts[#parts + 1] = found
  end
  return table.concat(parts)
end

local function note(key, pause)
  local vector, code = rowvalues[row + 1], rowcodes[row + 1]
  if vdepth > 0 and vector ~= '' then
    local found = values[key]
    if not found then
      found = ''
      order[#order + 1] = key
    end
    found = found .. spack('<d', pause) .. vector
    if #found > vdepth * vsize then found = sub(found, #found - vdepth * vsize + 1) end
    values[key] = found
  end
  if cdepth > 0 then
    codes = codes .. code
    if #codes > cdepth * csize then codes = sub(codes, #codes - cdepth * csize + 1) end
  end
end

-- Lua's stack takes some thousands of values: counts of very varied sessions go in chunks of 2 * CHUNK.
local function unpacked_counts(state, at)
  local formats, size = form_of(n)
  local cells = (#state - at + 1) / size
  if cells <= CHUNK then
    local found = {sunpack(formats[cells], state, at)}
    found[2 * cells + 1] = nil -- where unpack stopped
    return found
  end
  local found = {}
  for a = 0, cells - 1 do
    found[2 * a + 1], found[2 * a + 2] = sunpack(formats[1], state, at + size * a)
  end
  return found
end

local function packed()
  if #tail > 2 * h then tail = sub(tail, #tail - 2 * h + 1) end
  local length = #tail / 2
  local state = spack('<ddIB', started, last, n, math.min(length, 255))
  -- A byte says how many keys follow; 255 says that two more bytes do.
  state = length < 255 and state .. tail or state .. two[length] .. tail
  local formats = form_of(n)
  if #flat <= 2 * CHUNK then return state .. spack(formats[#flat / 2], unpack(flat)) end
  local parts = {state}
  for a = 1, #flat, 2 do parts[#parts + 1] = spack(formats[1], flat[a], flat[a + 1]) end
  return table.concat(parts)
end

local function close()
  local state = packed()
  closings[nc + 1], closings[nc + 2] = session, state
  closings[nc + 3] = continues and take_peaks(session, state) or ''
  closings[nc + 4] = row
  nc = nc + 4
  alive, continues, n, tail, flat, place = false, false, 0, '', {}, {}
  values, order, codes = {}, {}, ''
end

local set, index, gone, note_set = {}, {}, {}, {}
local ns, ng, nn = 0, 0, 0
for i = 1, #sessions do
  local prior = priors[i]
  session = sessions[i]
  if prior ~= '' then
    local length
    alive, continues = true, true
    started, last, n, length = sunpack('<ddIB', prior)
    local from = 22
    if length == 255 then length, from = sunpack('<H', prior, from) end
    local at = from + 2 * length
    tail = sub(prior, from, at - 1)
    flat, place = unpacked_counts(prior, at), {}
    for k = 1, #flat, 2 do place[flat[k]] = k + 1 end
  else
    alive, continues, n, tail, flat, place = false, false, 0, '', {}, {}
  end
  if noting then unpacked_notes(noted[i]) end
  for _ = 1, sizes[i] do
    local key, time, ends = rowkeys[row + 1], times[row + 1], false
    if key >= 32768 then key = key - 32768; ends = true end
    if alive and last + idle_s < marks[row + 1] then close() end
    if key ~= 32767 then
      if noting then note(key, alive and time - last or 0 / 0) end
      if not alive then
        alive, started, last = true, time, time
      elseif time > last then
        last = time
      end
      n = n + 1
      tail = tail .. two[key]
      if #tail > 2 * h + 256 then tail = sub(tail, #tail - 2 * h + 1) end
      local at = place[key]
      if at then
        flat[at] = flat[at] + 1
      else
        at = #flat + 2
        flat[at - 1], flat[at], place[key] = key, 1, at
      end
    end
    if ends and alive then close() end
    row = row + 1
  end
  if alive then
    set[ns + 1], set[ns + 2] = session, packed()
    index[ns + 1], index[ns + 2] = last, session
    ns = ns + 2
    if noting then
      note_set[nn + 1], note_set[nn + 2] = session, packed_notes()
      nn = nn + 2
    end
  elseif prior ~= '' then
    ng = ng + 1
    gone[ng] = session
  end
end
in_chunks('HSET', live, set)
in_chunks('ZADD', idle, index)
in_chunks('HDEL', live, gone)
in_chunks('ZREM', idle, gone)
if noting then
  in_chunks('HSET', notes, note_set)
  in_chunks('HDEL', notes, gone)
end

if limit > 0 and sweep_to - idle_s > -math.huge and sweep_to < math.huge then
  -- A little beyond what is due, then the exact rule: last + idle_s and sweep_to - idle_s round differently.
  local due = redis.call('ZRANGEBYSCORE', idle, '-inf', sweep_to - idle_s + 0.001, 'WITHSCORES', 'LIMIT', 0, limit)
  local over, no = {}, 0
  for i = 1, #due, 2 do
    if tonumber(due[i + 1]) + idle_s < sweep_to then no = no + 1; over[no] = due[i] end
  end
  for a = 1, no, CHUNK do
    local b = math.min(a + CHUNK - 1, no)
    local states = redis.call('HMGET', live, unpack(over, a, b))
    for i = a, b do
      local state = states[i - a + 1]
      if state then
        closings[nc + 1], closings[nc + 2], closings[nc + 3] = over[i], state, take_peaks(over[i], state)
        closings[nc + 4] = -1
        nc = nc + 4
      end
    end
  end
  in_chunks('HDEL', live, over)
  in_chunks('ZREM', idle, over)
  in_chunks('HDEL', notes, over)
end
if ns > 0 then
  redis.call('EXPIRE', live, ttl)
  redis.call('EXPIRE', idle, ttl)
  if any_peaks then redis.call('EXPIRE', peaks, ttl) end
  if noting then redis.call('EXPIRE', notes, ttl) end
end
local reply = {priors, closings, noted}
if kept then redis.call('SET', kept, cmsgpack.pack(reply), 'EX', kept_ttl) end
return reply
""",
)

# KEYS live, peaks. ARGV TTL in seconds, then (session, started f64, member, raw f64) flat, floats packed.
RAISE_PEAKS = Script(
    "raise_peaks",
    """
local raised = 0
for i = 2, #ARGV, 4 do
  local session, started, member = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local state = redis.call('HGET', KEYS[1], session)
  if state and string.sub(state, 1, 8) == started then
    local peaks = redis.call('HGET', KEYS[2], session)
    if not peaks or string.sub(peaks, 1, 8) ~= started then peaks = started end
    local at = 9
    while at <= #peaks and string.byte(peaks, at) ~= member do at = at + 9 end
    if at > #peaks or struct.unpack('<d', peaks, at + 1) < struct.unpack('<d', ARGV[i + 3]) then
      local cell = string.char(member) .. ARGV[i + 3]
      redis.call('HSET', KEYS[2], session, string.sub(peaks, 1, at - 1) .. cell .. string.sub(peaks, at + 9))
      raised = raised + 1
    end
  end
end
if raised > 0 then redis.call('EXPIRE', KEYS[2], ARGV[1]) end
return raised
""",
)


class BatchOver(StateError):
    """The batch was finished by somebody else, who had taken this one for dead."""

    def __init__(self) -> None:
        super().__init__("the batch was answered by another replica meanwhile; try again to get its answer")


@dataclass(frozen=True, slots=True)
class Peak:
    """The raw output of event member ``member`` (0..255) in the epoch of ``session`` that began at ``started``
    seconds."""

    session: str
    started: float
    member: int
    raw: float


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append found and ended.

    ``by_session``: row numbers of each session, in row order; ``priors``: state of each session that was live before
    the batch, and ``notes`` kept of it (what ``models.sessions.build_windows`` needs); ``closings``: those of rows in
    row order (``row`` says which), then those of the sweep (``row`` None), the longest silent first.
    """

    by_session: dict[str, list[int]]
    priors: dict[str, SessionState]
    closings: list[Closing]
    notes: dict[str, SessionNotes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are appended as one: ``sweep_to`` and ``batch_id`` as for ``StoredSessions.append``. Where they come
    out of the durable queue, ``fence`` is the right to its partition."""

    rows: Rows
    sweep_to: float = -np.inf
    batch_id: str | None = None
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class _Calls:
    """One part's calls, one for each of the partitions ``touched``; ``sessions`` of each partition, ``starts``, where
    the rows of each touched partition begin in ``order``, row numbers by partition."""

    calls: list[tuple[list[str], list[Arg]]]
    touched: list[int]
    sessions: list[list[str]]
    starts: list[int]
    order: NDArray[np.int64]
    by_session: dict[str, list[int]]


class StoredSessions:
    """The live sessions of every source. Holds no state of its own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def append(
        self,
        source: str,
        settings: SessionSettings,
        rows: Rows,
        sweep_to: float = -np.inf,
        batch_id: str | None = None,
        sweep_limit: int = SWEEP_LIMIT,
    ) -> Appended:
        """Append rows and close what is over; one call per partition that the rows touch, all in one round trip.

        ``sweep_to`` is a watermark in seconds: in the partitions touched, up to ``sweep_limit`` sessions each that it
        has passed by ``idle_s`` are closed too. With a ``batch_id`` the same call within 15 minutes returns the same
        and changes nothing. Raises BatchOver where that batch was forgotten meanwhile, StateError where Redis is away,
        ValueError for keys outside 0..32766 or a tail over ``MAX_TAIL``.
        """
        [found] = await self.append_each(source, settings, [Part(rows, sweep_to, batch_id)], sweep_limit)
        return found

    async def append_each(
        self, source: str, settings: SessionSettings, parts: Sequence[Part], sweep_limit: int = SWEEP_LIMIT
    ) -> list[Appended]:
        """Append parts one after the other, in one round trip. Raises Fenced, and that part has no effect, where the
        right to a partition went to somebody else."""
        prepared = [self._calls(source, settings, part, sweep_limit) for part in parts]
        replies = iter(await APPEND.call_each(self._redis, [call for found in prepared for call in found.calls]))
        return [self._appended(found, [next(replies) for _ in found.calls]) for found in prepared]

    @staticmethod
    def _calls(source: str, settings: SessionSettings, part: Part, sweep_limit: int) -> _Calls:
        rows, fence = part.rows, part.fence
        _check(settings, rows)
        by_session = group_by_session(rows.session)
        parts: list[list[str]] = [[] for _ in _EVERYWHERE]
        names: list[list[bytes]] = [[] for _ in _EVERYWHERE]
        for session in by_session:
            name = session.encode()
            p = keys.partition_of(name)
            parts[p].append(session)
            names[p].append(name)
        touched = [p for p in _EVERYWHERE if parts[p]]
        sizes = [[len(by_session[session]) for session in parts[p]] for p in touched]
        numbers = chain.from_iterable(by_session[session] for p in touched for session in parts[p])
        order = np.fromiter(numbers, dtype=np.int64, count=len(rows.session))
        key = np.where(rows.key[order] == NO_KEY, _PURE_END, rows.key[order]) | np.where(rows.ends[order], _ENDS, 0)
        columns = [
            _msgpack_cells(key, 0xCD, ">u2"),
            _msgpack_cells(rows.time[order], 0xCB, ">f8"),
            _msgpack_cells(rows.watermark[order], 0xCB, ">f8"),
        ]
        header = _header(settings, part.sweep_to, sweep_limit, part.batch_id, fence)
        notes = _packed_notes(rows, order, settings.notes)
        calls: list[tuple[list[str], list[Arg]]] = []
        starts = np.cumsum([0, *(sum(own) for own in sizes)]).tolist()
        for i, p in enumerate(touched):
            args: list[Arg] = [header, _msgpack_array(_msgpack_cells(np.array(sizes[i]), 0xCE, ">u4"))]
            args += [_msgpack_array(column[starts[i] : starts[i + 1]]) for column in columns]
            args.append(_msgpack_strings(names[p]))
            args += [_msgpack_strings(column[starts[i] : starts[i + 1]]) for column in notes]
            names_of = _keys_of(p, source, part.batch_id)
            if fence is not None and fence.partition == p:
                names_of.append(keys.queue_state(p, source))
            calls.append((names_of, args))
        return _Calls(calls, touched, parts, starts, order, by_session)

    @staticmethod
    def _appended(found: _Calls, replies: Sequence[Any]) -> Appended:
        priors: dict[str, SessionState] = {}
        kept: dict[str, SessionNotes] = {}
        closings: list[Closing] = []
        for p, start, reply in zip(found.touched, found.starts[:-1], replies, strict=True):
            check(reply, p)
            if reply == _OVER:
                raise BatchOver()
            packed_priors, packed_closings, noted = reply
            for session, packed in zip(found.sessions[p], packed_priors, strict=True):
                if packed:
                    priors[session] = unpack_state(packed)
            for session, packed in zip(found.sessions[p], noted, strict=False):
                if packed:
                    kept[session] = unpack_notes(packed)
            closings.extend(_closings(packed_closings, found.order, start))
        return Appended(found.by_session, priors, _sorted(closings), kept)

    async def sweep(
        self,
        source: str,
        settings: SessionSettings,
        watermark: float,
        batch_id: str | None = None,
        sweep_limit: int = SWEEP_LIMIT,
    ) -> list[Closing]:
        """Close sessions whose silence the watermark has passed, the longest silent first, ``sweep_limit`` per
        partition.

        Call again while it returns any. With a ``batch_id`` a repeated call returns the same, or raises BatchOver.
        """
        empty = _msgpack_array(np.empty(0, dtype=np.uint8))
        header = _header(settings, watermark, sweep_limit, batch_id)
        args: list[Arg] = [header, *[empty] * 7]
        calls = [(_keys_of(p, source, batch_id), args) for p in _EVERYWHERE]
        replies = await APPEND.call_each(self._redis, calls)
        if _OVER in replies:
            raise BatchOver()
        nothing = np.empty(0, dtype=np.int64)
        return _sorted([closing for reply in replies for closing in _closings(reply[1], nothing, 0)])

    async def raise_peaks(self, source: str, settings: SessionSettings, peaks: Iterable[Peak]) -> int:
        """Remember the largest raw output of each member in each live session; returns how many grew.

        Ignored for a session whose live epoch did not begin at ``started``; doing it twice changes nothing.
        """
        parts: dict[int, list[Arg]] = {}
        for peak in peaks:
            args = parts.setdefault(keys.partition_of(peak.session.encode()), [keys.live_ttl_s(settings.idle_s)])
            args += [peak.session, struct.pack("<d", peak.started), peak.member, struct.pack("<d", peak.raw)]
        calls = [([keys.live(p, source), keys.peaks(p, source)], args) for p, args in parts.items()]
        return sum(await RAISE_PEAKS.call_each(self._redis, calls)) if calls else 0

    async def read(self, source: str, session: str) -> SessionState | None:
        """State of a live session; None where there is none."""
        packed = await command(self._redis, "HGET", keys.live(keys.partition_of(session.encode()), source), session)
        return unpack_state(packed) if packed else None

    async def read_peaks(self, source: str, session: str) -> Mapping[int, float]:
        """Largest raw outputs of a live session's event members so far."""
        packed = await command(self._redis, "HGET", keys.peaks(keys.partition_of(session.encode()), source), session)
        return unpack_peaks(packed or b"")

    async def count_live(self, source: str) -> int:
        """How many sessions are live."""
        return sum(await pipelined(self._redis, [["HLEN", keys.live(p, source)] for p in _EVERYWHERE]))

    async def oldest(self, source: str) -> float | None:
        """Last time in seconds of the session that has been silent longest; None where none is live."""
        commands: list[list[str | int]] = [["ZRANGE", keys.idle(p, source), 0, 0, "WITHSCORES"] for p in _EVERYWHERE]
        return min((float(found[1]) for found in await pipelined(self._redis, commands) if found), default=None)

    async def reset(self, source: str) -> None:
        """Forget every live session, unjudged."""
        await pipelined(self._redis, [["DEL", *_keys_of(p, source, None)] for p in _EVERYWHERE])

    async def forget(self, source: str, batch_id: str) -> None:
        """Drop the kept replies of a batch whose final answer is stored: the larger part of a batch's memory.

        A word stays in their place. Whoever began the batch and stood still since, or whose command was held up on its
        way to Redis, finds it and appends nothing a second time.
        """
        names = [keys.appended(p, source, batch_id) for p in _EVERYWHERE]
        await pipelined(self._redis, [["SET", name, _OVER, "XX", "KEEPTTL"] for name in names])


def _check(settings: SessionSettings, rows: Rows) -> None:
    if not 0 <= settings.tail <= MAX_TAIL:
        raise ValueError(f"a tail of {settings.tail} keys; Redis keeps 0..{MAX_TAIL}")
    if len(rows.key) and not (rows.key.min() >= NO_KEY and rows.key.max() <= MAX_KEY):
        raise ValueError(f"template ids must lie in 0..{MAX_KEY}, got {rows.key.min()}..{rows.key.max()}")


def _header(
    settings: SessionSettings, sweep_to: float, sweep_limit: int, batch_id: str | None, fence: Fence | None = None
) -> bytes:
    ttl_s = keys.live_ttl_s(settings.idle_s)
    kept = settings.notes
    return _HEADER.pack(
        settings.idle_s, sweep_to, settings.tail, sweep_limit, ttl_s, keys.retry_ttl_s(batch_id),
        8 * kept.width, kept.values, 2 * kept.fields, kept.codes, 0 if fence is None else fence.token,
    )  # fmt: skip


def _packed_notes(rows: Rows, order: NDArray[np.int64], settings: NoteSettings) -> list[list[bytes]]:
    """Values and codes of each row in ``order``, packed as ``unpack_notes`` reads them; nothing where none are kept."""
    if not settings.stored:
        return []
    if rows.notes is None:
        raise ValueError("the source keeps notes of its events, but these rows have none")
    values = [row.tobytes() if valued else b"" for row, valued in zip(
        rows.notes.values[order].astype("<f8"), rows.notes.valued[order].tolist(), strict=True
    )]  # fmt: skip
    return [values, [row.tobytes() for row in rows.notes.codes[order].astype("<u2")]]


def _keys_of(partition: int, source: str, batch_id: str | None) -> list[str]:
    found = [kind(partition, source) for kind in (keys.live, keys.idle, keys.peaks, keys.notes)]
    return found if batch_id is None else [*found, keys.appended(partition, source, batch_id)]


def _msgpack_cells(values: NDArray[Any], tag: int, dtype: str) -> NDArray[Any]:
    """Each value as one msgpack number, its tag byte before it."""
    cells = np.empty(len(values), dtype=[("tag", "u1"), ("value", dtype)])
    cells["tag"] = tag
    cells["value"] = values
    return cells


def _msgpack_array(cells: NDArray[Any]) -> bytes:
    return struct.pack(">BI", 0xDD, len(cells)) + cells.tobytes()


def _msgpack_strings(names: Sequence[bytes]) -> bytes:
    return b"".join(
        [struct.pack(">BI", 0xDD, len(names)), *[struct.pack(">BI", 0xDB, len(name)) + name for name in names]]
    )


def _closings(flat: Sequence[Any], order: NDArray[np.int64], start: int) -> Iterable[Closing]:
    for at in range(0, len(flat), 4):
        session, state, peaks, row = flat[at : at + 4]
        number = int(order[start + row]) if row >= 0 else None
        yield Closing(session.decode(), unpack_state(state), unpack_peaks(peaks), number)


def _sorted(closings: list[Closing]) -> list[Closing]:
    """Closings of rows by row, an idle epoch before the one that the same row ends; then those of the sweep by time."""
    by_row = sorted((c for c in closings if c.row is not None), key=lambda closing: closing.row or 0)
    swept = sorted((c for c in closings if c.row is None), key=lambda closing: (closing.state.last, closing.session))
    return by_row + swept
