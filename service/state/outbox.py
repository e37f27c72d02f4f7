"""What each notifier has to tell of a source: its place in the outbox, what waits, what was held back, what is dead.

Owns that nothing is lost or told of twice between them: each step is one script, and who admits incidents says from
which place, so that a second process which does so as well changes nothing. Does not know who is told, nor how.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command, pipelined
from service.state.lessons import LEAVE
from service.state.script import Arg, Script
from service.state.sweeps import TAKE

BEGINNING = "0-0"
READ = 1_000
"""Incidents that are looked at in one step."""

# KEYS state, waiting, held. ARGV place before, place now, window (or empty), how many deliveries, then (delivery,
# notice) flat, how many held back, then (score, incident id, severity) flat, and how many of the strangest are named.
# Reply: 1, or 0 where somebody else did it.
ADMIT = Script(
    "admit_notices",
    """
local state = KEYS[1]
if (redis.call('HGET', state, 'place') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', state, 'place', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', state, 'window', ARGV[3]) end
local at, admitted = 5, tonumber(ARGV[4])
for _ = 1, admitted do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  at = at + 2
end
if admitted > 0 then redis.call('HINCRBY', state, 'admitted', admitted) end
local held = tonumber(ARGV[at])
at = at + 1
for _ = 1, held do
  redis.call('ZADD', KEYS[3], ARGV[at], ARGV[at + 1])
  redis.call('HINCRBY', state, 'held:' .. ARGV[at + 2], 1)
  at = at + 3
end
if held > 0 then redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[at])) end
return 1
""",
)

# KEYS state, waiting, held. ARGV place, window, delivery and notice of what was held back (both empty: nothing was),
# then severities. Reply: 1, or 0 where somebody else did it, or another incident came between.
END_WINDOW = Script(
    "end_notify_window",
    """
if redis.call('HGET', KEYS[1], 'window') ~= ARGV[2] then return 0 end
if (redis.call('HGET', KEYS[1], 'place') or '') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'window', 'admitted')
for i = 5, #ARGV do redis.call('HDEL', KEYS[1], 'held:' .. ARGV[i]) end
redis.call('DEL', KEYS[3])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], ARGV[3], ARGV[4]) end
return 1
""",
)

# KEYS waiting, dead. ARGV delivery, what goes to the dead (empty: nothing), how many are kept. Reply: 1, or 0 where it
# was settled already.
SETTLE = Script(
    "settle_notice",
    """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '' then
  redis.call('LPUSH', KEYS[2], ARGV[2])
  redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[3]) - 1)
end
return 1
""",
)

# KEYS waiting. ARGV delivery, notice. Reply: 1, or 0 where it was settled already.
TRIED = Script(
    "tried_notice",
    """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
""",
)

# KEYS dead, waiting. ARGV (as it lies there, delivery, notice) flat; an empty notice drops it. Reply: how many were
# there.
RAISE = Script(
    "raise_notices",
    """
local found = 0
for i = 1, #ARGV, 3 do
  if redis.call('LREM', KEYS[1], 1, ARGV[i]) > 0 then
    found = found + 1
    if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2]) end
  end
end
return found
""",
)


Why = Literal["refused", "gave_up"]
"""The peer will not have it; or it was tried for too long."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that is to be sent. ``incident`` is the id of one, ``held`` what was held back, as it is told; one of
    them is None. ``window`` and ``since``, the first attempt, in seconds; 0.0 before it. ``reason``: why not yet."""

    delivery: str
    incident: str | None
    window: float
    score: float = 0.0
    held: Mapping[str, Any] | None = None
    since: float = 0.0
    tries: int = 0
    reason: str = ""

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        return cls(**orjson.loads(line))

    def tried(self, reason: str, now: float) -> Self:
        """After an attempt that failed."""
        return replace(self, tries=self.tries + 1, reason=reason, since=self.since or now)


@dataclass(frozen=True, slots=True)
class Dead:
    """A notice that nobody tries any more, since ``at`` (seconds). ``kept`` is how it lies in Redis."""

    waiting: Waiting
    at: float
    why: Why
    kept: bytes

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        found = orjson.loads(line)
        return cls(Waiting(**found["waiting"]), found["at"], found["why"], line)


@dataclass(frozen=True, slots=True)
class Desk:
    """How one notifier stands with one source. ``window`` is None between two of them; ``new`` says whether something
    came into the outbox behind ``place``."""

    place: str | None
    window: float | None
    admitted: int
    held: Mapping[str, int]
    waiting: tuple[Waiting, ...]
    new: bool


async def take_lease(redis: Redis, notifier: str, token: str, attempt_s: float) -> bool:
    """Take or renew the lease on sending for a notifier, for an attempt of ``attempt_s`` and some more; False where
    another process has it."""
    ttl_s = math.ceil(attempt_s) + keys.NOTIFY_LEASE_TTL_S
    return bool(await TAKE.call(redis, [keys.notify_lease(notifier)], [token, ttl_s]))


async def leave_lease(redis: Redis, notifier: str, token: str) -> None:
    """Give the lease back, so that another process need not wait."""
    await LEAVE.call(redis, [keys.notify_lease(notifier)], [token])


async def begin(redis: Redis, source: str, notifier: str, *, at_end: bool) -> None:
    """Give a notifier its place in a source's outbox, where it has none: the end, or the beginning."""
    place = BEGINNING
    if at_end:
        newest = await command(redis, "XREVRANGE", keys.outbox(source), "+", "-", "COUNT", 1)
        place = newest[0][0].decode() if newest else BEGINNING
    await command(redis, "HSETNX", keys.notify_state(source, notifier), "place", place)


async def desks(redis: Redis, sources: Sequence[str], notifier: str) -> list[Desk]:
    """How a notifier stands with each source, in one round trip."""
    commands: list[list[str | int]] = []
    for source in sources:
        commands += [
            ["HGETALL", keys.notify_state(source, notifier)],
            ["HVALS", keys.notify_waiting(source, notifier)],
            ["XREVRANGE", keys.outbox(source), "+", "-", "COUNT", 1],
        ]
    replies = await pipelined(redis, commands)
    return [_desk(*replies[i : i + 3]) for i in range(0, len(replies), 3)]


async def after(redis: Redis, source: str, place: str, limit: int = READ) -> list[tuple[str, str]]:
    """(place, incident id) of what follows ``place`` in a source's outbox, oldest first."""
    found = await command(redis, "XRANGE", keys.outbox(source), f"({place}", "+", "COUNT", limit)
    return [(entry.decode(), fields[b"id"].decode()) for entry, fields in found]


async def admit(
    redis: Redis,
    source: str,
    notifier: str,
    *,
    places: tuple[str, str],
    window: float | None,
    admitted: Sequence[Waiting],
    held: Sequence[tuple[float, str, str]],
) -> bool:
    """Go on from the first of ``places`` to the second: ``admitted`` wait to be sent, ``held``, (score, incident id,
    severity), are counted. False, and nothing happens, where the first is not where the notifier is."""
    args: list[Arg] = [*places, "" if window is None else repr(window), len(admitted)]
    for waiting in admitted:
        args += [waiting.delivery, waiting.to_json()]
    args.append(len(held))
    for score, incident, severity in held:
        args += [repr(score), incident, severity]
    args.append(keys.HELD_SHOWN)
    return bool(await ADMIT.call(redis, _names(source, notifier), args))


async def strangest_held(redis: Redis, source: str, notifier: str) -> list[dict[str, Any]]:
    """``id`` and ``score`` of the strangest that were held back, the strangest first."""
    flat = await command(redis, "ZREVRANGE", keys.notify_held(source, notifier), 0, -1, "WITHSCORES")
    return [{"id": flat[i].decode(), "score": float(flat[i + 1])} for i in range(0, len(flat), 2)]


async def end_window(redis: Redis, source: str, notifier: str, desk: Desk, telling: Waiting | None) -> bool:
    """End a budget's window; ``telling`` tells what it held back. False, and nothing happens, where that is not how
    things are any more."""
    assert desk.window is not None
    told: list[Arg] = ["", ""] if telling is None else [telling.delivery, telling.to_json()]
    args: list[Arg] = [desk.place or "", repr(desk.window), *told, *desk.held]
    return bool(await END_WINDOW.call(redis, _names(source, notifier), args))


async def settle(redis: Redis, source: str, notifier: str, delivery: str) -> bool:
    """A notice is sent, or need not be; False where it was settled already."""
    return bool(await SETTLE.call(redis, _ends(source, notifier), [delivery, "", 0]))


async def bury(redis: Redis, source: str, notifier: str, waiting: Waiting, now: float, why: Why) -> bool:
    """A notice goes to the dead; False where it was settled already."""
    dead = orjson.dumps({"waiting": asdict(waiting), "at": now, "why": why})
    return bool(await SETTLE.call(redis, _ends(source, notifier), [waiting.delivery, dead, keys.DEAD_KEPT]))


async def tried(redis: Redis, source: str, notifier: str, waiting: Waiting) -> bool:
    """Note an attempt that failed; False where the notice was settled meanwhile."""
    args: list[Arg] = [waiting.delivery, waiting.to_json()]
    return bool(await TRIED.call(redis, [keys.notify_waiting(source, notifier)], args))


async def dead(redis: Redis, source: str, notifier: str, limit: int) -> list[Dead]:
    """Notices that could not be delivered, newest first."""
    found = await command(redis, "LRANGE", keys.notify_dead(source, notifier), 0, limit - 1)
    return [Dead.from_json(line) for line in found]


async def raise_dead(redis: Redis, source: str, notifier: str, found: Sequence[Dead], *, again: bool) -> int:
    """Let dead notices wait again, under the same delivery (or drop them); how many still were there."""
    args: list[Arg] = []
    for one in found:
        fresh = replace(one.waiting, since=0.0, tries=0, reason="").to_json() if again else b""
        args += [one.kept, one.waiting.delivery, fresh]
    names = [keys.notify_dead(source, notifier), keys.notify_waiting(source, notifier)]
    return int(await RAISE.call(redis, names, args)) if args else 0


async def counts(redis: Redis, source: str, notifier: str) -> tuple[int, int]:
    """How many notices wait, and how many are dead."""
    waiting, buried = await pipelined(
        redis,
        [["HLEN", keys.notify_waiting(source, notifier)], ["LLEN", keys.notify_dead(source, notifier)]],
    )
    return int(waiting), int(buried)


def _names(source: str, notifier: str) -> list[str]:
    return [
        keys.notify_state(source, notifier), keys.notify_waiting(source, notifier), keys.notify_held(source, notifier)
    ]  # fmt: skip


def _ends(source: str, notifier: str) -> list[str]:
    return [keys.notify_waiting(source, notifier), keys.notify_dead(source, notifier)]


def _desk(flat: Sequence[bytes], waiting: Sequence[bytes], newest: Sequence[Any]) -> Desk:
    state = {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}
    place = state.get("place")
    held = {name.removeprefix("held:"): int(count) for name, count in state.items() if name.startswith("held:")}
    return Desk(
        place,
        float(state["window"]) if "window" in state else None,
        int(state.get("admitted", 0)),
        held,
        tuple(Waiting.from_json(line) for line in waiting),
        bool(newest) and place is not None and _order(newest[0][0].decode()) > _order(place),
    )


def _order(place: str) -> tuple[int, int]:
    ms, _, sequence = place.partition("-")
    return int(ms), int(sequence)
