"""The proposal to train a source again: one for each source, made by whichever replica sees the need first.

Owns that it speaks of the live version: once another one is live it is gone, whichever replica asks. Does not know when
one is made.
"""

from typing import Any, TypedDict

import orjson
from redis.asyncio import Redis

from service.state import keys
from service.state.script import Arg, Script


class Proposal(TypedDict):
    """The ``version`` that is live, when it was proposed to train another (seconds), the reasons in words, and the
    figures behind them."""

    version: str
    at: float
    because: list[str]
    figures: dict[str, Any]


# KEYS proposal, live bundle. ARGV version, proposal, TTL in s.
MAKE = Script(
    "make_proposal",
    """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'proposal', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""",
)

# KEYS proposal, live bundle.
READ = Script(
    "read_proposal",
    """
local found = redis.call('HMGET', KEYS[1], 'version', 'proposal')
if not found[1] then return false end
if found[1] == redis.call('GET', KEYS[2]) then return found[2] end
redis.call('DEL', KEYS[1])
return false
""",
)


async def make(redis: Redis, source: str, proposal: Proposal) -> bool:
    """Store a proposal; False where the live version has one already or is another by now. Raises StateError."""
    names = [keys.proposal(source), keys.live_bundle(source)]
    args: list[Arg] = [proposal["version"], orjson.dumps(proposal), keys.PROPOSAL_TTL_S]
    return bool(await MAKE.call(redis, names, args))


async def read(redis: Redis, source: str) -> Proposal | None:
    """The proposal for the live version; None where there is none. Raises StateError."""
    found = await READ.call(redis, [keys.proposal(source), keys.live_bundle(source)], [])
    proposal: Proposal | None = orjson.loads(found) if found else None
    return proposal
