"""An idempotency key is claimed once, answered again, and freed by a crash."""

import asyncio

import pytest
from redis.asyncio import Redis

from models.errors import StateError
from service.state import answers, keys
from service.state.answers import Done, Fresh, InFlight, Mismatch
from tests.service.serving import until


async def test_key_is_fresh_then_in_flight_then_done(redis: Redis) -> None:
    assert await answers.begin(redis, "s", "k", "h1") == Fresh()
    second = await answers.begin(redis, "s", "k", "h1")
    assert isinstance(second, InFlight)
    assert 0 < second.retry_after_s <= keys.IN_FLIGHT_TTL_S
    assert await answers.finish(redis, "s", "k", "h1", b"\x00answer")
    assert await answers.begin(redis, "s", "k", "h1") == Done(b"\x00answer")
    assert keys.IN_FLIGHT_TTL_S < await redis.ttl(keys.answer("s", "k")) <= keys.BATCH_TTL_S


async def test_same_key_with_another_body_is_a_mismatch_before_and_after_the_answer(redis: Redis) -> None:
    await answers.begin(redis, "s", "k", "h1")
    assert await answers.begin(redis, "s", "k", "h2") == Mismatch()
    await answers.finish(redis, "s", "k", "h1", b"a")
    assert await answers.begin(redis, "s", "k", "h2") == Mismatch()
    assert await answers.begin(redis, "t", "k", "h2") == Fresh()


async def test_claim_of_a_crashed_request_lapses(redis: Redis) -> None:
    await answers.begin(redis, "s", "k", "h1")
    assert 0 < await redis.pttl(keys.answer("s", "k")) <= keys.IN_FLIGHT_TTL_S * 1000
    await redis.pexpire(keys.answer("s", "k"), 0)
    assert await answers.begin(redis, "s", "k", "h1") == Fresh()


async def test_claim_lasts_as_long_as_its_owner_works(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "RENEW_EVERY_S", 0.01)
    await answers.begin(redis, "s", "k", "h1")
    async with answers.kept(redis, "s", "k", "h1"):
        await redis.pexpire(keys.answer("s", "k"), 60_000)

        async def renewed() -> bool:
            return 0 < await redis.pttl(keys.answer("s", "k")) <= keys.IN_FLIGHT_TTL_S * 1000

        await until(renewed, "the claim was renewed")
        await answers.finish(redis, "s", "k", "h1", b"a")
    assert await redis.ttl(keys.answer("s", "k")) > keys.IN_FLIGHT_TTL_S
    assert await answers.begin(redis, "s", "k", "h1") == Done(b"a")


async def test_late_answer_is_kept_unless_another_body_has_the_key_by_now(redis: Redis) -> None:
    await answers.begin(redis, "s", "k", "h1")
    await redis.delete(keys.answer("s", "k"))
    assert await answers.finish(redis, "s", "k", "h1", b"late")
    assert await answers.begin(redis, "s", "k", "h1") == Done(b"late")
    await redis.delete(keys.answer("s", "k"))
    await answers.begin(redis, "s", "k", "h2")
    assert not await answers.finish(redis, "s", "k", "h1", b"too late")


async def test_abandoned_claim_is_free_at_once_but_an_answer_stays(redis: Redis) -> None:
    await answers.begin(redis, "s", "k", "h1")
    assert not await answers.abandon(redis, "s", "k", "h2")
    assert await answers.abandon(redis, "s", "k", "h1")
    assert await answers.begin(redis, "s", "k", "h2") == Fresh()
    await answers.finish(redis, "s", "k", "h2", b"a")
    assert not await answers.abandon(redis, "s", "k", "h2")


async def test_of_many_at_once_one_gets_the_key(redis: Redis) -> None:
    found = await asyncio.gather(*(answers.begin(redis, "s", "k", "h") for _ in range(20)))
    assert sum(isinstance(one, Fresh) for one in found) == 1


async def test_long_answer_is_kept_small_and_one_from_before_is_still_read(redis: Redis) -> None:
    answer = b"200 " + b"".join(b'{"index":%d,"anomalous":false,"score":0.25},' % i for i in range(1000))
    await answers.begin(redis, "s", "k", "h1")
    await answers.finish(redis, "s", "k", "h1", answer)
    kept = await redis.hget(keys.answer("s", "k"), "answer")
    assert kept is not None
    assert 10 * len(kept) < len(answer)
    assert await answers.begin(redis, "s", "k", "h1") == Done(answer)
    await redis.hset(keys.answer("s", "old"), mapping={"body": "h1", "answer": answer})
    assert await answers.begin(redis, "s", "old", "h1") == Done(answer)


async def test_very_long_answer_comes_back_whole(redis: Redis) -> None:
    answer = b"200 " + b"verdict " * 300_000
    await answers.begin(redis, "s", "k", "h1")
    await answers.finish(redis, "s", "k", "h1", answer)
    assert await answers.begin(redis, "s", "k", "h1") == Done(answer)


async def test_answer_that_is_damaged_in_redis_says_so(redis: Redis) -> None:
    await redis.hset(keys.answer("s", "k"), mapping={"body": "h1", "answer": b"\x28\xb5\x2f\xfd and no more"})
    with pytest.raises(StateError, match="cannot be read"):
        await answers.begin(redis, "s", "k", "h1")
