"""What the rules that clicks make cover, and which feedback is refused."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from models.rules import Clause
from service.incidents.causes import Cause
from service.state import incidents, keys, rules, sources, trees
from tests.golden import blocks
from tests.service.clicks import Clock, give, judged, only, rings, undo, unwritten
from tests.service.serving import Replica, every_kind_bundle, running, stored


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
