"""Incidents in Redis: folded by id, listed newest first.

Owns counting, order, cap and lifetime. Does not know how an id is made (the caller hashes source, session, start and
cause), nor what a body or a clause says. Order and ``since`` go by the wall clock at which an incident was raised, as
replayed logs carry old event times. Who is to be told of a new one reads ``outbox``: it goes there in the step in which
it is folded, so that it is told of exactly when it was stored.
"""

import math
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys
from service.state.compression import pack, unpack
from service.state.connection import command, pipelined
from service.state.script import Arg, Script

OPEN = "open"
PAGE = 200
ALWAYS, NEVER = math.inf, -math.inf
_TALLY = struct.Struct("<Iddd")

# KEYS bodies, tallies, states, clauses, index, outbox, backfilled, and the marker where the batch may be retried. ARGV
# wall clock, cap, lifetime s, marker TTL s, clauses kept of each, outbox kept, then (id, body, score f64, event time
# f64, clauses in lines, told f64) flat. Reply: how often each was seen by then. A silenced incident that brings another
# clause than it had is open again: something else rings there. New ones and those go to the outbox.
APPLY = Script(
    "apply_incidents",
    """
local bodies, tallies, states, clauses, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local outbox, marker = KEYS[6], KEYS[8]
if marker then
  local reply = redis.call('GET', marker)
  if reply then return cmsgpack.unpack(reply) end
end
local most = tonumber(ARGV[5])
local function brings_new(id, more)
  local kept = redis.call('HGET', clauses, id) or ''
  local known, lines, fresh = {}, {}, false
  for line in string.gmatch(kept, '[^\\n]+') do
    known[line] = true
    lines[#lines + 1] = line
  end
  for line in string.gmatch(more, '[^\\n]+') do
    if not known[line] then
      known[line] = true
      fresh = true
      if #lines < most then lines[#lines + 1] = line end
    end
  end
  if fresh then redis.call('HSET', clauses, id, table.concat(lines, '\\n')) end
  return fresh
end
local backfilled = tonumber(redis.call('GET', KEYS[7]) or nil) or -math.huge
local reply = {}
for i = 7, #ARGV, 6 do
  local id, tell = ARGV[i], false
  local score, time = struct.unpack('<d', ARGV[i + 2]), struct.unpack('<d', ARGV[i + 3])
  local tally, count, first, last, best = redis.call('HGET', tallies, id), 0, time, time, score
  if tally then
    count, first, last, best = struct.unpack('<Iddd', tally)
    first, last, best = math.min(first, time), math.max(last, time), math.max(best, score)
  else
    redis.call('HSET', bodies, id, ARGV[i + 1])
    redis.call('ZADD', index, ARGV[1], id)
    tell = true
  end
  redis.call('HSET', tallies, id, struct.pack('<Iddd', count + 1, first, last, best))
  if ARGV[i + 4] ~= '' and brings_new(id, ARGV[i + 4]) and redis.call('HGET', states, id) == 'silenced' then
    redis.call('HDEL', states, id)
    tell = true
  end
  if tell and struct.unpack('<d', ARGV[i + 5]) > backfilled then
    redis.call('XADD', outbox, 'MAXLEN', '~', ARGV[6], '*', 'id', id)
  end
  reply[#reply + 1] = count + 1
end
local function drop(ids)
  for i = 1, #ids, 1000 do
    local to = math.min(i + 999, #ids)
    redis.call('HDEL', bodies, unpack(ids, i, to))
    redis.call('HDEL', tallies, unpack(ids, i, to))
    redis.call('HDEL', states, unpack(ids, i, to))
    redis.call('HDEL', clauses, unpack(ids, i, to))
    redis.call('ZREM', index, unpack(ids, i, to))
  end
end
drop(redis.call('ZRANGEBYSCORE', index, '-inf', string.format('(%.6f', tonumber(ARGV[1]) - tonumber(ARGV[3]))))
local over = redis.call('ZCARD', index) - tonumber(ARGV[2])
if over > 0 then drop(redis.call('ZRANGE', index, 0, over - 1)) end
if marker then redis.call('SET', marker, cmsgpack.pack(reply), 'EX', ARGV[4]) end
return reply
""",
)

# KEYS bodies, states. ARGV id, state.
SET_STATE = Script(
    "incident_state",
    """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
""",
)


# KEYS backfilled. ARGV event time, TTL s.
BACKFILL = Script(
    "note_backfill",
    """
local known = tonumber(redis.call('GET', KEYS[1]) or nil)
if known and known >= tonumber(ARGV[1]) then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
""",
)


@dataclass(frozen=True, slots=True)
class Effect:
    """One sighting of an incident. ``body`` is JSON and stays as the first sighting gave it; ``time`` is event time in
    seconds, ``score`` 0 to 1; ``clauses`` are lines of JSON, which the incident gathers from all its sightings.

    People are told of a new incident where ``told`` is later than what was backfilled: ``ALWAYS``, ``NEVER``, or the
    event time of what may come of backfilled lines (a session's end)."""

    id: str
    body: bytes
    score: float
    time: float
    clauses: tuple[bytes, ...] = ()
    told: float = ALWAYS


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """An incident as folded so far: event times in seconds, ``raised`` the wall clock of the first sighting."""

    id: str
    source: str
    body: dict[str, Any]
    count: int
    first_seen: float
    last_seen: float
    score: float
    state: str
    raised: float


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Incidents, newest first, and the cursor of the next page (None: no more)."""

    incidents: list[StoredIncident]
    next: str | None


async def apply(
    redis: Redis, source: str, effects: Sequence[Effect], now: float, batch_id: str | None = None, part: str = ""
) -> list[int]:
    """Fold sightings in; returns for each how often its incident was seen by then (1: it is new).

    Exactly once for a ``batch_id`` and ``part``: again within 15 minutes returns the same and changes nothing.
    """
    if not effects:
        return []
    names = [
        *_names(source), keys.incident_clauses(source), keys.incident_index(source), keys.outbox(source),
        keys.backfilled(source),
    ]  # fmt: skip
    if batch_id is not None:
        names.append(keys.applied(source, "incidents", batch_id, part))
    args: list[Arg] = [
        repr(float(now)), keys.INCIDENTS_KEPT, keys.INCIDENT_TTL_S, keys.retry_ttl_s(batch_id), keys.CLAUSES_KEPT,
        keys.OUTBOX_KEPT,
    ]  # fmt: skip
    gathered: dict[str, dict[bytes, None]] = {}
    for effect in effects:
        gathered.setdefault(effect.id, {}).update(dict.fromkeys(effect.clauses))
    for effect in effects:
        # All that a batch says of an incident goes with its first sighting: merged once, not once a sighting. So does
        # the body, of which no other is kept.
        body = pack(effect.body) if effect.id in gathered else b""
        clauses = b"\n".join(gathered.pop(effect.id, ()))
        score, time, told = (struct.pack("<d", value) for value in (effect.score, effect.time, effect.told))
        args += [effect.id, body, score, time, clauses, told]
    return [int(count) for count in await APPLY.call(redis, names, args)]


async def backfill(redis: Redis, source: str, to: float) -> None:
    """Note that lines up to event time ``to`` (seconds) came in as history: what ends by then is nobody's news."""
    if to == NEVER:
        return
    await BACKFILL.call(redis, [keys.backfilled(source)], [repr(float(to)), keys.INCIDENT_TTL_S])


async def get(redis: Redis, source: str, incident_id: str) -> StoredIncident | None:
    """One incident; None where it is unknown or gone."""
    raised = await command(redis, "ZSCORE", keys.incident_index(source), incident_id)
    if raised is None:
        return None
    found = await _fetch(redis, source, [(incident_id, float(raised))])
    return found[0] if found else None


async def several(redis: Redis, source: str, incident_ids: Sequence[str]) -> dict[str, StoredIncident]:
    """Incidents by id; those that are unknown or gone are left out."""
    if not incident_ids:
        return {}
    index = keys.incident_index(source)
    raised = await pipelined(redis, [["ZSCORE", index, incident_id] for incident_id in incident_ids])
    pairs = [(name, float(at)) for name, at in zip(incident_ids, raised, strict=True) if at is not None]
    return {found.id: found for found in await _fetch(redis, source, pairs)}


async def find(redis: Redis, sources: Sequence[str], incident_id: str) -> StoredIncident | None:
    """One incident of whichever source has it."""
    for source in sources:
        found = await get(redis, source, incident_id)
        if found is not None:
            return found
    return None


async def set_state(redis: Redis, source: str, incident_id: str, state: str) -> bool:
    """Change an incident's state; False where it is unknown or gone."""
    names = [keys.incidents(source), keys.incident_state(source)]
    return bool(await SET_STATE.call(redis, names, [incident_id, state]))


async def clauses(redis: Redis, source: str, incident_id: str) -> list[bytes]:
    """The clauses that an incident gathered, lines of JSON."""
    kept = await command(redis, "HGET", keys.incident_clauses(source), incident_id)
    return kept.split(b"\n") if kept else []


async def clauses_of_each(redis: Redis, source: str, incident_ids: Sequence[str]) -> list[list[bytes]]:
    """The clauses of several incidents, in order; none of one that is unknown or gone."""
    if not incident_ids:
        return []
    kept = await command(redis, "HMGET", keys.incident_clauses(source), *incident_ids)
    return [lines.split(b"\n") if lines else [] for lines in kept]


async def page(
    redis: Redis,
    sources: Sequence[str],
    state: str | None = None,
    since: float | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> IncidentPage:
    """Incidents of some sources, newest first: those in ``state``, raised at ``since`` (wall clock, seconds) or later.

    ``cursor`` is the ``next`` of the page before. Raises StateError where the cursor is none of ours.
    """
    before = _read_cursor(cursor) if cursor else None
    found: list[StoredIncident] = []
    for source in sources:
        own = 0
        async for incident in _newest_first(redis, source, since, before):
            if state is None or incident.state == state:
                found.append(incident)
                own += 1
                if own > limit:
                    break
    found.sort(key=lambda incident: (incident.raised, incident.id), reverse=True)
    shown = found[:limit]
    more = len(found) > limit and shown
    return IncidentPage(shown, f"{shown[-1].raised!r}:{shown[-1].id}" if more else None)


async def count(redis: Redis, source: str) -> int:
    """How many incidents are kept."""
    return int(await command(redis, "ZCARD", keys.incident_index(source)))


def _names(source: str) -> list[str]:
    return [keys.incidents(source), keys.incident_tally(source), keys.incident_state(source)]


def _read_cursor(cursor: str) -> tuple[float, str]:
    raised, _, incident_id = cursor.partition(":")
    try:
        return float(raised), incident_id
    except ValueError as error:
        raise StateError(f"cursor {cursor!r} is none that a page gave as `next`") from error


async def _newest_first(
    redis: Redis, source: str, since: float | None, before: tuple[float, str] | None
) -> AsyncIterator[StoredIncident]:
    newest = "+inf" if before is None else repr(before[0])
    oldest = "-inf" if since is None else repr(float(since))
    offset = 0
    while True:
        flat = await command(
            redis, "ZREVRANGEBYSCORE", keys.incident_index(source), newest, oldest, "WITHSCORES", "LIMIT", offset, PAGE
        )
        pairs = _pairs(flat)
        wanted = [pair for pair in pairs if before is None or (pair[1], pair[0]) < before]
        for incident in await _fetch(redis, source, wanted):
            yield incident
        if len(pairs) < PAGE:
            return
        offset += PAGE


def _pairs(flat: Sequence[Any]) -> list[tuple[str, float]]:
    return [(flat[i].decode(), float(flat[i + 1])) for i in range(0, len(flat), 2)]


async def _fetch(redis: Redis, source: str, pairs: Sequence[tuple[str, float]]) -> list[StoredIncident]:
    if not pairs:
        return []
    ids = [incident_id for incident_id, _ in pairs]
    bodies, tallies, states = await pipelined(redis, [["HMGET", name, *ids] for name in _names(source)])
    found = []
    for (incident_id, raised), body, tally, state in zip(pairs, bodies, tallies, states, strict=True):
        if body is None or tally is None:  # dropped between the two round trips
            continue
        seen, first, last, score = _TALLY.unpack(tally)
        text = state.decode() if state else OPEN
        found.append(
            StoredIncident(incident_id, source, orjson.loads(unpack(body)), seen, first, last, score, text, raised)
        )
    return found
