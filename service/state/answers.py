"""Idempotency keys: which requests are under way, and what was answered.

Owns the life of a key: fresh, in flight, done. Does not know what an answer says, nor how a body is hashed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from models.errors import StateError
from service.state import keys
from service.state.compression import pack_large, unpack
from service.state.script import Arg, Script

# KEYS answer. ARGV body hash, TTL of the marker in ms.
BEGIN = Script(
    "begin_answer",
    """
local body, answer = unpack(redis.call('HMGET', KEYS[1], 'body', 'answer'))
if not body then
  redis.call('HSET', KEYS[1], 'body', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {'fresh'}
end
if body ~= ARGV[1] then return {'mismatch'} end
if answer then return {'done', answer} end
return {'in_flight', redis.call('PTTL', KEYS[1])}
""",
)

# KEYS answer. ARGV body hash, answer, TTL in s. A marker that expired and was taken by another body is left alone.
FINISH = Script(
    "finish_answer",
    """
local body = redis.call('HGET', KEYS[1], 'body')
if body and body ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'answer', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""",
)

# KEYS answer. ARGV body hash, TTL of the marker in ms. Reply: 0 where nothing is claimed for that body any more.
RENEW = Script(
    "renew_answer",
    """
local body, answer = unpack(redis.call('HMGET', KEYS[1], 'body', 'answer'))
if body ~= ARGV[1] or answer then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""",
)

# KEYS answer. ARGV body hash.
ABANDON = Script(
    "abandon_answer",
    """
local body, answer = unpack(redis.call('HMGET', KEYS[1], 'body', 'answer'))
if body ~= ARGV[1] or answer then return 0 end
return redis.call('DEL', KEYS[1])
""",
)


RENEW_EVERY_S = keys.IN_FLIGHT_TTL_S / 3


@dataclass(frozen=True, slots=True)
class Fresh:
    """The caller owns the key now: process the request, then ``finish`` or ``abandon``."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The first request with this key and body is under way; after ``retry_after_s`` it counts as crashed."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """The request was answered."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used with another body."""


async def begin(redis: Redis, source: str, idempotency_key: str, body_hash: str) -> Fresh | InFlight | Done | Mismatch:
    """Claim a key for a body, or learn why not. A claim lapses within seconds unless ``kept``: a crash heals."""
    reply = await BEGIN.call(redis, [keys.answer(source, idempotency_key)], [body_hash, keys.IN_FLIGHT_TTL_S * 1000])
    match bytes(reply[0]):
        case b"fresh":
            return Fresh()
        case b"done":
            return Done(unpack(reply[1]))
        case b"mismatch":
            return Mismatch()
        case _:
            return InFlight(max(0, int(reply[1])) / 1000)


@asynccontextmanager
async def kept(redis: Redis, source: str, idempotency_key: str, body_hash: str) -> AsyncIterator[None]:
    """Renew a claim while the body runs, however long that takes."""

    async def renew() -> None:
        claimed = True
        while claimed:
            await asyncio.sleep(RENEW_EVERY_S)
            with contextlib.suppress(StateError):  # lapsed or not: what is done twice has its effect once
                args: list[Arg] = [body_hash, keys.IN_FLIGHT_TTL_S * 1000]
                claimed = bool(await RENEW.call(redis, [keys.answer(source, idempotency_key)], args))

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        # Where the client loses this cancellation, the next renewal finds nothing to renew.
        renewing.cancel()


async def finish(redis: Redis, source: str, idempotency_key: str, body_hash: str, answer: bytes) -> bool:
    """Store the answer for 15 minutes, compressed; False where the key has meanwhile gone to another body."""
    args: list[Arg] = [body_hash, await pack_large(answer), keys.BATCH_TTL_S]
    return bool(await FINISH.call(redis, [keys.answer(source, idempotency_key)], args))


async def abandon(redis: Redis, source: str, idempotency_key: str, body_hash: str) -> bool:
    """Give a claimed key back, for a request that was refused before it changed anything; whether it was given back."""
    return bool(await ABANDON.call(redis, [keys.answer(source, idempotency_key)], [body_hash]))
