"""A click changes the next verdict, in every replica; what is protected cannot be clicked away; each click is named,
listed, limited and undone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from models.rules import Clause
from models.verdict import Verdict
from service.incidents.causes import Cause
from service.state import incidents, keys, rules, sources, trees, windows
from tests.golden import blocks
from tests.service.serving import NOW, Link, Replica, blocks_bundle, every_kind_bundle, running, stored, until

ADA = {"X-Tocsin-Author": "ada"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return stored(tmp_path / "bundles", blocks_bundle())


@pytest.fixture
async def pair(redis: Redis, redis_url: str, bundles: Path, clock: Clock) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas over one Redis."""
    await redis.ping()
    async with running(redis_url, bundles, clock) as one, running(redis_url, bundles, clock) as other:
        yield one, other


@pytest.fixture
def replica(pair: tuple[Replica, Replica]) -> Replica:
    return pair[0]


def line(message: str, second: int = 0) -> str:
    return f"240502 10{second // 60:02d}{second % 60:02d} 21 INFO {message}"


def quarantined(block: int) -> str:
    """A new event."""
    return line(f"store.Names: quarantine of blk_{block} ordered by operator al")


def forgotten(block: int) -> list[str]:
    """Deleted before anything was stored: the last step is strange after the first, the whole session by its counts."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: deleted blk_{block}", 1),
    ]


def unwritten(block: int) -> list[str]:
    """Mapped before anything was stored; the session goes on."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: replica map updated with blk_{block} at 10.0.0.9:5001", 1),
    ]


async def judged(replica: Replica, lines: list[str], **how: Any) -> list[Verdict]:
    return list((await replica.ingest("blocks", lines, **how))["verdicts"])


async def rings(replica: Replica, lines: list[str]) -> Verdict:
    """The first of the verdicts that is anomalous."""
    return next(verdict for verdict in await judged(replica, lines) if verdict["anomalous"])


async def give(replica: Replica, status: int = 201, headers: dict[str, str] = ADA, **given: Any) -> dict[str, Any]:
    response = await replica.http.post("/feedback", json={"label": "false_positive", **given}, headers=headers)
    assert response.status_code == status, response.text
    return dict(response.json())


async def undo(replica: Replica, feedback_id: str) -> dict[str, Any]:
    response = await replica.http.delete(f"/feedback/{feedback_id}", headers=ADA)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def state_of(replica: Replica, incident: str | None) -> str:
    return str((await replica.get(f"/incidents/{incident}"))["state"])


async def only(replica: Replica) -> dict[str, Any]:
    (item,) = (await replica.get("/feedback"))["feedback"]
    return dict(item)


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


async def is_ready(replica: Replica) -> bool:
    return (await replica.http.get("/readyz")).status_code == 200


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


async def test_what_was_called_real_cannot_be_called_false(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    real, again = await rings(one, unwritten(1)), await rings(one, unwritten(2))
    case = await give(one, incident=real["incident"], label="true_positive")
    assert await state_of(one, real["incident"]) == "acknowledged"
    for incident in (real["incident"], again["incident"]):
        for scope in (None, "template"):
            refused = await give(other, 409, incident=incident, scope=scope)
            assert f"incident {real['incident']}, session 'blk_1'" in refused["error"]
            assert f"DELETE /feedback/{case['id']}" in refused["error"]
    assert (await judged(other, unwritten(3)))[-1]["anomalous"]
    await give(other, incident=(await rings(other, forgotten(4)))["incident"])
    await undo(one, case["id"])
    assert await state_of(one, real["incident"]) == "open"
    await give(other, incident=again["incident"])
    assert (await judged(one, unwritten(5)))[-1]["state"] == "silenced"


async def test_what_is_silent_cannot_be_called_real_before_its_rule_is_gone(replica: Replica) -> None:
    incident = (await rings(replica, unwritten(1)))["incident"]
    item = await give(replica, incident=incident)
    refused = await give(replica, 409, incident=incident, label="true_positive")
    assert f"DELETE /feedback/{item['id']}" in refused["error"]
    await undo(replica, item["id"])
    await give(replica, incident=incident, label="true_positive")


async def test_a_second_click_on_what_is_silent_says_which_one_silenced_it(replica: Replica) -> None:
    first, second = await rings(replica, unwritten(1)), await rings(replica, unwritten(2))
    item = await give(replica, incident=first["incident"], expires_in_s=60)
    assert item["id"] in (await give(replica, 409, incident=second["incident"], expires_in_s=30))["error"]
    await give(replica, incident=second["incident"])


async def test_a_missed_anomaly_is_kept_with_its_window_and_protected(replica: Replica, redis: Redis) -> None:
    rang = await rings(replica, [quarantined(1), *unwritten(2)])
    given = {"label": "missed", "source": "blocks", "session": "blk_2", "at": "2024-05-02T10:00:01Z"}
    case = await give(replica, **given)
    assert (case["at"], case["session"], case["author"]) == (1714644001.0, "blk_2", "ada")
    kept = (await rules.load(redis, "blocks")).cases[case["id"]]
    assert kept["window"]["templates"] == ["allocate <BLK> for <PATH>", "replica map updated with <BLK> at <IP>"]
    assert (kept["window"]["events"], kept["version"], kept["at"]) == (2, "1", 1714644001.0)
    refused = await give(replica, 409, incident=(await rings(replica, unwritten(3)))["incident"])
    assert (
        f"(session 'blk_2'); choose a narrower scope, or take that back first: DELETE /feedback/{case['id']}"
        in (refused["error"])
    )
    await give(replica, incident=rang["incident"])


@pytest.mark.parametrize("at", ["2024-05-02T09:59:00Z", "2024-05-03T10:00:00Z"])
async def test_a_missed_anomaly_of_another_time_is_gone(replica: Replica, at: str) -> None:
    await judged(replica, unwritten(2))
    refused = await give(replica, 410, label="missed", source="blocks", session="blk_2", at=at)
    assert "not kept any more" in refused["error"]
    await give(replica, 410, label="missed", source="blocks", session="blk_77", at="2024-05-02T10:00:01Z")


async def test_one_author_may_silence_so_much_an_hour_and_all_together_so_much(
    redis: Redis, redis_url: str, bundles: Path, clock: Clock
) -> None:
    limits = {"feedback_rules_per_author": 2, "feedback_rules_per_source": 3}
    async with running(redis_url, bundles, clock, **limits) as replica:
        found = [unwritten(1), forgotten(2), [quarantined(3)], [line("store.Names: overload of blk_4 ended")]]
        causes = [(await rings(replica, lines))["incident"] for lines in found]
        await give(replica, incident=causes[0])
        clock.now += 600
        second = await give(replica, incident=causes[1])

        async def refused(by: str, incident: str | None, says: str) -> int:
            response = await replica.http.post(
                "/feedback", json={"label": "false_positive", "incident": incident}, headers={"X-Tocsin-Author": by}
            )
            assert response.status_code == 429, response.text
            assert says in response.json()["error"]
            return int(response.headers["Retry-After"])

        assert await refused("ada", causes[2], "'ada' silenced 2 causes") == 3000
        await give(replica, headers={"X-Tocsin-Author": "bob"}, incident=causes[2])
        assert await refused("eve", causes[3], "everybody together silenced 3 causes") == 3000
        assert [entry["action"] for entry in (await replica.get("/feedback/audit"))["audit"]] == [
            "refuse", "give", "refuse", "give", "give",
        ]  # fmt: skip
        await undo(replica, second["id"])
        await give(replica, incident=causes[3])
        clock.now += 3601
        await give(replica, incident=causes[1])


async def test_an_author_who_answers_too_fast_is_told_to_wait(
    redis: Redis, redis_url: str, bundles: Path, clock: Clock
) -> None:
    async with running(redis_url, bundles, clock, feedback_per_minute=3) as replica:
        answer = {"label": "true_positive", "incident": "0123456789abcdef"}
        for _ in range(3):
            assert (await replica.http.post("/feedback", json=answer, headers=ADA)).status_code == 404
        response = await replica.http.post("/feedback", json=answer, headers=ADA)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "21")
        assert "'ada' gives more than 3 answers a minute" in response.json()["error"]
        assert (await replica.http.post("/feedback", json=answer)).status_code == 404
        clock.now += 20
        assert (await replica.http.post("/feedback", json=answer, headers=ADA)).status_code == 404
        assert (await replica.metrics())['tocsin_feedback_refused_total{reason="rate"}'] == 1


async def test_all_of_one_author_is_undone_in_one_call(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    eve = {"X-Tocsin-Author": "Zoë"}
    causes = [unwritten(1), forgotten(2), [quarantined(3)]]
    rang = [(await rings(one, lines))["incident"] for lines in causes]
    for incident, headers in zip(rang, (eve, eve, ADA), strict=True):
        encoded = {name: value.encode() for name, value in headers.items()}
        await give(one, headers=encoded, incident=incident)  # type: ignore[arg-type]
    assert (await judged(other, unwritten(5)))[-1]["state"] == "silenced"
    response = await other.http.delete("/feedback", params={"author": "Zoë"}, headers=ADA)
    assert response.status_code == 200, response.text
    assert len(response.json()["undone"]) == 2
    assert (await judged(one, unwritten(6)))[-1]["anomalous"]
    assert (await judged(one, [quarantined(7)]))[0]["state"] == "silenced"
    assert [await state_of(one, incident) for incident in rang] == ["open", "open", "silenced"]
    assert {item["author"] for item in (await one.get("/feedback"))["feedback"]} == {"ada"}
    trail = (await one.get("/feedback/audit"))["audit"]
    assert [(entry["action"], entry["author"]) for entry in trail] == [
        ("undo", "ada"), ("undo", "ada"), ("give", "ada"), ("give", "Zoë"), ("give", "Zoë"),
    ]  # fmt: skip
    assert trail[0]["given_by"] == "Zoë"
    assert (await other.http.delete("/feedback", params={"author": "nobody"})).json()["undone"] == []
    assert (await other.http.delete("/feedback")).status_code == 422


async def test_a_header_goes_before_the_name_in_the_body(replica: Replica) -> None:
    first, second = await rings(replica, unwritten(1)), await rings(replica, [quarantined(2)])
    assert (await give(replica, incident=first["incident"], author="mallory"))["author"] == "ada"
    assert (await give(replica, headers={}, incident=second["incident"], author=" bob "))["author"] == "bob"


async def test_rules_of_another_template_tree_silence_nothing_and_its_incidents_cannot_be_answered(
    replica: Replica, redis: Redis
) -> None:
    first = await rings(replica, unwritten(1))
    await give(replica, incident=first["incident"])
    snapshot = replica.core.sources.live["blocks"].tree.snapshot()
    await trees.replace(redis, "blocks", {**snapshot, "tree_id": "another"})
    assert (await judged(replica, unwritten(2)))[-1]["anomalous"]
    assert (await only(replica))["in_force"] is False
    assert "another template tree" in (await give(replica, 409, incident=first["incident"]))["error"]


async def test_a_value_is_silent_in_a_range_that_reaches_beyond_what_rang(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", every_kind_bundle())) as replica:
        by_detector: dict[str, str] = {}
        for verdict in await judged(replica, blocks.golden_log()):
            for reason in verdict["reasons"] if verdict["kind"] == "line" else []:
                by_detector.setdefault(reason["detector"], verdict["incident"] or "")
        item = await give(replica, incident=by_detector["deeplog_values"], scope="parameter")
        (clause,) = item["rule"]["clauses"]
        assert clause["detector"] == "deeplog_values"
        assert clause["low"] < 0.0 < clause["high"], "a pause of 0 s rang below the normal range"
        assert item["silences"] == [
            f"deeplog_values is silent on the same value from {clause['low']:g} to {clause['high']:g}"
        ]
        assert "timing" in item["still_ring"]


async def test_a_rule_about_a_timeframe_ends_after_a_week_where_nobody_says_when(
    replica: Replica, redis: Redis, clock: Clock
) -> None:
    tree = replica.core.sources.live["blocks"].tree.tree_id
    alarm = Clause("autolog", "timeframe", "ab", 2.0, 2.0)
    body = {"session": "a frame", "tree": tree, "reasons": [{"detector": "autolog"}], "window": []}
    effects = [
        incidents.Effect(name, orjson.dumps(body), 1.0, 1.0, (Cause(alarm, replace(alarm, high=9.0), True).encode(),))
        for name in ("a" * 16, "b" * 16)
    ]
    await incidents.apply(redis, "blocks", effects, clock.now)
    item = await give(replica, incident="a" * 16)
    assert item["expires"] == clock.now + 7 * 86_400
    assert item["silences"] == ["autolog is silent on the same entities up to 9"]
    await undo(replica, item["id"])
    assert (await give(replica, incident="b" * 16, scope="timeframe", expires_in_s=60))["expires"] == clock.now + 60


async def test_an_incident_without_a_cause_cannot_be_silenced(replica: Replica, redis: Redis, clock: Clock) -> None:
    tree = replica.core.sources.live["blocks"].tree.tree_id
    body = orjson.dumps({"session": "blk_1", "tree": tree, "reasons": [], "window": []})
    await incidents.apply(redis, "blocks", [incidents.Effect("c" * 16, body, 1.0, 1.0)], clock.now)
    assert "answer the incidents of its session 'blk_1'" in (await give(replica, 409, incident="c" * 16))["error"]


async def test_a_thousand_rules_are_read_once_and_looked_up(replica: Replica, redis: Redis) -> None:
    first = await rings(replica, unwritten(1))
    tree = replica.core.sources.live["blocks"].tree.tree_id
    clauses = [{"detector": "deeplog", "scope": "window", "match": "0"}]
    for i in range(1_000):
        clauses[0]["match"] = f"{i:016x}"
        await rules.put(
            redis, "blocks", f"r{i}", {"clauses": clauses, "expires": None, "tree": tree, "author": "x", "time": 0.0}
        )
    item = await give(replica, incident=first["incident"])
    assert (await judged(replica, unwritten(2)))[-1]["rule"] == item["id"]
    given = replica.core.sources.live["blocks"].given
    assert len(given.rules) == 1_001
    await judged(replica, unwritten(3))
    assert replica.core.sources.live["blocks"].given is given


async def test_a_rule_of_a_newer_version_is_left_out_and_the_others_hold(replica: Replica, redis: Redis) -> None:
    first = await rings(replica, unwritten(1))
    tree = replica.core.sources.live["blocks"].tree.tree_id
    strange = {"clauses": [{"detector": "deeplog", "scope": "galaxy", "match": "0"}], "expires": None, "tree": tree}
    await rules.put(redis, "blocks", "strange", strange)
    incident = await redis.hget(keys.incident_clauses("blocks"), str(first["incident"]))
    assert incident
    clause = {"detector": "deeplog", "scope": "template", "match": str(first["template_id"])}
    await rules.put(redis, "blocks", "plain", {"clauses": [clause], "expires": None, "tree": tree})
    assert (await judged(replica, unwritten(2)))[-1]["rule"] == "plain"


async def test_two_clicks_at_once_on_one_cause_make_one_rule(pair: tuple[Replica, Replica], redis: Redis) -> None:
    rang = [(await rings(pair[0], unwritten(block)))["incident"] for block in range(1, 9)]
    posts = [
        pair[i % 2].http.post("/feedback", json={"label": "false_positive", "incident": incident})
        for i, incident in enumerate(rang)
    ]
    statuses = sorted(response.status_code for response in await asyncio.gather(*posts))
    assert statuses == [201] + 7 * [409]
    assert len((await rules.load(redis, "blocks")).rules) == 1
    assert len((await pair[1].get("/feedback"))["feedback"]) == 1


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({"incident": "0123456789abcdef"}, 404, "no incident"),
        ({}, 422, "needs the incident"),
        ({"label": "missed", "session": "a"}, 422, "missed needs source, session and at"),
        ({"label": "missed", "source": "nowhere", "session": "a", "at": "2024-05-02T03:50:00Z"}, 404, "nowhere"),
        ({"label": "missed", "source": "blocks", "session": "a", "at": "noon"}, 422, "at"),
        ({"label": "missed", "source": "blocks", "session": "a", "at": 0, "incident": "x"}, 422, "about a session"),
        ({"incident": "x", "label": "perhaps"}, 422, "label"),
        ({"incident": "x", "scope": "universe"}, 422, "scope"),
        ({"incident": "x", "colour": 1}, 422, "colour"),
        ({"incident": "x", "label": "true_positive", "scope": "window"}, 422, "what a false_positive silences"),
        ({"incident": "x", "label": "true_positive", "expires_in_s": 5}, 422, "what a false_positive silences"),
        ({"incident": "x", "expires_in_s": 0}, 422, "expires_in_s"),
        ({"incident": "x", "expires_in_s": 1e12}, 422, "expires_in_s"),
        ({"incident": "x", "note": "n" * 100_000}, 422, "note"),
        ({"incident": "x", "note": "a\x1b[31mred"}, 422, "control characters"),
        ({"incident": "x", "author": "a" * 100_000}, 422, "author"),
        ({"incident": "x", "author": "root\u202e"}, 422, "letters that can be seen"),
        ({"incident": "x", "author": " \t"}, 422, "letters that can be seen"),
    ],
)
async def test_wrong_feedback_is_refused_with_what_to_do(
    replica: Replica, given: dict[str, Any], status: int, says: str
) -> None:
    assert says in (await give(replica, status, **given))["error"]
    assert (await replica.get("/feedback"))["feedback"] == []
    assert (await replica.get("/feedback/audit"))["audit"] == []


@pytest.mark.parametrize("author", [b"a" * 100_000, b"", b"  ", b"a\x1b[31m", b"\xe2\x80\xae", b"\xff\xfe" * 60])
async def test_a_name_that_cannot_be_shown_is_refused(replica: Replica, author: bytes) -> None:
    headers = {"X-Tocsin-Author": author}
    answer = {"label": "true_positive", "incident": "0123456789abcdef"}
    for response in (
        await replica.http.post("/feedback", json=answer, headers=headers),  # type: ignore[arg-type]
        await replica.http.delete("/feedback/0123456789abcdef", headers=headers),  # type: ignore[arg-type]
    ):
        assert response.status_code == 422, response.text
        assert response.json()["error"]


async def test_feedback_for_a_source_that_is_still_learning(replica: Replica, redis: Redis) -> None:
    config = (await sources.get(redis, "blocks")) or blocks.source("fresh").to_dict()
    response = await replica.http.put("/sources/fresh", json=config)
    assert response.status_code == 200, response.text
    response = await replica.http.post("/ingest", json={"source": "fresh", "lines": unwritten(1)})
    assert {verdict["state"] for verdict in response.json()["verdicts"]} == {"learning"}
    case = await give(replica, label="missed", source="fresh", session="blk_1", at="2024-05-02T10:00:00Z")
    assert (await rules.load(redis, "fresh")).cases[case["id"]]["clauses"] == []
