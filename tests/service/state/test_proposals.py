"""One proposal for each source, for the version that is live and no other."""

from redis.asyncio import Redis

from service.state import keys, proposals, sources
from service.state.proposals import Proposal


def proposal(version: str, at: float = 1.0) -> Proposal:
    return {"version": version, "at": at, "because": ["PSI of templates 0.40 over 5000 lines"], "figures": {"lines": 5}}


async def test_the_first_one_stays(redis: Redis) -> None:
    await sources.activate(redis, "s", "1")
    assert await proposals.read(redis, "s") is None
    assert await proposals.make(redis, "s", proposal("1"))
    assert not await proposals.make(redis, "s", proposal("1", at=2.0))
    assert await proposals.read(redis, "s") == proposal("1")
    assert await proposals.read(redis, "other") is None
    assert 0 < await redis.ttl(keys.proposal("s")) <= keys.PROPOSAL_TTL_S


async def test_a_replica_that_lags_behind_proposes_nothing(redis: Redis) -> None:
    await sources.activate(redis, "s", "2")
    assert not await proposals.make(redis, "s", proposal("1"))
    assert await proposals.read(redis, "s") is None


async def test_it_is_gone_for_good_once_another_version_is_live(redis: Redis) -> None:
    await sources.activate(redis, "s", "1")
    await proposals.make(redis, "s", proposal("1"))
    await sources.activate(redis, "s", "2")
    assert await proposals.read(redis, "s") is None
    await sources.activate(redis, "s", "1")
    assert await proposals.read(redis, "s") is None


async def test_one_of_an_earlier_version_that_nobody_asked_for_makes_room(redis: Redis) -> None:
    await sources.activate(redis, "s", "1")
    await proposals.make(redis, "s", proposal("1"))
    await sources.activate(redis, "s", "2")
    assert await proposals.make(redis, "s", proposal("2"))
    assert await proposals.read(redis, "s") == proposal("2")
