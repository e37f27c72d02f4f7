"""A click changes the next verdict, in every replica, once, and is taken back by another."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.verdict import Verdict
from service.state import rules, windows
from tests.golden import blocks
from tests.service.clicks import (
    Clock,
    forgotten,
    give,
    is_ready,
    judged,
    line,
    only,
    quarantined,
    rings,
    state_of,
    undo,
    unwritten,
)
from tests.service.serving import Link, Replica, running, until


async def test_a_click_in_one_replica_silences_the_very_next_such_line_in_another(
    pair: tuple[Replica, Replica],
) -> None:
    one, other = pair
    first = await rings(one, unwritten(1))
    await judged(other, unwritten(2))
    item = await give(one, incident=first["incident"], note="a new release")
    assert item["silences"] == ["deeplog is silent after the same events"]
    assert (item["author"], item["note"], item["still_ring"]) == ("ada", "a new release", [])
    for block, replica in enumerate((other, one, other), 3):
        before = len((await replica.get("/incidents"))["incidents"])
        verdict = (await judged(replica, unwritten(block)))[-1]
        assert (verdict["state"], verdict["rule"]) == ("silenced", item["id"])
        assert (verdict["anomalous"], verdict["incident"], verdict["reasons"]) == (False, None, [])
        assert len((await replica.get("/incidents"))["incidents"]) == before
    assert await state_of(other, first["incident"]) == "silenced"
    assert (await rings(other, forgotten(9)))["reasons"][0]["detector"] == "deeplog", "another cause"
    assert [i["id"] for i in (await one.get("/incidents", state="silenced"))["incidents"]] == [first["incident"]]


async def test_an_undone_click_rings_again_on_the_next_line(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    first = await rings(one, unwritten(1))
    item = await give(one, incident=first["incident"])
    assert (await judged(other, unwritten(2)))[-1]["state"] == "silenced"
    assert (await undo(other, item["id"]))["id"] == item["id"]
    for block, replica in enumerate(pair, 3):
        assert (await judged(replica, unwritten(block)))[-1]["anomalous"]
    assert await state_of(one, first["incident"]) == "open"
    assert (await one.get("/feedback"))["feedback"] == []
    assert (await one.http.delete(f"/feedback/{item['id']}")).status_code == 404


async def test_hits_and_the_time_are_listed_and_the_rules_are_counted(replica: Replica, clock: Clock) -> None:
    first = await rings(replica, unwritten(1))
    item = await give(replica, incident=first["incident"], expires_in_s=600)
    assert item["expires"] == clock.now + 600
    await judged(replica, unwritten(2) + unwritten(3))
    listed = await only(replica)
    assert (listed["hits"], listed["in_force"], listed["expires"]) == (2, True, clock.now + 600)
    metrics = await replica.metrics()
    assert metrics['tocsin_silenced_total{source="blocks"}'] == 2
    assert metrics['tocsin_rules{source="blocks"}'] == 1
    clock.now += 600
    assert (await judged(replica, unwritten(4)))[-1]["anomalous"]
    listed = await only(replica)
    assert (listed["hits"], listed["in_force"]) == (2, False)
    # The next rule takes the place of those that have expired.
    await give(replica, incident=(await rings(replica, [quarantined(5)]))["incident"])
    assert len((await rules.load(replica.core.redis, "blocks")).rules) == 1
    assert {i["in_force"]: i["hits"] for i in (await replica.get("/feedback"))["feedback"]} == {True: 0, False: 2}


async def test_other_detectors_still_ring(replica: Replica) -> None:
    verdicts = await judged(replica, forgotten(1))
    end = next(verdict for verdict in verdicts if verdict["kind"] == "session")
    assert {reason["detector"] for reason in end["reasons"]} == {"count_vector", "deeplog", "length"}
    item = await give(replica, incident=end["incident"])
    assert {clause["detector"] for clause in item["rule"]["clauses"]} == {"count_vector", "length"}
    assert item["still_ring"] == ["deeplog"]
    last, end = (await judged(replica, forgotten(2)))[-2:]
    assert last["anomalous"]
    assert {reason["detector"] for reason in end["reasons"]} == {"deeplog"}


async def test_an_accepted_template_takes_no_known_one_with_it(replica: Replica) -> None:
    """The lines after a new event ring because of it; calling the incident false must not silence their templates."""

    def session(block: int) -> list[str]:
        start, end = forgotten(block)
        return [start, quarantined(block), end]

    verdicts = await judged(replica, session(1))
    assert [verdict["anomalous"] for verdict in verdicts] == [False, True, True, True]
    assert len({verdict["incident"] for verdict in verdicts if verdict["anomalous"]}) == 1
    item = await give(replica, incident=verdicts[1]["incident"])
    accepted = {clause["match"] for clause in item["rule"]["clauses"] if clause["scope"] == "template"}
    assert accepted == {str(verdicts[1]["template_id"])}
    again = await judged(replica, session(2))
    assert [verdict["state"] for verdict in again] == ["scored", "silenced", "silenced", "silenced"]
    assert [verdict["novel"] for verdict in again] == [False, True, False, False]
    assert (await judged(replica, forgotten(3)))[1]["anomalous"], "deletion right after allocation is another cause"


async def test_the_scope_can_be_chosen_among_those_of_the_incident(replica: Replica) -> None:
    first = await rings(replica, unwritten(1))
    assert (await replica.get(f"/incidents/{first['incident']}"))["scopes"] == ["window", "template"]
    refused = await give(replica, 422, incident=first["incident"], scope="session")
    assert "its scopes are window, template" in refused["error"]
    item = await give(replica, incident=first["incident"], scope="template")
    assert item["silences"] == [f"deeplog is silent on “{first['template']}”"]
    other = [line("store.Node: receiving blk_9 from 10.0.0.9:5001"), unwritten(9)[1]]
    assert (await judged(replica, other))[-1]["state"] == "silenced"


async def test_the_end_of_a_silent_session_is_silenced_by_a_sweep_of_any_replica(
    pair: tuple[Replica, Replica], clock: Clock
) -> None:
    async def swept(block: int) -> Verdict:
        await judged(pair[0], forgotten(block)[:1])
        clock.now += 10 * blocks.IDLE_S
        for replica in pair:
            await replica.core.sweep()
        ends: list[Verdict] = []

        async def ended() -> bool:
            ends[:] = [end for end in await pair[0].ends("blocks") if end["session"] == f"blk_{block}"]
            return bool(ends)

        await until(ended, "the silent session is over")
        return ends[0]

    end = await swept(1)
    assert end["anomalous"]
    item = await give(pair[0], incident=end["incident"])
    counts, length = item["silences"]
    assert counts.startswith("count_vector is silent on sessions with the same departure from a normal one up to ")
    assert length == "length is silent on sessions with the same events"
    later = await swept(2)
    assert (later["state"], later["rule"], later["anomalous"]) == ("silenced", item["id"], False)
    assert (await only(pair[0]))["hits"] == 1
    await undo(pair[0], item["id"])
    assert (await swept(3))["anomalous"]


async def test_a_silenced_incident_is_open_again_where_something_else_rings_in_it(replica: Replica) -> None:
    start, end = forgotten(1)
    first = (await judged(replica, [start, quarantined(1)]))[-1]
    await give(replica, incident=first["incident"])
    assert (await judged(replica, [quarantined(1)]))[0]["state"] == "silenced"
    assert await state_of(replica, first["incident"]) == "silenced"
    ended = (await judged(replica, [end]))[-1]
    assert (ended["kind"], ended["anomalous"], ended["incident"]) == ("session", True, first["incident"])
    assert {"count_vector"} <= {reason["detector"] for reason in ended["reasons"]}
    assert await state_of(replica, first["incident"]) == "open"


async def test_a_batch_tried_again_is_judged_by_the_rules_of_its_first_try(
    redis: Redis, redis_url: str, bundles: Path
) -> None:
    """A rule comes, and another goes, between the first try and the second."""
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link(redis_url))
        broken = await stack.enter_async_context(running(link.url, bundles))
        other = await stack.enter_async_context(running(redis_url, bundles))
        old = await give(other, incident=(await rings(other, [quarantined(1)]))["incident"])
        window = await rings(other, unwritten(2))
        await redis.script_load(windows.APPEND.text)
        link.break_once(windows.APPEND.sha, seen_by_redis=True)
        request: dict[str, Any] = {
            "json": {"source": "blocks", "lines": [*unwritten(3), quarantined(4)]},
            "headers": {"Idempotency-Key": "a batch"},
        }
        assert (await broken.http.post("/ingest", **request)).status_code == 503
        assert link.broke
        new = await give(other, incident=window["incident"])
        await undo(other, old["id"])
        answers = []
        for replica in (other, broken, other):
            await until(lambda at=replica: is_ready(at), "Redis is back")
            response = await replica.http.post("/ingest", **request)
            assert response.status_code == 200, response.text
            answers.append(response.content)
        assert len(set(answers)) == 1
        told = [(v["state"], v.get("rule")) for v in response.json()["verdicts"]]
        assert told == [("scored", None), ("scored", None), ("silenced", old["id"])]
        now = await judged(other, [*unwritten(5), quarantined(6)])
        assert [v.get("rule") for v in now] == [None, new["id"], None]
        assert now[-1]["anomalous"]
        assert (await only(other))["hits"] == 1


@pytest.mark.parametrize("seen_by_redis", [False, True])
async def test_a_silenced_line_is_counted_once_however_often_its_batch_is_tried(
    redis: Redis, redis_url: str, bundles: Path, seen_by_redis: bool
) -> None:
    async with Link(redis_url) as link, running(link.url, bundles) as replica:
        await give(replica, incident=(await rings(replica, unwritten(1)))["incident"])
        await redis.script_load(rules.HIT.text)
        link.break_once(rules.HIT.sha, seen_by_redis=seen_by_redis)
        request: dict[str, Any] = {
            "json": {"source": "blocks", "lines": unwritten(2) + unwritten(3)},
            "headers": {"Idempotency-Key": "a batch"},
        }
        assert (await replica.http.post("/ingest", **request)).status_code == 503
        await until(lambda: is_ready(replica), "Redis is back")
        for _ in range(2):
            assert (await replica.http.post("/ingest", **request)).status_code == 200
        assert (await only(replica))["hits"] == 2
