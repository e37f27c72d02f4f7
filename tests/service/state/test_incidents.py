"""Incidents fold by id, exactly once for a batch, and are listed newest first, page by page."""

import orjson
import pytest
from redis.asyncio import Redis

from models.errors import StateError
from service.state import incidents, keys
from service.state.incidents import Effect

DAY_S = 86_400.0


def sighting(name: str, score: float = 0.5, time: float = 10.0, clauses: tuple[bytes, ...] = ()) -> Effect:
    return Effect(name, b'{"reasons": [], "name": "%s"}' % name.encode(), score, time, clauses)


async def test_sightings_of_one_id_fold_into_one_incident(redis: Redis) -> None:
    assert await incidents.apply(
        redis, "s", [sighting("a", 0.5, 10.0), sighting("b"), sighting("a", 0.9, 5.0)], 100.0
    ) == [1, 1, 2]
    assert await incidents.apply(redis, "s", [Effect("a", b'{"other": 1}', 0.7, 30.0)], 200.0) == [3]
    found = await incidents.get(redis, "s", "a")
    assert found == incidents.StoredIncident(
        id="a", source="s", body={"reasons": [], "name": "a"}, count=3, first_seen=5.0, last_seen=30.0, score=0.9,
        state="open", raised=100.0,
    )  # fmt: skip
    assert await incidents.count(redis, "s") == 2


async def test_long_body_is_kept_small_and_one_from_before_is_still_read(redis: Redis) -> None:
    body = orjson.dumps({"reasons": [{"template": "connection received", "count": i} for i in range(100)]})
    sightings = [Effect("a", body, 0.5, 10.0), Effect("a", b'{"other": 1}', 0.6, 11.0)]
    assert await incidents.apply(redis, "s", sightings, 100.0) == [1, 2]
    kept = await redis.hget(keys.incidents("s"), "a")
    assert kept is not None
    assert 3 * len(kept) < len(body)
    await incidents.apply(redis, "s", [sighting("b")], 100.0)
    await redis.hset(keys.incidents("s"), "b", body)
    for name in "ab":
        found = await incidents.get(redis, "s", name)
        assert found is not None
        assert found.body == orjson.loads(body)


async def test_retried_part_of_a_batch_counts_once_and_says_the_same(redis: Redis) -> None:
    for _ in range(2):
        assert await incidents.apply(redis, "s", [sighting("a"), sighting("a")], 1.0, "batch", "lines") == [1, 2]
    assert await incidents.apply(redis, "s", [sighting("a")], 1.0, "batch", "ends") == [3]
    assert 0 < await redis.ttl(keys.applied("s", "incidents", "batch", "lines")) <= keys.BATCH_TTL_S
    assert await incidents.apply(redis, "s", [], 1.0, "batch", "none") == []


async def test_pages_show_each_incident_once_newest_first_across_sources(redis: Redis) -> None:
    for i in range(30):
        await incidents.apply(redis, f"s{i % 3}", [sighting(f"i{i:02d}"), sighting(f"j{i:02d}")], float(i // 5))
    seen: list[tuple[float, str]] = []
    cursor = None
    while True:
        page = await incidents.page(redis, ["s0", "s1", "s2"], limit=7, cursor=cursor)
        seen += [(incident.raised, incident.id) for incident in page.incidents]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen) == 60
    assert len((await incidents.page(redis, ["s0", "s1", "s2"], limit=60)).incidents) == 60
    assert (await incidents.page(redis, ["s0", "s1", "s2"], limit=60)).next is None


async def test_more_than_a_redis_page_of_the_same_instant_is_listed_whole(redis: Redis) -> None:
    many = [sighting(f"i{i:04d}") for i in range(2 * incidents.PAGE + 50)]
    await incidents.apply(redis, "s", many, 1.0)
    first = await incidents.page(redis, ["s"], limit=incidents.PAGE + 10)
    rest = await incidents.page(redis, ["s"], limit=1000, cursor=first.next)
    assert [i.id for i in first.incidents + rest.incidents] == sorted((e.id for e in many), reverse=True)


async def test_filters_by_state_source_and_time(redis: Redis) -> None:
    await incidents.apply(redis, "s", [sighting("a")], 1.0)
    await incidents.apply(redis, "s", [sighting("b")], 2.0)
    await incidents.apply(redis, "t", [sighting("c")], 3.0)
    assert await incidents.set_state(redis, "s", "a", "false_positive")
    assert not await incidents.set_state(redis, "s", "unknown", "false_positive")

    async def ids(sources: list[str], state: str | None = None, since: float | None = None) -> list[str]:
        return [i.id for i in (await incidents.page(redis, sources, state=state, since=since)).incidents]

    assert await ids(["s", "t"]) == ["c", "b", "a"]
    assert await ids(["s"]) == ["b", "a"]
    assert await ids(["s", "t"], state="open") == ["c", "b"]
    assert await ids(["s", "t"], state="false_positive") == ["a"]
    assert await ids(["s", "t"], since=2.0) == ["c", "b"]
    with pytest.raises(StateError, match="cursor"):
        await incidents.page(redis, ["s"], cursor="nonsense")


async def test_incident_is_found_without_its_source(redis: Redis) -> None:
    await incidents.apply(redis, "t", [sighting("c")], 3.0)
    found = await incidents.find(redis, ["s", "t"], "c")
    assert found is not None
    assert found.source == "t"
    assert await incidents.find(redis, ["s", "t"], "d") is None


async def test_oldest_go_beyond_the_cap_and_after_thirty_days(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "INCIDENTS_KEPT", 5)
    for i in range(8):
        await incidents.apply(redis, "s", [sighting(f"i{i}", clauses=(b"a",))], float(i))
    await incidents.set_state(redis, "s", "i3", "true_positive")
    assert [i.id for i in (await incidents.page(redis, ["s"])).incidents] == ["i7", "i6", "i5", "i4", "i3"]
    assert await incidents.get(redis, "s", "i0") is None
    await incidents.apply(redis, "s", [sighting("new", clauses=(b"a",))], 30 * DAY_S + 4.5)
    assert [i.id for i in (await incidents.page(redis, ["s"])).incidents] == ["new", "i7", "i6", "i5"]
    assert await incidents.clauses(redis, "s", "i0") == []
    for key in (keys.incidents("s"), keys.incident_tally("s"), keys.incident_clauses("s")):
        assert await redis.hlen(key) == 4
    assert await redis.hlen(keys.incident_state("s")) == 0


async def test_an_incident_gathers_the_clauses_of_its_sightings_once_each_up_to_a_cap(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "CLAUSES_KEPT", 4)
    both = [sighting("a", clauses=(b"x", b"y")), sighting("b"), sighting("a", clauses=(b"y", b"z"))]
    for _ in range(2):
        await incidents.apply(redis, "s", both, 1.0, "batch")
    assert await incidents.clauses(redis, "s", "a") == [b"x", b"y", b"z"]
    assert await incidents.clauses(redis, "s", "b") == []
    assert await incidents.clauses_of_each(redis, "s", ["b", "gone", "a"]) == [[], [], [b"x", b"y", b"z"]]
    assert await incidents.clauses_of_each(redis, "s", []) == []
    await incidents.apply(redis, "s", [sighting("a", clauses=(b"y", b"u", b"v", b"w"))], 2.0)
    assert await incidents.clauses(redis, "s", "a") == [b"x", b"y", b"z", b"u"]


async def test_a_silenced_incident_is_open_again_only_where_something_else_rings(redis: Redis) -> None:
    await incidents.apply(redis, "s", [sighting("a", clauses=(b"x",)), sighting("b", clauses=(b"x",))], 1.0)

    async def state(name: str, given: str, clauses: tuple[bytes, ...]) -> str:
        await incidents.set_state(redis, "s", name, given)
        await incidents.apply(redis, "s", [sighting(name, clauses=clauses)], 2.0)
        found = await incidents.get(redis, "s", name)
        assert found is not None
        return found.state

    assert await state("a", "silenced", (b"x",)) == "silenced"
    assert await state("a", "silenced", ()) == "silenced"
    assert await state("a", "silenced", (b"x", b"y")) == "open"
    assert await state("b", "acknowledged", (b"y",)) == "acknowledged"
