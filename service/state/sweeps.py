"""Who closes idle sessions of a source in the background, and which sweep is next.

Owns the lease and the number. A sweep's reply is kept under its number (``windows``), so a replica that dies between
closing sessions and reporting them is followed by one that gets the same reply again.
"""

from redis.asyncio import Redis

from service.state import keys
from service.state.connection import command
from service.state.script import Script

# KEYS lease. ARGV token, TTL in s.
TAKE = Script(
    "take_sweep_lease",
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
""",
)

# KEYS number. ARGV the number that was swept.
DONE = Script(
    "sweep_done",
    "if (redis.call('GET', KEYS[1]) or '0') == ARGV[1] then return redis.call('INCR', KEYS[1]) end return 0",
)


async def take_lease(redis: Redis, source: str, token: str) -> bool:
    """Take or renew the lease for ten seconds; False where another holder has it."""
    return bool(await TAKE.call(redis, [keys.sweep_lease(source)], [token, keys.SWEEP_LEASE_TTL_S]))


async def number(redis: Redis, source: str) -> int:
    """Number of the next sweep."""
    return int(await command(redis, "GET", keys.sweep_number(source)) or 0)


async def done(redis: Redis, source: str, number: int) -> None:
    """Sweep ``number`` was reported: the next one gets another. Nothing where somebody else said so before."""
    await DONE.call(redis, [keys.sweep_number(source)], [number])
