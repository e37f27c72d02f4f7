"""The event clock only goes forward, and a retried batch is told what it was told first."""

import math
from dataclasses import replace

from redis.asyncio import Redis

from service.state import keys, rules, sources, trees, watermark
from service.state.rules import NOTHING, StoredRules
from service.state.watermark import Began, Beginning, Clock


async def test_first_batch_finds_nothing_before_it(redis: Redis) -> None:
    assert await watermark.begin(redis, "s", Beginning(5.5, 100.0)) == Began(-math.inf, None, None, 0, NOTHING)


async def test_clock_keeps_the_largest_time_to_the_last_bit(redis: Redis) -> None:
    time = 1_700_000_000.123456
    await watermark.begin(redis, "s", Beginning(time, 10.0))
    assert (await watermark.begin(redis, "s", Beginning(3.0, 11.0))).prior_max == time
    assert (await watermark.begin(redis, "s", Beginning(-math.inf, 9.0))).prior_max == time
    assert (await watermark.begin(redis, "t", Beginning(1.0, 1.0))).prior_max == -math.inf


async def test_only_a_stored_batch_moves_what_closes_silent_sessions(redis: Redis) -> None:
    time = 1_700_000_000.123456
    await watermark.begin(redis, "s", Beginning(time, 10.0))
    assert await watermark.read(redis, "s") == Clock(-math.inf, 10.0, 1)
    await watermark.advance(redis, "s", time)
    assert await watermark.read(redis, "s") == Clock(time, 10.0, 1)
    await watermark.advance(redis, "s", time - 1.0)
    await watermark.advance(redis, "s", -math.inf)
    assert await watermark.read(redis, "s") == Clock(time, 10.0, 1)


async def test_batch_of_end_records_alone_leaves_no_time(redis: Redis) -> None:
    await watermark.begin(redis, "s", Beginning(-math.inf, 9.0))
    assert await watermark.read(redis, "s") == Clock(-math.inf, 9.0, 1)


async def test_retried_batch_gets_the_versions_and_time_of_its_first_run(redis: Redis) -> None:
    await sources.activate(redis, "s", "v1")
    await trees.seed(redis, "s", {"tree_id": "t", "version": 4})
    await rules.put(redis, "s", "r", {"scope": "template"})
    first = await watermark.begin(redis, "s", Beginning(50.0, 1.0, "batch"))
    assert first == Began(-math.inf, "v1", "t", 4, StoredRules(1, {"r": {"scope": "template"}}))
    await sources.activate(redis, "s", "v2")
    await rules.remove(redis, "s", ["r"], 2.0)
    await watermark.begin(redis, "s", Beginning(60.0, 2.0))
    assert await watermark.begin(redis, "s", Beginning(50.0, 3.0, "batch")) == replace(first, repeated=True)
    assert await watermark.begin(redis, "s", Beginning(0.0, 3.0)) == Began(60.0, "v2", "t", 4, StoredRules(2, {}))
    assert await watermark.begin(redis, "s", Beginning(50.0, 3.0, "batch"), StoredRules(2, {})) == replace(
        first, repeated=True
    )
    assert 0 < await redis.ttl(keys.begun("s", "batch")) <= keys.BATCH_TTL_S


async def test_rules_come_with_the_first_round_trip_where_they_changed(redis: Redis) -> None:
    await rules.put(redis, "s", "r", {"n": 1})
    known = (await watermark.begin(redis, "s", Beginning(1.0, 1.0))).rules
    assert known == StoredRules(1, {"r": {"n": 1}})
    assert (await watermark.begin(redis, "s", Beginning(1.0, 1.0), known)).rules is known
    assert (await watermark.begin(redis, "s", Beginning(1.0, 1.0, "batch"), known)).rules is known
    await rules.put(redis, "s", "q", {"n": 2})
    assert (await watermark.begin(redis, "s", Beginning(1.0, 1.0, "batch"), known)).rules is known
    assert set((await watermark.begin(redis, "s", Beginning(1.0, 1.0), known)).rules.rules) == {"r", "q"}


def test_wall_clock_moves_the_watermark_when_input_stops() -> None:
    clock = Clock(largest=1000.0, last_input=50.0)
    assert clock.watermark(50.0, 60.0) == 940.0
    assert clock.watermark(110.0, 60.0) == 940.0
    assert clock.watermark(140.0, 60.0) == 970.0
    assert clock.watermark(40.0, 60.0) == 940.0
    assert Clock(-math.inf, -math.inf).watermark(80.0, 60.0) == -math.inf


async def test_reset_forgets_the_time(redis: Redis) -> None:
    await watermark.begin(redis, "s", Beginning(60.0, 2.0))
    await watermark.reset(redis, "s")
    assert (await watermark.begin(redis, "s", Beginning(1.0, 3.0))).prior_max == -math.inf


async def test_retried_batch_arrived_when_its_first_try_did(redis: Redis) -> None:
    assert await watermark.first_arrival(redis, "s", "batch", 100.25) == 100.25
    assert await watermark.first_arrival(redis, "s", "batch", 250.0) == 100.25
    assert await watermark.first_arrival(redis, "s", "another", 250.0) == 250.0
    assert await watermark.first_arrival(redis, "t", "batch", 300.0) == 300.0


async def test_batches_that_come_together_begin_one_after_the_other(redis: Redis) -> None:
    batches = [Beginning(50.0, 1.0, "a"), Beginning(70.0, 2.0, "b"), Beginning(60.0, 3.0, "c")]
    first = await watermark.begin_each(redis, "s", batches)
    assert [began.prior_max for began in first] == [-math.inf, 50.0, 70.0]
    assert not any(began.repeated for began in first)
    again = await watermark.begin_each(redis, "s", [batches[1], Beginning(80.0, 4.0, "d")])
    assert [(began.prior_max, began.repeated) for began in again] == [(50.0, True), (70.0, False)]


async def test_whoever_comes_once_a_batch_is_over_still_finds_when_it_arrived(redis: Redis) -> None:
    """The mark that it is over lies in the drawer of that time: another one would let it be appended twice."""
    await watermark.first_arrival(redis, "s", "b", 899.0)
    await watermark.begin(redis, "s", Beginning(50.0, 899.0, "b"))
    await watermark.forget(redis, "s", "b")
    assert not await redis.exists(keys.begun("s", "b"))
    assert await watermark.first_arrival(redis, "s", "b", 901.0) == 899.0
