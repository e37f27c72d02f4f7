"""The timeframes in Redis follow the pure rule of ``models.autolog.frames``, and no retry or crash counts twice."""

import asyncio

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.crc import key_slot

from models.autolog import frames as rule
from models.autolog.entity import EntityRule
from models.autolog.frames import Counting, Frame, FrameCounter, Group, Tally, bucket_of
from models.autolog.layout import Layout
from models.record import Records
from service.state import frames as stored_frames
from service.state import keys
from service.state.connection import open_client
from service.state.frames import StoredFrames

CHUNK_S = 10.0
LATENESS_S = 5.0
LAYOUT = Layout(CHUNK_S, EntityRule("host"))

Line = tuple[float, str, str]
"""Time, host, message."""


def records_of(lines: list[Line]) -> Records:
    n = len(lines)
    masked = pl.Series([line[2] for line in lines], dtype=pl.String)
    return Records(
        index=np.arange(n),
        message=masked,
        masked=masked,
        time=np.array([line[0] for line in lines], dtype=np.float64),
        fields=pl.DataFrame({"host": [line[1] for line in lines]}, schema={"host": pl.String}),
        session_record=np.arange(n),
        session=pl.Series(["s"] * n, dtype=pl.String),
        rejected=[],
    )


def tally_of(lines: list[Line], prior_max: float = -np.inf) -> Tally:
    return Counting(LAYOUT).tally(records_of(lines), prior_max, LATENESS_S)


async def close_due(stored: StoredFrames, watermark: float, source: str = "s") -> list[Frame]:
    """Close every frame that is over, round by round."""
    closed: list[Frame] = []
    while await stored.due(source, CHUNK_S, watermark):
        found = await stored.next_round(source, CHUNK_S, watermark)
        assert found is not None
        frames = await stored.close(source, CHUNK_S, found)
        await stored.finish(source, CHUNK_S, found, frames)
        closed += frames
    assert await stored.next_round(source, CHUNK_S, watermark) is None
    return closed


HOSTS = ["a", "b", "ü {x}", "", "c\x00d", "(other)", *(f"h{i}" for i in range(6))]
times = st.one_of(
    st.integers(0, 80).map(float),
    st.floats(-30, 90, allow_nan=False),
    st.sampled_from([1_500.0, 25_000.0, -1e300, 1e300]),
)
messages = st.one_of(st.text("xy <N>.", max_size=8), st.text(max_size=6), st.sampled_from(["u v w x y z", "\x00", ""]))
batches = st.lists(
    st.lists(st.tuples(times, st.sampled_from(HOSTS), messages), min_size=1, max_size=20), min_size=1, max_size=6
)


@given(
    batches=batches,
    retried=st.booleans(),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 20.0, 15_000.0]), min_size=6, max_size=6),
    most=st.integers(1, 70),
    caps=st.sampled_from([(128, 10_000), (1, 2), (2, 1), (3, 4)]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lua_is_the_twin_of_the_pure_rule(
    redis_url: str,
    batches: list[list[Line]],
    retried: bool,
    pauses: list[float],
    most: int,
    caps: tuple[int, int],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule, "EMPTY", 20)
        patch.setattr(stored_frames, "ROUND", most)
        for module in (rule, stored_frames):
            patch.setattr(module, "ENTITIES", caps[0])
            patch.setattr(module, "TERMS", caps[1])
        asyncio.run(_check_equal(redis_url, batches, retried, pauses))


async def _check_equal(url: str, batches: list[list[Line]], retried: bool, pauses: list[float]) -> None:
    redis = open_client(url)
    try:
        await redis.flushall()
        stored, pure, largest = StoredFrames(redis), FrameCounter(CHUNK_S), -np.inf
        for number, batch in enumerate(batches):
            tally = tally_of(batch, largest)
            largest = max(largest, *(line[0] for line in batch))
            late = pure.count(tally)
            for _ in range(1 + retried):
                assert await stored.count("s", CHUNK_S, tally, f"b{number}" if retried else None) == late
            # A silent source's wall clock moves the watermark on.
            mark = largest - LATENESS_S + pauses[number]
            assert await close_due(stored, mark) == pure.close_due(mark)
        newest = [chunk for p in range(keys.PARTITIONS) for chunk in await _open(redis, p)]
        end = CHUNK_S * (max(newest, default=0) + 1)
        assert await close_due(stored, end) == pure.close_due(end)
    finally:
        await redis.aclose()


async def _open(redis: Redis, partition: int) -> list[int]:
    return [int(chunk) for chunk in await redis.zrange(keys.open_frames(partition, "s", CHUNK_S), 0, -1)]


def test_buckets_are_the_partitions() -> None:
    assert rule.BUCKETS == keys.PARTITIONS
    for name in ("", "a", "ü", "R00", "dfs.DataNode$PacketResponder"):
        assert bucket_of(name) == keys.partition_of(name.encode())


def test_keys_of_a_partition_share_a_slot() -> None:
    for p in range(keys.PARTITIONS):
        names = [
            keys.open_frames(p, "a", 1.0), keys.closed_frame(p, "a", 1.0), keys.frame_terms(p, "a", 1.0, -5),
            keys.frame_entities(p, "a", 1.0, -5), keys.counted(p, "a", 1.0, "batch{x}"),
        ]  # fmt: skip
        assert len({key_slot(name.encode()) for name in names}) == 1
        assert len(set(names)) == len(names)
    by_source = {
        key_slot(name.encode()) for name in (keys.frame_lease("a"), keys.frame_place("a", 1.0), keys.clock("a"))
    }
    assert len(by_source) == 1


async def test_retry_after_half_the_partitions_were_counted_completes_the_rest(redis: Redis) -> None:
    stored = StoredFrames(redis)
    hosts = [f"h{i}" for i in range(40)]
    whole = tally_of([(0.0, host, "x") for host in hosts])
    half = Tally([group for group in whole.groups if bucket_of(group.entity) < 8], 0)
    await stored.count("s", CHUNK_S, half, "k")
    await stored.count("s", CHUNK_S, whole, "k")
    (frame,) = await close_due(stored, 10.0)
    assert frame == Frame(0, 40, {host: {"x": 1} for host in sorted(hosts)})


async def test_replica_that_died_before_it_reported_is_followed_by_the_same_round(redis: Redis) -> None:
    stored = StoredFrames(redis)
    await stored.count("s", CHUNK_S, tally_of([(0.0, "a", "x"), (25.0, "b", "y")]))
    begun = await stored.next_round("s", CHUNK_S, 20.0)
    assert begun is not None
    first = await stored.close("s", CHUNK_S, begun)
    # It is gone; meanwhile lines come, and time moves on.
    assert await stored.count("s", CHUNK_S, Tally([Group(1, "a", 3, ["late"], [1])], 0)) == 3
    assert await stored.count("s", CHUNK_S, Tally([Group(2, "a", 1, ["new"], [1])], 0)) == 0
    again = await stored.next_round("s", CHUNK_S, 1_000.0)
    assert again == begun
    assert await stored.close("s", CHUNK_S, again) == first == [Frame(0, 1, {"a": {"x": 1}}), Frame(1, 0, {})]
    await stored.finish("s", CHUNK_S, again, first)
    # The first one was only slow: what it does now changes nothing.
    await stored.finish("s", CHUNK_S, begun, first)
    after = await close_due(stored, 30.0)
    assert after == [Frame(2, 2, {"a": {"new": 1}, "b": {"y": 1}})]


async def test_round_that_grew_while_its_replica_was_dead_still_ends_where_it_was_to(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "EMPTY", 3)
    monkeypatch.setattr(stored_frames, "ROUND", 5)
    stored = StoredFrames(redis)
    await stored.count("s", CHUNK_S, Tally([Group(0, "a", 1, [], []), Group(100, "a", 1, [], [])], 0))
    begun = await stored.next_round("s", CHUNK_S, 2_000.0)
    assert begun is not None
    assert begun.chunks == [0, 1, 2, 3, 100]
    await stored.count("s", CHUNK_S, Tally([Group(50, "b", 1, [], [])], 0))
    closed = await close_due(stored, 1_010.0)
    assert [frame.chunk for frame in closed] == [0, 1, 2, 3, 50, 51, 52, 53, 100]


async def test_nothing_is_left_behind_but_what_was_closed_and_everything_has_a_lifetime(redis: Redis) -> None:
    stored = StoredFrames(redis)
    hosts = [f"h{i}" for i in range(40)]
    await stored.count("s", CHUNK_S, tally_of([(0.0, host, "x y") for host in hosts]), "k")
    begun = await stored.next_round("s", CHUNK_S, 10.0)
    assert begun is not None
    for name in set(await redis.keys("tocsin:*")) - {keys.SCHEMA.encode()}:
        assert 0 < await redis.ttl(name) <= keys.frames_ttl_s(CHUNK_S)
    frames = await stored.close("s", CHUNK_S, begun)
    await stored.finish("s", CHUNK_S, begun, frames)
    left = {name.decode() for name in await redis.keys("tocsin:*")} - {keys.SCHEMA}
    markers = {keys.counted(p, "s", CHUNK_S, "k") for p in range(keys.PARTITIONS)}
    closed = {keys.closed_frame(p, "s", CHUNK_S) for p in range(keys.PARTITIONS)}
    assert left - markers == {*closed, keys.frame_place("s", CHUNK_S)}
    for name in set(await redis.keys("tocsin:*")) - {keys.SCHEMA.encode()}:
        assert 0 < await redis.ttl(name) <= keys.frames_ttl_s(CHUNK_S)


async def test_sources_and_lengths_do_not_share_frames_and_reset_forgets_what_was_closed(redis: Redis) -> None:
    stored = StoredFrames(redis)
    tally = tally_of([(0.0, "a", "x"), (30.0, "a", "x")])
    for source in ("s", "t"):
        await stored.count(source, CHUNK_S, tally)
    await stored.count("s", 20.0, tally)
    assert len(await close_due(stored, 20.0)) == 2
    assert await stored.count("s", CHUNK_S, tally) == 1
    await stored.reset("s", CHUNK_S)
    assert not await stored.due("s", CHUNK_S, 1e6)
    assert await stored.count("s", CHUNK_S, tally) == 0
    assert [frame.lines for frame in await close_due(stored, 10.0)] == [1]
    assert [frame.lines for frame in await close_due(stored, 40.0, "t")] == [1, 0, 0, 1]
    assert await stored.due("s", 20.0, 1e6)


async def test_one_replica_holds_the_lease(redis: Redis) -> None:
    stored = StoredFrames(redis)
    assert await stored.take_lease("s", "one")
    assert await stored.take_lease("s", "one")
    assert not await stored.take_lease("s", "two")
    assert await stored.take_lease("t", "two")
    assert 0 < await redis.ttl(keys.frame_lease("s")) <= keys.SWEEP_LEASE_TTL_S


async def test_flood_of_terms_and_entities_is_bounded(redis: Redis) -> None:
    stored = StoredFrames(redis)
    wide = [Group(0, f"host-{i}", 1, ["x"], [1]) for i in range(4_000)]
    deep = [Group(0, "a", 1, [f"t{i}" for i in range(start, start + 6_000)], [2] * 6_000) for start in (0, 6_000)]
    await stored.count("s", CHUNK_S, Tally([*deep, *wide], 0))
    (frame,) = await close_due(stored, 10.0)
    assert frame.lines == 4_002
    assert len(frame.counts) == rule.ENTITIES * rule.BUCKETS + 1
    assert len(frame.counts["a"]) == rule.TERMS + 1
    assert frame.counts["a"][rule.OTHER] == 2 * (12_000 - rule.TERMS)
