"""The sessions in Redis follow the pure rule of ``models.sessions`` to the letter, and a retry changes nothing."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from models.groups import Groups
from models.live import LiveSessions
from models.notes import Notes, NoteSettings
from models.sessions import NO_KEY, SEGMENT, Closing, Rows, SessionSettings, watermarks
from models.windows import Priors, Windows, build_windows
from service.state import keys
from service.state.connection import open_client
from service.state.packing import MAX_KEY
from service.state.windows import BatchOver, Peak, StoredSessions
from tests.service.state.plain import plain_append, plain_priors

SETTINGS = SessionSettings(tail=3, idle_s=10.0, lateness_s=2.0)
NAMES = ["a", "b", "c", "blk_-1608999687919862906", "ü:{x}", ""]


@dataclass(frozen=True)
class Row:
    session: str
    key: int
    time: float
    ends: bool


def rows_of(
    batch: list[Row], prior_max: float = -np.inf, lateness_s: float = SETTINGS.lateness_s, notes: Notes | None = None
) -> Rows:
    time = np.array([row.time for row in batch], dtype=np.float64)
    return Rows(
        notes=notes,
        session=[row.session for row in batch],
        key=np.array([row.key for row in batch], dtype=np.int64),
        time=time,
        watermark=watermarks(time, prior_max, lateness_s),
        ends=np.array([row.ends for row in batch], dtype=np.bool_),
    )


def run_of(session: str, keys_: list[int], start: float = 0.0, step: float = 1.0) -> list[Row]:
    return [Row(session, key, start + i * step, False) for i, key in enumerate(keys_)]


times = st.one_of(
    st.floats(0, 60, allow_nan=False), st.integers(0, 60).map(float), st.sampled_from([0.1, 10.1, 12.1, 22.3])
)
events = st.builds(Row, st.sampled_from(NAMES), st.sampled_from([0, 1, 2, 3, 700, MAX_KEY]), times, st.booleans())
quiet_events = st.builds(Row, st.sampled_from(NAMES), st.integers(0, 5), times, st.just(False))
end_records = st.builds(
    Row, st.sampled_from(NAMES), st.just(NO_KEY), st.one_of(times, st.just(-np.inf)), st.just(True)
)  # fmt: skip
batches = st.lists(
    st.lists(st.one_of(quiet_events, quiet_events, events, end_records), min_size=1, max_size=25), max_size=6
)


def notes_of(batch: list[Row], seed: int) -> Notes:
    """Two parameters and one code for each row; templates below 3 have a model of their values."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(len(batch), 2))
    values[random.random(values.shape) < 0.2] = np.nan
    valued = np.array([0 <= row.key < 3 for row in batch], dtype=np.bool_)
    codes = random.integers(0, 65_535, (len(batch), 1))
    return Notes(values, valued, codes)


NOTED = st.sampled_from([NoteSettings(), NoteSettings(values=2, width=3, pauses=True), NoteSettings(codes=2, fields=1),
                         NoteSettings(pauses=True, values=1, width=3, codes=3, fields=1)])  # fmt: skip


def plain(closing: Closing) -> tuple[object, ...]:
    state = closing.state
    return (
        closing.session,
        state.started,
        state.last,
        state.n,
        state.tail,
        dict(state.counts),
        dict(closing.peaks),
        closing.row,
    )


@given(
    batches=batches,
    tail=st.integers(0, 4),
    swept=st.lists(st.booleans(), min_size=6, max_size=6),
    retried=st.booleans(),
    kept=NOTED,
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lua_is_the_twin_of_the_pure_rule(
    redis_url: str, batches: list[list[Row]], tail: int, swept: list[bool], retried: bool, kept: NoteSettings
) -> None:
    asyncio.run(_check_equal(redis_url, replace(SETTINGS, tail=tail, notes=kept), batches, swept, retried))


def same_notes(found: Windows, expected: Windows) -> bool:
    """Whether two windows agree on pauses, values and codes."""
    pairs = [(found.elapsed, expected.elapsed)]
    if expected.values is not None and found.values is not None:
        pairs += [(getattr(found.values, name), getattr(expected.values, name)) for name in ("at", "history", "values")]
    if expected.codes is not None and found.codes is not None:
        pairs += [(found.codes.earlier, expected.codes.earlier), (found.codes.codes, expected.codes.codes)]
    return (found.values is None, found.codes is None) == (expected.values is None, expected.codes is None) and all(
        (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))
        for a, b in pairs
    )


async def _check_equal(
    url: str, rule: SessionSettings, batches: list[list[Row]], swept: list[bool], retried: bool
) -> None:
    redis = open_client(url)
    try:
        await redis.flushall()
        stored, pure = StoredSessions(redis), LiveSessions(rule)
        largest = -np.inf
        for number, batch in enumerate(batches):
            rows = rows_of(batch, largest, notes=notes_of(batch, number) if rule.notes.stored else None)
            largest = max(largest, float(rows.time.max()))
            priors = Priors.of([pure.state(name) for name in Groups.by(rows.session).names])
            windows, closings = pure.append(rows)
            for _ in range(1 + retried):
                found = await stored.append("s", rule, rows, batch_id=f"b{number}" if retried else None)
            assert plain_priors(found.priors) == plain_priors(priors)
            assert [plain(c) for c in found.closings] == [plain(c) for c in closings]
            same = build_windows(rows, found.groups, found.priors, rule, found.notes)
            assert same_notes(same, windows)
            assert np.array_equal(same.history, windows.history)
            assert np.array_equal(same.position, windows.position)
            for i, name in enumerate(NAMES):
                state = pure.state(name)
                if state is not None:
                    raw = float(np.sin(number + i))
                    pure.raise_peak(name, state.started, i, raw)
                    await stored.raise_peaks("s", rule, [Peak(name, state.started, i, raw)])
                    # A peak found for an epoch that is over by now must not stick to the next one.
                    await stored.raise_peaks("s", rule, [Peak(name, state.started - 0.5, i, 99.0)])
            if swept[number]:
                watermark = largest - rule.lateness_s
                assert [plain(c) for c in await stored.sweep("s", rule, watermark)] == [
                    plain(c) for c in pure.sweep(watermark)
                ]
            assert await stored.count_live("s") == len(pure)
            for name in NAMES:
                assert await stored.read("s", name) == pure.state(name)
    finally:
        await redis.aclose()


async def test_set_of_closings_does_not_depend_on_batch_cuts(redis: Redis) -> None:
    rng = np.random.default_rng(5)
    stream = [Row(f"n{rng.integers(40)}", int(rng.integers(5)), float(i // 3), False) for i in range(600)]
    rule = replace(SETTINGS, idle_s=25.0)

    async def closed(source: str, size: int) -> list[tuple[object, ...]]:
        stored = StoredSessions(redis)
        largest, found = -np.inf, []
        for a in range(0, len(stream), size):
            rows = rows_of(stream[a : a + size], largest)
            largest = max(largest, float(rows.time.max()))
            done = await stored.append(source, rule, rows, sweep_to=float(rows.watermark[-1]))
            found += [plain(c)[:-1] for c in done.closings]
        found += [plain(c)[:-1] for c in await stored.sweep(source, rule, largest - rule.lateness_s)]
        return sorted(found, key=str)

    one = await closed("one", 600)
    assert len(one) > 50
    assert await closed("many", 7) == one
    assert await closed("each", 1) == one


async def test_retried_batch_changes_nothing_and_gets_the_same_answer(redis: Redis) -> None:
    stored = StoredSessions(redis)
    await stored.append("s", SETTINGS, rows_of([*run_of("a", [1, 2]), Row("z", 1, 0.0, False)]))
    await stored.raise_peaks("s", SETTINGS, [Peak("z", 0.0, 3, 0.25)])
    rows = rows_of([*run_of("a", [3, 4], start=20.0), Row("b", 5, 21.0, True)], prior_max=1.0)
    first = await stored.append("s", SETTINGS, rows, sweep_to=19.0, batch_id="k")
    state = await stored.read("s", "a")
    second = await stored.append("s", SETTINGS, rows, sweep_to=19.0, batch_id="k")
    assert plain_append(second) == plain_append(first)
    assert await stored.read("s", "a") == state
    assert await redis.ttl(keys.appended(keys.partition_of(b"a"), "s", "k")) in range(800, 901)


async def test_batch_that_was_forgotten_is_appended_by_nobody_who_comes_late(redis: Redis) -> None:
    """A replica that stood still, or a command that was held up on its way, comes after the answer was stored."""
    stored = StoredSessions(redis)
    rows = rows_of([*run_of("a", [3, 4], start=20.0), Row("b", 5, 21.0, True)])
    await stored.append("s", SETTINGS, rows, batch_id="k")
    await stored.forget("s", "k")
    state = await stored.read("s", "a")
    with pytest.raises(BatchOver, match="answered by another replica"):
        await stored.append("s", SETTINGS, rows, batch_id="k")
    assert await stored.read("s", "a") == state is not None
    assert await stored.sweep("s", SETTINGS, 1000.0, "sweep-0") != []
    await stored.forget("s", "sweep-0")
    await stored.append("s", SETTINGS, rows)
    with pytest.raises(BatchOver):
        await stored.sweep("s", SETTINGS, 1000.0, "sweep-0")
    assert await stored.count_live("s") == 1
    assert [name async for name in redis.scan_iter("*:batch:*")] == []
    assert await redis.ttl(keys.over(keys.partition_of(b"a"), "s", 0)) in range(800, 901)
    # Nothing is left in partitions that the batch had no rows in.
    left = [await redis.smembers(keys.over(p, "s", 0)) for p in range(keys.PARTITIONS)]
    here = {keys.partition_of(name) for name in (b"a", b"b")}
    assert [p for p, ids in enumerate(left) if b"k" in ids] == sorted(here)
    # A batch of another quarter of an hour has another drawer, and another batch of the same id is another batch.
    await stored.append("s", SETTINGS, rows, batch_id="k", drawer=1)


async def test_retry_after_half_the_partitions_were_appended_completes_the_rest(redis: Redis) -> None:
    stored = StoredSessions(redis)
    names = [f"n{i}" for i in range(40)]
    half = [name for name in names if keys.partition_of(name.encode()) < 8]
    everyone = rows_of([Row(name, 1, 0.0, False) for name in names])
    await stored.append("s", SETTINGS, rows_of([Row(name, 1, 0.0, False) for name in half]), batch_id="k")
    await stored.append("s", SETTINGS, everyone, batch_id="k")
    for name in names:
        state = await stored.read("s", name)
        assert state is not None
        assert state.n == 1


async def test_end_closes_with_its_peaks_and_the_next_line_opens_a_new_epoch(redis: Redis) -> None:
    stored = StoredSessions(redis)
    await stored.append("s", SETTINGS, rows_of(run_of("a", [1, 2, 2])))
    for raw in (0.5, 2.5, 1.5):
        await stored.raise_peaks("s", SETTINGS, [Peak("a", 0.0, 0, raw), Peak("a", 0.0, 7, -raw)])
    assert await stored.read_peaks("s", "a") == {0: 2.5, 7: -0.5}
    batch = [Row("a", 3, 3.0, False), Row("a", NO_KEY, -np.inf, True), Row("a", 9, 4.0, False)]
    found = await stored.append("s", SETTINGS, rows_of(batch, 2.0))
    (closing,) = found.closings
    assert plain(closing) == ("a", 0.0, 3.0, 4, (2, 2, 3), {1: 1, 2: 2, 3: 1}, {0: 2.5, 7: -0.5}, 1)
    state = await stored.read("s", "a")
    assert state is not None
    assert (state.started, state.n) == (4.0, 1)
    assert await stored.read_peaks("s", "a") == {}


async def test_sweep_closes_the_longest_silent_first_and_no_more_than_the_limit(redis: Redis) -> None:
    stored = StoredSessions(redis)
    same = [name for name in (f"n{i}" for i in range(200)) if keys.partition_of(name.encode()) == 3][:6]
    batch = [Row(name, 1, float(10 - i), False) for i, name in enumerate(same)]
    await stored.append("s", SETTINGS, rows_of(batch))
    assert await stored.oldest("s") == 5.0
    first = await stored.sweep("s", SETTINGS, 1000.0, sweep_limit=4)
    assert [c.session for c in first] == same[:1:-1]
    assert all(c.row is None for c in first)
    assert [c.session for c in await stored.sweep("s", SETTINGS, 1000.0)] == same[1::-1]
    assert await stored.sweep("s", SETTINGS, 1000.0) == []
    assert await stored.oldest("s") is None


async def test_append_sweeps_the_partitions_that_it_touches(redis: Redis) -> None:
    stored = StoredSessions(redis)
    mate, other = (
        next(f"n{i}" for i in range(99) if (keys.partition_of(b"n%d" % i) == 2) is at) for at in (True, False)
    )
    host = next(f"m{i}" for i in range(99) if keys.partition_of(b"m%d" % i) == 2)
    await stored.append("s", SETTINGS, rows_of([Row(mate, 1, 0.0, False), Row(other, 1, 0.0, False)]))
    found = await stored.append("s", SETTINGS, rows_of([Row(host, 1, 50.0, False)], 0.0), sweep_to=48.0)
    assert [c.session for c in found.closings] == [mate]
    assert await stored.read("s", other) is not None


async def test_very_varied_and_very_long_sessions_survive(redis: Redis) -> None:
    stored, pure = StoredSessions(redis), LiveSessions(replace(SETTINGS, tail=255))
    many = list(range(1, 9_001))
    for part in (many[:4000], many[4000:], [1] * 70_000, [5]):
        rows = rows_of([Row("node", key, 1.0, False) for key in part], 1.0)
        pure.append(rows)
        await stored.append("s", pure.settings, rows)
    state = await stored.read("s", "node")
    assert state == pure.state("node")
    assert state is not None
    assert (state.n, state.counts[1], len(state.tail)) == (79_001, 70_001, 255)


async def test_counts_survive_where_they_begin_to_take_more_bytes(redis: Redis) -> None:
    stored, pure = StoredSessions(redis), LiveSessions(SETTINGS)
    for part in ([3] * 255, [7], [7, 3], [3] * (65_535 - 258), [9], [3, 9]):
        rows = rows_of([Row("node", key, 1.0, False) for key in part], 1.0)
        pure.append(rows)
        found = await stored.append("s", pure.settings, rows)
        assert await stored.read("s", "node") == pure.state("node")
    assert found.priors.n.tolist() == [65_536]
    state = await stored.read("s", "node")
    assert state is not None
    assert state.counts == {3: 65_534, 7: 2, 9: 2}


async def test_thousands_of_sessions_in_one_batch(redis: Redis) -> None:
    stored = StoredSessions(redis)
    batch = [Row(f"s{i}", 1, 0.0, False) for i in range(40_000)]
    assert not (await stored.append("s", SETTINGS, rows_of(batch))).priors.n.any()
    found = await stored.append("s", SETTINGS, rows_of([replace(row, ends=True) for row in batch], 0.0))
    assert np.count_nonzero(found.priors.n) == len(found.closings) == 40_000
    assert [c.row for c in found.closings] == list(range(40_000))
    assert await stored.count_live("s") == 0


async def test_sources_do_not_share_sessions_and_reset_forgets_one(redis: Redis) -> None:
    stored = StoredSessions(redis)
    for source in ("s", "t"):
        await stored.append(source, SETTINGS, rows_of(run_of("a", [1])))
    await stored.reset("s")
    assert await stored.read("s", "a") is None
    assert await stored.count_live("s") == 0
    assert await stored.count_live("t") == 1


async def test_live_sessions_have_a_lifetime(redis: Redis) -> None:
    stored = StoredSessions(redis)
    await stored.append("s", SETTINGS, rows_of(run_of("a", [1])))
    await stored.raise_peaks("s", SETTINGS, [Peak("a", 0.0, 0, 1.0)])
    p = keys.partition_of(b"a")
    for key in (keys.live(p, "s"), keys.idle(p, "s"), keys.peaks(p, "s")):
        assert 0 < await redis.ttl(key) <= keys.live_ttl_s(SETTINGS.idle_s)


@pytest.mark.parametrize(("key", "tail"), [(MAX_KEY + 1, 3), (-2, 3), (1, 4097)])
async def test_what_does_not_fit_is_refused_before_anything_is_appended(redis: Redis, key: int, tail: int) -> None:
    with pytest.raises(ValueError):
        await StoredSessions(redis).append("s", replace(SETTINGS, tail=tail), rows_of(run_of("a", [key])))
    assert await redis.dbsize() == 1


async def test_script_is_loaded_again_after_redis_forgot_it(redis: Redis) -> None:
    stored = StoredSessions(redis)
    await stored.append("s", SETTINGS, rows_of(run_of("a", [1])))
    await redis.script_flush()
    await stored.append("s", SETTINGS, rows_of([Row(f"n{i}", 1, 0.0, False) for i in range(50)]))
    assert await stored.count_live("s") == 51


async def test_long_sequences_are_kept_and_fill_their_segments(redis: Redis) -> None:
    rule = SessionSettings(tail=SEGMENT, idle_s=1e6, window=4)
    stored, pure = StoredSessions(redis), LiveSessions(rule)
    random = np.random.default_rng(5)
    for number, size in enumerate((200, 54, 1, 257, 3, 1200)):
        rows = rows_of([Row("a", int(key), float(number), False) for key in random.integers(0, 900, size)])
        expected, _ = pure.append(rows)
        found = await stored.append("s", rule, rows)
        windows = build_windows(rows, found.groups, found.priors, rule)
        assert windows.history.shape == (size, 4)
        assert [(s.at, s.keys.tolist()) for s in windows.segments] == [
            (s.at, s.keys.tolist()) for s in expected.segments
        ]
        assert await stored.read("s", "a") == pure.state("a")
    state = pure.state("a")
    assert state is not None
    assert len(state.segment) == (200 + 54 + 1 + 257 + 3 + 1200 - 1) % SEGMENT + 1
