"""Live sessions in Redis: append a batch, get back what each session was before it and which sessions are over.

Owns the division of rows by partition, and what comes back. Does not know what a key means, nor how windows are judged:
``models.windows.build_windows`` makes them of what this returns.

One hash, one sorted set by last time and one sparse hash of peaks per (partition, source), not a key per session: a
live session of 25 characters with a tail of 10 costs less than 300 bytes, its place in the sorted set included. Sources
that keep notes of their events (``models.notes``) have one hash more.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from redis.asyncio import Redis

from models.errors import StateError
from models.groups import Groups
from models.notes import SessionNotes
from models.sessions import NO_KEY, Closing, Int64, Rows, SessionSettings, SessionState
from models.windows import Priors
from service.state import keys
from service.state.append import APPEND, NOTHING, Columns, header
from service.state.connection import command, pipelined
from service.state.leases import Fence, check
from service.state.packing import MAX_KEY, MAX_TAIL, unpack_notes, unpack_peaks, unpack_priors, unpack_state
from service.state.script import Arg, Script

SWEEP_LIMIT = 32
"""Sessions that one call closes for idleness at most, of each partition: Redis serves nobody else while a script runs,
and a batch that closed thousands kept the next ones waiting for a second. Those that are left go with the next batch,
or with the sweep of the same second."""
_EVERYWHERE = range(keys.PARTITIONS)
_OVER = b"over"
"""The reply where the batch's answer is stored."""

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


# KEYS kept reply, drawer. ARGV batch id, TTL of the drawer in seconds.
FORGET = Script(
    "forget_batch",
    """
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
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

    ``groups``: the rows by session; ``priors``: what those sessions were before the batch, and ``notes`` kept of them
    (what ``models.windows.build_windows`` needs); ``closings``: those of rows in row order (``row`` says which), then
    those of the sweep (``row`` None), the longest silent first.
    """

    groups: Groups
    priors: Priors
    closings: list[Closing]
    notes: dict[str, SessionNotes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that are appended as one: ``sweep_to``, ``batch_id`` and ``drawer`` as for ``StoredSessions.append``. Where
    they come out of the durable queue, ``fence`` is the right to its partition."""

    rows: Rows
    sweep_to: float = -np.inf
    batch_id: str | None = None
    drawer: int = 0
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """One partition's call of ``APPEND``. ``sessions``: their numbers; ``start``: where its rows begin in ``order``."""

    partition: int
    keys: list[str]
    args: list[Arg]
    sessions: list[int]
    start: int


@dataclass(frozen=True, slots=True)
class _Calls:
    """One part's calls; ``order`` int64 [m], row numbers by partition and session."""

    groups: Groups
    order: Int64
    calls: list[_Call]


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
        drawer: int = 0,
    ) -> Appended:
        """Append rows and close what is over; one call per partition that the rows touch, all in one round trip.

        ``sweep_to`` is a watermark in seconds: in the partitions touched, up to ``sweep_limit`` sessions each that it
        has passed by ``idle_s`` are closed too. With a ``batch_id`` the same call within 15 minutes returns the same
        and changes nothing; raises BatchOver where it was forgotten meanwhile, which the batch's ``drawer`` tells, the
        same of each of its tries. Raises StateError where Redis is away, ValueError for keys outside 0..32766 or a tail
        over ``MAX_TAIL``.
        """
        [found] = await self.append_each(source, settings, [Part(rows, sweep_to, batch_id, drawer)], sweep_limit)
        return found

    async def append_each(
        self, source: str, settings: SessionSettings, parts: Sequence[Part], sweep_limit: int = SWEEP_LIMIT
    ) -> list[Appended]:
        """Append parts one after the other, in one round trip. Raises Fenced, and that part has no effect, where the
        right to a partition went to somebody else."""
        prepared = [self._calls(source, settings, part, sweep_limit) for part in parts]
        replies = iter(
            await APPEND.call_each(self._redis, [(call.keys, call.args) for found in prepared for call in found.calls])
        )
        return [self._appended(found, [next(replies) for _ in found.calls]) for found in prepared]

    @staticmethod
    def _calls(source: str, settings: SessionSettings, part: Part, sweep_limit: int) -> _Calls:
        rows, fence = part.rows, part.fence
        _check(settings, rows)
        groups = Groups.by(rows.session)
        names = [name.encode() for name in groups.names]
        partition = keys.partitions_of(names)
        # Sessions by partition, and rows by session in that order.
        by_partition = np.argsort(partition, kind="stable")
        rank = np.empty_like(by_partition)
        rank[by_partition] = np.arange(len(names))
        order = np.argsort(rank[groups.of], kind="stable")
        sizes = np.diff(groups.start)[by_partition]
        bounds = np.searchsorted(partition[by_partition], np.arange(keys.PARTITIONS + 1)).tolist()
        row_bounds = np.concatenate([[0], np.cumsum(sizes)])[bounds].tolist()
        columns = Columns.of(rows, order, sizes, [names[n] for n in by_partition.tolist()], settings.notes)
        first = header(settings, part.sweep_to, sweep_limit, part.batch_id, fence)
        found = []
        for p in sorted(set(partition.tolist())):
            own = slice(bounds[p], bounds[p + 1])
            packed = columns.args(own, slice(row_bounds[p], row_bounds[p + 1]))
            names_of = _keys_of(p, source, part.batch_id, part.drawer)
            if fence is not None and fence.partition == p:
                names_of.append(keys.queue_state(p, source))
            found.append(_Call(p, names_of, [first, *packed], by_partition[own].tolist(), row_bounds[p]))
        return _Calls(groups, order, found)

    @staticmethod
    def _appended(found: _Calls, replies: Sequence[Any]) -> Appended:
        names = found.groups.names
        priors: list[bytes] = [b""] * len(names)
        kept: dict[str, SessionNotes] = {}
        closings: list[Closing] = []
        for call, reply in zip(found.calls, replies, strict=True):
            check(reply, call.partition)
            if reply == _OVER:
                raise BatchOver()
            packed_priors, packed_closings, noted = reply
            for number, packed in zip(call.sessions, packed_priors, strict=True):
                priors[number] = packed
            for number, packed in zip(call.sessions, noted, strict=False):
                if packed:
                    kept[names[number]] = unpack_notes(packed)
            closings.extend(_closings(packed_closings, found.order, call.start))
        return Appended(found.groups, unpack_priors(priors), _sorted(closings), kept)

    async def sweep(
        self,
        source: str,
        settings: SessionSettings,
        watermark: float,
        batch_id: str | None = None,
        sweep_limit: int = SWEEP_LIMIT,
        drawer: int = 0,
    ) -> list[Closing]:
        """Close sessions whose silence the watermark has passed, the longest silent first, ``sweep_limit`` per
        partition.

        Call again while it returns any. With a ``batch_id`` a repeated call returns the same, or raises BatchOver.
        """
        args: list[Arg] = [header(settings, watermark, sweep_limit, batch_id), *NOTHING]
        calls = [(_keys_of(p, source, batch_id, drawer), args) for p in _EVERYWHERE]
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

    async def forget(self, source: str, batch_id: str, drawer: int = 0) -> None:
        """Drop the kept replies of a batch whose final answer is stored: the larger part of a batch's memory.

        Its id stays in the ``drawer``. Whoever began the batch and stood still since, or whose command was held up on
        its way to Redis, finds it there and appends nothing a second time.
        """
        args: list[Arg] = [batch_id, keys.BATCH_TTL_S]
        calls = [([keys.appended(p, source, batch_id), keys.over(p, source, drawer)], args) for p in _EVERYWHERE]
        await FORGET.call_each(self._redis, calls)


def _check(settings: SessionSettings, rows: Rows) -> None:
    if not 0 <= settings.tail <= MAX_TAIL:
        raise ValueError(f"a tail of {settings.tail} keys; Redis keeps 0..{MAX_TAIL}")
    if len(rows.key) and not (rows.key.min() >= NO_KEY and rows.key.max() <= MAX_KEY):
        raise ValueError(f"template ids must lie in 0..{MAX_KEY}, got {rows.key.min()}..{rows.key.max()}")


def _keys_of(partition: int, source: str, batch_id: str | None, drawer: int = 0) -> list[str]:
    lasting = _lasting_keys(partition, source)
    if batch_id is None:
        return [*lasting]
    return [*lasting, keys.appended(partition, source, batch_id), keys.over(partition, source, drawer)]


@lru_cache(maxsize=4096)
def _lasting_keys(partition: int, source: str) -> tuple[str, ...]:
    """Those that every batch touches."""
    return tuple(kind(partition, source) for kind in (keys.live, keys.idle, keys.peaks, keys.notes))


def _closings(flat: Sequence[Any], order: Int64, start: int) -> Iterable[Closing]:
    for at in range(0, len(flat), 4):
        session, state, peaks, row = flat[at : at + 4]
        number = int(order[start + row]) if row >= 0 else None
        yield Closing(session.decode(), unpack_state(state), unpack_peaks(peaks), number)


def _sorted(closings: list[Closing]) -> list[Closing]:
    """Closings of rows by row, an idle epoch before the one that the same row ends; then those of the sweep by time."""
    by_row = sorted((c for c in closings if c.row is not None), key=lambda closing: closing.row or 0)
    swept = sorted((c for c in closings if c.row is None), key=lambda closing: (closing.state.last, closing.session))
    return by_row + swept
