"""What one named author alone calls a false alarm is silent only so often; from then on it takes a second."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.verdict import Verdict
from service.state import lessons
from tests.service.serving import Replica, blocks_bundle, running, stored


def named(author: str) -> dict[str, str]:
    return {"X-Tocsin-Author": author}


def line(message: str, second: int = 0) -> str:
    return f"240502 10{second // 60:02d}{second % 60:02d} 21 INFO {message}"


def quarantined(block: int) -> list[str]:
    """A new event."""
    return [line(f"store.Names: quarantine of blk_{block} ordered by operator al")]


def unwritten(block: int) -> list[str]:
    """Mapped before anything was stored."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: replica map updated with blk_{block} at 10.0.0.9:5001", 1),
    ]


async def last(replica: Replica, lines: list[str]) -> Verdict:
    return list((await replica.ingest("blocks", lines))["verdicts"])[-1]


async def give(replica: Replica, author: str | None, incident: str | None, status: int = 201, **more: Any) -> Any:
    body = {"label": "false_positive", "incident": incident, **more}
    response = await replica.http.post("/feedback", json=body, headers=named(author) if author else {})
    assert response.status_code == status, response.text
    return response.json()


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return stored(tmp_path / "bundles", blocks_bundle())


@pytest.fixture
async def pair(redis: Redis, redis_url: str, bundles: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas over one Redis, with the default limits."""
    await redis.ping()
    async with running(redis_url, bundles) as one, running(redis_url, bundles) as other:
        yield one, other


async def test_one_author_silences_four_verdicts_and_a_second_author_lets_it_stay_silent(
    pair: tuple[Replica, Replica], redis: Redis
) -> None:
    one, other = pair
    rang = (await last(one, quarantined(1)))["incident"]
    item = await give(one, "ada", rang)
    assert (item["state"], item["needs"]) == ("trial", "the same answer of an author other than 'ada'")
    found = [await last((one, other)[block % 2], quarantined(block)) for block in range(2, 8)]
    assert [verdict["state"] for verdict in found] == ["silenced"] * 4 + ["scored"] * 2
    assert all(verdict["anomalous"] for verdict in found[4:])
    (listed,) = (await other.get("/feedback"))["feedback"]
    assert (listed["state"], listed["in_force"], listed["hits"]) == ("pending", False, 4)
    (waits,) = (await other.get(f"/incidents/{rang}"))["on_trial"]
    assert waits == {"feedback": item["id"], "author": "ada", "state": "pending", "needs": item["needs"]}
    assert "silences this already" in (await give(one, "ada", found[4]["incident"], 409))["error"]
    assert await lessons.waiting(redis, "blocks") == 0
    agreed = await give(other, "bob", found[5]["incident"])
    assert agreed["agrees"] == [item["id"]]
    assert [(await last(one, quarantined(block)))["state"] for block in range(8, 16)] == ["silenced"] * 8
    assert (await one.get(f"/incidents/{rang}"))["on_trial"] == []
    assert [waiting.id for waiting in await lessons.read(redis, "blocks")] == [item["id"]]
    assert (await one.get(f"/incidents/{rang}"))["state"] == "silenced"
    # Whoever agreed may think better of it.
    assert (await one.http.delete(f"/feedback/{agreed['id']}", headers=named("bob"))).status_code == 200
    assert (await last(other, quarantined(20)))["anomalous"]


async def test_whoever_calls_all_that_is_true_false_hides_no_more_than_that_and_is_undone_in_one_call(
    pair: tuple[Replica, Replica],
) -> None:
    one, other = pair
    rang = 0
    for block in range(100, 126):
        verdict = await last(one if block % 4 < 2 else other, (quarantined if block % 2 else unwritten)(block))
        if verdict["anomalous"]:
            rang += 1
            body = {"label": "false_positive", "incident": verdict["incident"]}
            response = await one.http.post("/feedback", json=body, headers=named("mallory"))
            assert response.status_code in (201, 409), response.text
    assert rang >= 26 - 4
    clean = (await one.http.delete("/feedback", params={"author": "mallory"}, headers=named("ada"))).json()
    assert clean["undone"]
    assert (await last(one, quarantined(200)))["anomalous"]
    assert (await last(other, unwritten(201)))["anomalous"]
    # What he silenced stays counted: the next answer of his silences nothing.
    again = await give(one, "mallory", (await last(one, quarantined(202)))["incident"])
    assert again["state"] == "pending"
    assert (await one.get(f"/incidents/{again['incident']}"))["state"] == "open"
    assert (await last(one, quarantined(203)))["anomalous"]


async def test_a_second_author_cannot_agree_to_what_was_protected_since(pair: tuple[Replica, Replica]) -> None:
    one, other = pair
    rang = (await last(one, quarantined(1)))["incident"]
    item = await give(one, "ada", rang)
    for block in range(2, 6):
        await last(other, quarantined(block))
    again = (await last(one, quarantined(6)))["incident"]
    real = await one.http.post("/feedback", json={"label": "true_positive", "incident": again}, headers=named("bob"))
    assert real.status_code == 201, real.text
    assert "'bob' called a real anomaly" in (await give(other, "eve", rang, 409))["error"]
    assert item["id"] in {found["id"] for found in (await one.get("/feedback"))["feedback"]}


async def test_who_says_something_else_agrees_to_nothing(pair: tuple[Replica, Replica]) -> None:
    one, _ = pair
    await give(one, "ada", (await last(one, quarantined(1)))["incident"])
    item = await give(one, "bob", (await last(one, unwritten(2)))["incident"])
    assert "agrees" not in item
    assert item["state"] == "trial"


@pytest.mark.parametrize(("author", "alone"), [(None, 4), ("ada", -1)])
async def test_nobody_needs_a_second_where_nobody_is_named_or_the_setting_says_so(
    redis: Redis, redis_url: str, bundles: Path, author: str | None, alone: int
) -> None:
    await redis.ping()
    async with running(redis_url, bundles, feedback_alone=alone) as replica:
        item = await give(replica, author, (await last(replica, quarantined(1)))["incident"])
        assert "state" not in item
        assert [(await last(replica, quarantined(block)))["state"] for block in range(2, 10)] == ["silenced"] * 8
        assert await lessons.waiting(redis, "blocks") == 1


async def test_where_none_is_one_authors_alone_each_answer_waits(redis: Redis, redis_url: str, bundles: Path) -> None:
    await redis.ping()
    async with running(redis_url, bundles, feedback_alone=0) as replica:
        rang = (await last(replica, quarantined(1)))["incident"]
        assert (await give(replica, "ada", rang))["state"] == "pending"
        assert (await last(replica, quarantined(2)))["anomalous"]
        await give(replica, "bob", rang)
        assert (await last(replica, quarantined(3)))["state"] == "silenced"
