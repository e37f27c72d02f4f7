"""The durable queue in Redis: what is added once, taken in runs, refused to stale consumers, and buried."""

import math

import numpy as np
import pytest
from redis.asyncio import Redis

from models.sessions import Rows, SessionSettings
from service.state import dead, durability, keys, leases, queue, results, watermark
from service.state.leases import Fence, Fenced
from service.state.queue import Piece
from service.state.results import Result
from service.state.windows import Part, StoredSessions
from tests.service.state.plain import plain_append

SETTINGS = SessionSettings(tail=4, idle_s=60.0, lateness_s=10.0)


def session_of(partition: int) -> str:
    """A session id of a partition."""
    return next(name for name in map(str, range(1_000)) if keys.partition_of(name.encode()) == partition)


def rows(session: str, *times: float) -> Rows:
    """Rows of one session."""
    time = np.array(times)
    return Rows([session] * len(times), np.zeros(len(times), np.int64), time, time, np.zeros(len(times), np.bool_))


async def add(redis: Redis, batch: str, *pieces: Piece, prior: float = 1.0, newest: float = 2.0) -> None:
    """A batch that came at second 5."""
    await queue.add(redis, "s", batch, pieces, prior=prior, newest=newest, arrival=5.0)


async def taken(redis: Redis, partition: int = 3, consumer: str = "a") -> Fence:
    """The right to a partition."""
    return (await leases.take(redis, "s", [partition], consumer))[partition]


async def test_pieces_of_a_batch_are_added_once_and_the_others_by_its_retry(redis: Redis) -> None:
    await add(redis, "b", Piece(3, 10, b"x"))
    await add(redis, "b", Piece(3, 10, b"x"), Piece(4, 5, b"y"))
    depths = await queue.depths(redis, "s")
    assert [(depth.lines, depth.entries) for depth in depths[3:5]] == [(10, 1), (5, 1)]
    assert sum(depth.lines for depth in depths) == 15
    run = await queue.take(redis, "s", await taken(redis), "a", 100)
    assert [(e.batch, e.lines, e.prior, e.arrival, e.data) for e in run.entries] == [("b", 10, 1.0, 5.0, b"x")]


async def test_a_batch_that_is_told_again_begins_from_the_same_time(redis: Redis) -> None:
    assert await queue.arrive(redis, "s", "one", b"{}", 50.0, 5.0) == -math.inf
    assert await queue.arrive(redis, "s", "two", b"{}", 70.0, 5.0) == 50.0
    assert await queue.arrive(redis, "s", "one", b"{}", 50.0, 9.0) == -math.inf
    assert await queue.horizon(redis, "s") == -math.inf
    await queue.arrived(redis, "s", "one", -math.inf)
    assert await queue.horizon(redis, "s") == 50.0
    await queue.arrived(redis, "s", "two", 50.0)
    assert await queue.horizon(redis, "s") == math.inf


async def test_what_waits_holds_silence_back_to_what_came_before_it(redis: Redis) -> None:
    await watermark.advance(redis, "s", 1_000.0)
    for batch, prior in (("one", 100.0), ("two", 200.0)):
        await queue.arrive(redis, "s", batch, b"{}", prior, 5.0)
        await add(redis, batch, Piece(3, 1, b""), prior=prior, newest=prior)
    for batch, prior in (("one", -math.inf), ("two", 100.0)):
        await queue.arrived(redis, "s", batch, prior)
    assert await queue.horizon(redis, "s") == 100.0
    fence = await taken(redis)
    await queue.done(redis, "s", [await queue.take(redis, "s", fence, "a", 1)])
    assert await queue.horizon(redis, "s") == 200.0


async def test_no_entry_goes_back_behind_what_came_before_it_in_its_partition(redis: Redis) -> None:
    await add(redis, "late", Piece(3, 1, b""), prior=50.0, newest=90.0)
    await add(redis, "early", Piece(3, 1, b""), prior=40.0, newest=45.0)
    run = await queue.take(redis, "s", await taken(redis), "a", 100)
    assert [entry.prior for entry in run.entries] == [50.0, 90.0]
    await watermark.reset(redis, "s")
    await add(redis, "anew", Piece(3, 1, b""), prior=-math.inf, newest=1.0)
    # The run at work stays as it is.
    again = await queue.take(redis, "s", await taken(redis), "a", 100)
    assert [entry.batch for entry in again.entries] == ["late", "early"]
    await queue.done(redis, "s", [again])
    fresh = await queue.take(redis, "s", await taken(redis), "a", 100)
    assert [(entry.batch, entry.prior) for entry in fresh.entries] == [("anew", -math.inf)]


async def test_one_consumer_has_a_partition_until_it_leaves_or_its_lease_lapses(redis: Redis) -> None:
    first = await taken(redis)
    assert await leases.take(redis, "s", [3], "b") == {}
    assert await taken(redis) == first
    await redis.delete(keys.queue_lease(3, "s"))
    # Nobody came between: what it began under its token goes on.
    assert await taken(redis) == first
    await leases.leave(redis, "s", [3], "b")
    assert await leases.take(redis, "s", [3], "b") == {}
    await leases.leave(redis, "s", [3], "a")
    assert (await taken(redis, consumer="b")).token == first.token + 1


async def test_consumers_are_counted_while_they_beat(redis: Redis) -> None:
    assert await leases.beat(redis, "s", "a") == 1
    assert await leases.beat(redis, "s", "b") == 2
    await redis.zadd(keys.queue_consumers("s"), {"a": 1.0})
    assert await leases.beat(redis, "s", "b") == 1
    assert await leases.beat(redis, "s", "b", leaving=True) == 0


async def test_a_stale_consumer_changes_nothing(redis: Redis) -> None:
    sessions, session = StoredSessions(redis), session_of(3)
    await add(redis, "b", Piece(3, 10, b"x"))
    stale = await taken(redis)
    old = await queue.take(redis, "s", stale, "a", 100)
    await redis.delete(keys.queue_lease(3, "s"))
    fence = await taken(redis, consumer="b")
    [entry] = (await queue.take(redis, "s", fence, "b", 100)).entries
    before = {name: await redis.dump(name) async for name in redis.scan_iter()}
    with pytest.raises(Fenced):
        await sessions.append_each("s", SETTINGS, [Part(rows(session, 1.0), -math.inf, entry.batch_id, fence=stale)])
    for refused in (
        queue.take(redis, "s", stale, "a", 100), queue.done(redis, "s", [old]),
        dead.fail(redis, "s", stale), dead.bury(redis, "s", stale, entry, "no", 1.0),
    ):  # fmt: skip
        with pytest.raises(Fenced):
            await refused
    assert {name: await redis.dump(name) async for name in redis.scan_iter()} == before
    [appended] = await sessions.append_each(
        "s", SETTINGS, [Part(rows(session, 1.0), -math.inf, entry.batch_id, fence=fence)]
    )
    assert appended.groups.names == [session]
    with pytest.raises(Fenced):  # also where the append's reply is kept
        await sessions.append_each("s", SETTINGS, [Part(rows(session, 1.0), -math.inf, entry.batch_id, fence=stale)])


async def test_parts_appended_together_are_as_if_one_after_the_other(redis: Redis) -> None:
    sessions, session = StoredSessions(redis), session_of(3)
    parts = [Part(rows(session, float(at), at + 1.0), float(at), f"b{at}") for at in (0, 100, 110)]
    together = await sessions.append_each("s", SETTINGS, parts)
    await redis.flushdb()
    apart = [(await sessions.append_each("s", SETTINGS, [part]))[0] for part in parts]
    assert [plain_append(own) for own in together] == [plain_append(own) for own in apart]
    assert [len(found.closings) for found in together] == [0, 1, 0]


async def test_a_run_whose_consumer_died_is_taken_again_whole(redis: Redis) -> None:
    for batch in "bcd":
        await add(redis, batch, Piece(3, 10, b""))
    run = await queue.take(redis, "s", await taken(redis), "a", 20)
    assert [entry.batch for entry in run.entries] == ["b", "c"]
    await redis.delete(keys.queue_lease(3, "s"))
    fence = await taken(redis, consumer="b")
    again = await queue.take(redis, "s", fence, "b", 1_000)
    assert (again.entries, again.tries) == (run.entries, 1)
    assert await queue.done(redis, "s", [again]) == 2
    assert await queue.done(redis, "s", [again]) == 0
    rest = await queue.take(redis, "s", fence, "b", 1_000)
    assert ([entry.batch for entry in rest.entries], rest.tries) == (["d"], 0)
    assert (await queue.depths(redis, "s"))[3].lines == 10


async def test_a_run_that_was_given_up_has_not_failed(redis: Redis) -> None:
    await add(redis, "b", Piece(3, 10, b""))
    run = await queue.take(redis, "s", await taken(redis), "a", 20)
    await leases.leave(redis, "s", [3], "a")
    again = await queue.take(redis, "s", await taken(redis, consumer="b"), "b", 20)
    assert (again.entries, again.tries) == (run.entries, 0)


async def test_a_run_that_fails_is_cut_and_what_is_to_blame_is_buried_alone(redis: Redis) -> None:
    for batch in ("well", "poison", "fine", "later"):
        await add(redis, batch, Piece(3, 1, batch.encode()))
    fence = await taken(redis)
    assert len((await queue.take(redis, "s", fence, "a", 3)).entries) == 3
    assert [await dead.fail(redis, "s", fence) for _ in range(2)] == [1, 2]
    done: list[str] = []
    while (run := await queue.take(redis, "s", fence, "a", 3)).entries:
        names = [entry.batch for entry in run.entries]
        if names != ["poison"]:
            done += names
            await queue.done(redis, "s", [run])
        elif await dead.fail(redis, "s", fence) == 3:
            assert await dead.bury(redis, "s", fence, run.entries[0], "it is poison", 7.0)
            assert not await dead.bury(redis, "s", fence, run.entries[0], "it is poison", 7.0)
    assert done == ["well", "fine", "later"]
    [buried] = await dead.everyone(redis, "s", 10)
    assert (buried.entry.batch, buried.entry.data, buried.reason, buried.died) == (
        "poison",
        b"poison",
        "it is poison",
        7.0,
    )
    assert (await queue.depths(redis, "s"))[3].lines == 0
    assert await dead.raise_dead(redis, "s", [buried]) == 1
    assert await dead.raise_dead(redis, "s", [buried]) == 0
    [entry] = (await queue.take(redis, "s", fence, "a", 3)).entries
    assert (entry.batch, entry.data, entry.lines) == ("poison", b"poison", 1)
    assert await dead.count(redis, "s") == 0


async def test_dead_entries_are_bounded_and_can_be_dropped(redis: Redis) -> None:
    fence = await taken(redis)
    for number in range(keys.DEAD_ENTRIES_KEPT + 5):
        await add(redis, f"b{number}", Piece(3, 1, b""))
        [entry] = (await queue.take(redis, "s", fence, "a", 1)).entries
        await dead.bury(redis, "s", fence, entry, "no", float(number))
    assert await dead.count(redis, "s") == keys.DEAD_ENTRIES_KEPT
    found = await dead.everyone(redis, "s", 3)
    assert [one.died for one in found] == [104.0, 103.0, 102.0]
    assert await dead.drop(redis, "s", found) == 3
    assert await dead.count(redis, "s") == keys.DEAD_ENTRIES_KEPT - 3


async def test_results_are_kept_up_to_their_bytes_and_the_oldest_go(redis: Redis) -> None:
    for batch in ("one", "two", "three"):
        await queue.arrive(redis, "s", batch, b'{"lines":{"3":1}}', 1.0, 5.0)
        await results.keep(redis, "s", [Result(batch, 3, 1, b"x" * 400)], 1_100)
    assert [await results.read(redis, "s", batch) for batch in ("one", "two", "three", "none")] == [
        results.StoredBatch(b'{"lines":{"3":1}}', {3: None}),
        *[results.StoredBatch(b'{"lines":{"3":1}}', {3: b"x" * 400})] * 2,
        None,
    ]
    # Of a batch that is forgotten nothing comes back, and the same result does not count twice.
    await results.keep(redis, "s", [Result("none", 3, 1, b"y"), *[Result("two", 3, 1, b"z" * 400)] * 5], 1_100)
    assert await results.read(redis, "s", "none") is None
    kept = await results.read(redis, "s", "two")
    assert kept is not None
    assert kept.results == {3: b"z" * 400}
    assert 0 < await redis.ttl(keys.queued_batch("s", "two")) <= keys.RESULTS_TTL_S


async def test_redis_without_a_file_is_called_so(redis: Redis) -> None:
    assert "no append-only file" in str((await durability.read_durability(redis)).problem)
    assert await durability.memory_problem(redis) is None
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory", str(int(used * 1.1)))
    try:
        assert "raise its maxmemory" in str(await durability.memory_problem(redis))
    finally:
        await redis.config_set("maxmemory", "0")
