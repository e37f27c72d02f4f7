"""The Lua by which a batch's rows become part of their sessions, and the form in which they travel.

Owns the Lua twin of ``models.sessions`` (a property test holds the two equal). Does not know partitions, nor who asks.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.notes import NoteSettings
from models.sessions import NO_KEY, Float64, Int64, Rows, SessionSettings
from service.state import keys
from service.state.leases import Fence
from service.state.packing import MAX_KEY
from service.state.script import Arg, Script

HEADER = struct.Struct("<ddIIIIHHHHI")
PURE_END = MAX_KEY + 1
ENDS = 0x8000

# KEYS live, idle, peaks, notes; where the batch may be retried the reply's key and the drawer of those that are over,
# and where it comes out of the durable queue that partition's state. ARGV header (idle_s f64, sweep_to f64, tail u32,
# sweep limit u32, TTLs u32, u32; of notes: bytes and number of value vectors, bytes and number of codes, u16 each;
# fencing token u32), msgpack arrays of: rows of each session, keys (bit 15: ends), times, watermarks, session ids, and
# where notes are kept each row's values and codes. Reply: priors, closings flat as (session, state, peaks, row), notes;
# 'fenced' to a stale token, 'over' where the batch's answer is stored.
APPEND = Script(
    "append",
    """
local live, idle, peaks, notes, kept, over = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local sunpack, spack, sub, rep = struct.unpack, struct.pack, string.sub, string.rep
local idle_s, sweep_to, h, limit, ttl, kept_ttl, vsize, vdepth, csize, cdepth, token =
  sunpack('<ddIIIIHHHHI', ARGV[1])
if KEYS[7] and tonumber(redis.call('HGET', KEYS[7], 'fence')) ~= token then return 'fenced' end
if kept then
  local reply = redis.call('GET', kept)
  if reply == 'over' then return reply end -- as versions before 2026-12 left it
  if reply then return cmsgpack.unpack(reply) end
  if redis.call('SISMEMBER', over, string.match(kept, ':batch:(.+)$')) == 1 then return 'over' end
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


def header(
    settings: SessionSettings, sweep_to: float, sweep_limit: int, batch_id: str | None, fence: Fence | None = None
) -> bytes:
    """The first argument of ``APPEND``."""
    ttl_s = keys.live_ttl_s(settings.idle_s)
    kept = settings.notes
    return HEADER.pack(
        settings.idle_s, sweep_to, settings.tail, sweep_limit, ttl_s, keys.retry_ttl_s(batch_id),
        8 * kept.width, kept.values, 2 * kept.fields, kept.codes, 0 if fence is None else fence.token,
    )  # fmt: skip


_ARRAY = struct.Struct(">BI")
"""How an array or a string begins: its tag and how long it is."""

NOTHING: tuple[Arg, ...] = (_ARRAY.pack(0xDD, 0),) * 7
"""What follows the header where there are no rows."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows and their sessions in the order in which they travel, each cell packed once: a call takes a piece of each
    column. Of ``notes`` there are none where the source keeps none."""

    sizes: "Cells"
    numbers: "tuple[Cells, ...]"
    names: list[bytes]
    notes: tuple[list[bytes], ...]

    @classmethod
    def of(cls, rows: Rows, order: Int64, sizes: Int64, names: Sequence[bytes], settings: NoteSettings) -> "Columns":
        """The rows ``order`` int64 [m], those of each of the sessions ``names`` in turn, ``sizes`` int64 [s] of each.
        Raises ValueError where notes are kept and these rows have none."""
        key = np.where(rows.key == NO_KEY, PURE_END, rows.key) + ENDS * rows.ends.astype(np.int64)
        numbers = (
            Cells.of(key[order], 0xCD, ">u2"),
            Cells.of(rows.time[order], 0xCB, ">f8"),
            Cells.of(rows.watermark[order], 0xCB, ">f8"),
        )
        notes = tuple(_words(column) for column in _notes(rows, order, settings))
        return cls(Cells.of(sizes, 0xCE, ">u4"), numbers, _words(names), notes)

    def args(self, sessions: slice, rows: slice) -> list[Arg]:
        """What follows the header in a call with these ``sessions`` and their ``rows``."""
        return [
            self.sizes.array(sessions),
            *[column.array(rows) for column in self.numbers],
            _array(self.names[sessions]),
            *[_array(column[rows]) for column in self.notes],
        ]


@dataclass(frozen=True, slots=True)
class Cells:
    """Numbers as msgpack has them, each of ``width`` bytes."""

    packed: bytes
    width: int

    @classmethod
    def of(cls, values: Int64 | Float64, tag: int, dtype: str) -> "Cells":
        """Each with its tag byte before it."""
        packed = np.empty(len(values), dtype=[("tag", "u1"), ("value", dtype)])
        packed["tag"] = tag
        packed["value"] = values
        return cls(packed.tobytes(), packed.itemsize)

    def array(self, own: slice) -> bytes:
        """A run of them as a msgpack array."""
        cells = self.packed[own.start * self.width : own.stop * self.width]
        return _ARRAY.pack(0xDD, own.stop - own.start) + cells


def _notes(rows: Rows, order: Int64, settings: NoteSettings) -> Iterator[list[bytes]]:
    """Values and codes of each row, packed as ``unpack_notes`` reads them."""
    if not settings.stored:
        return
    if rows.notes is None:
        raise ValueError("the source keeps notes of its events, but these rows have none")
    values, valued = rows.notes.values[order].astype("<f8"), rows.notes.valued[order].tolist()
    yield [row.tobytes() if own else b"" for row, own in zip(values, valued, strict=True)]
    yield [row.tobytes() for row in rows.notes.codes[order].astype("<u2")]


def _words(words: Sequence[bytes]) -> list[bytes]:
    """Each as one msgpack string."""
    heads = {size: _ARRAY.pack(0xDB, size) for size in set(map(len, words))}
    return [heads[len(word)] + word for word in words]


def _array(cells: Sequence[bytes]) -> bytes:
    return _ARRAY.pack(0xDD, len(cells)) + b"".join(cells)
