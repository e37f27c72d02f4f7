"""From a line to a notice: what rings is told, history is not, and what could not be delivered can be looked at."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from models.errors import ConfigError
from service.state import keys
from tests.golden import blocks
from tests.service.notify.conftest import HANG, Answer, HttpPeer, peer
from tests.service.notify.conftest import other_peer as other_peer
from tests.service.serving import Replica, blocks_bundle, running, stored, until

PATIENCE_S = 60.0
__all__ = ["peer"]
KEY = {"Idempotency-Key": "one"}


def notify(folder: Path, *urls: str, **more: Any) -> Path:
    path = folder / "notify.yaml"
    budget = {"notices": 1000}
    hooks = [
        {"name": f"hook{i}", "kind": "webhook", "url": url, "retry_s": 0.01, "timeout_s": 60, **more}
        for i, url in enumerate(urls)
    ]
    path.write_bytes(orjson.dumps({"budget": budget, "notifiers": hooks}))
    return path


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path, peer: HttpPeer) -> AsyncIterator[Replica]:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, notify=notify(tmp_path, peer.url)) as replica:
        yield replica


async def listed(replica: Replica) -> list[str]:
    return sorted(incident["id"] for incident in (await replica.get("/incidents", limit=1000))["incidents"])


def unheard(number: int) -> str:
    """A line that rings at once."""
    return f"240601 000000 12 INFO store.Node: unheard of blk_{number}"


def begun(number: int, at: str) -> str:
    """The one line of a session whose end rings, as nothing followed."""
    return f"{at} 21 INFO store.Names: allocate blk_{number} for /jobs/3/part-4"


async def told(peer: HttpPeer, count: int) -> list[str]:
    await until(lambda: len(peer.requests) >= count, f"{count} notices came", PATIENCE_S)
    return sorted(peer.incidents)


async def test_all_that_rings_is_told_once(replica: Replica, peer: HttpPeer) -> None:
    for _ in range(2):
        answer = await replica.ingest("blocks", blocks.golden_log(), headers=KEY)
    await replica.core.sweep()
    found = await listed(replica)
    assert len(found) > 3
    assert {verdict["incident"] for verdict in answer["verdicts"] if verdict["incident"]} <= set(found)
    assert await told(peer, len(found)) == found
    assert len(set(peer.deliveries)) == len(found)


@pytest.mark.parametrize("how", [{}, {"headers": KEY}], ids=["once", "with a key"])
async def test_history_is_scored_and_nobody_is_told_also_when_its_sessions_close(
    redis: Redis, replica: Replica, peer: HttpPeer, how: dict[str, Any]
) -> None:
    # The last session is open until live lines move the clock on.
    lines = [*blocks.golden_log(), begun(8001, "240530 000010")]
    answer = await replica.ingest("blocks", lines, params={"mode": "backfill"}, **how)
    assert any(verdict["anomalous"] for verdict in answer["verdicts"])
    await replica.core.sweep()
    history = {one["session"] for one in (await replica.get("/incidents"))["incidents"]}
    assert len(history) > 3
    assert "blk_8001" not in history
    assert await redis.xlen(keys.outbox("blocks")) == 0
    # What comes now is told, and so is what comes of the end of what began now.
    await replica.ingest("blocks", [begun(8002, "240531 000010"), unheard(7001)])
    await replica.core.sweep()
    now = {one["session"]: one["id"] for one in (await replica.get("/incidents"))["incidents"]}
    assert set(now) == history | {"blk_8001", "blk_8002", "blk_7001"}
    news = sorted([now["blk_8002"], now["blk_7001"]])
    assert await told(peer, 2) == news
    assert await redis.xlen(keys.outbox("blocks")) == 2


async def test_a_key_that_was_used_live_is_refused_for_history(replica: Replica) -> None:
    body = {"source": "blocks", "lines": [unheard(7001)]}
    assert (await replica.http.post("/ingest", json=body, headers=KEY)).status_code == 200
    again = await replica.http.post("/ingest", json=body, headers=KEY, params={"mode": "backfill"})
    assert again.status_code == 422
    wrong = await replica.http.post("/ingest", json=body, params={"mode": "dry"})
    assert wrong.status_code == 422


async def test_a_peer_that_hangs_holds_up_no_other(
    redis: Redis, redis_url: str, tmp_path: Path, peer: HttpPeer, other_peer: HttpPeer
) -> None:
    peer.otherwise = Answer(HANG)
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    path = notify(tmp_path, peer.url, other_peer.url)
    async with running(redis_url, bundles, notify=path) as replica:
        for number in range(3):
            await replica.ingest("blocks", [unheard(7000 + number)])
            assert len(await told(other_peer, number + 1)) == number + 1
        await until(lambda: peer.requests, "the other was called", PATIENCE_S)
        answer = await replica.get("/notifications")
        assert {one["name"]: one["dead"] for one in answer["notifiers"]} == {"hook0": 0, "hook1": 0}


async def test_dead_notices_are_listed_tried_again_and_forgotten(replica: Replica, peer: HttpPeer) -> None:
    peer.otherwise = Answer(404, body=b"no such hook")
    await replica.ingest("blocks", [unheard(7001), unheard(7002)])

    async def dead(count: int) -> bool:
        return len((await replica.get("/notifications/dead"))["dead"]) == count

    await until(lambda: dead(2), "both are dead", PATIENCE_S)
    listed_dead = (await replica.get("/notifications/dead", notifier="hook0"))["dead"]
    assert {(one["source"], one["why"], one["reason"]) for one in listed_dead} == {
        ("blocks", "refused", "status 404: no such hook")
    }
    [described] = (await replica.get("/notifications"))["notifiers"]
    assert (described["address"], described["waiting"], described["dead"]) == (peer.url, 0, 2)
    peer.otherwise = Answer(200)
    assert (await replica.http.post("/notifications/dead/retry")).json() == {"retried": 2}
    await until(lambda: len(peer.requests) == 4, "both were tried again", PATIENCE_S)
    assert len(set(peer.deliveries)) == 2
    peer.otherwise = Answer(404)
    await replica.ingest("blocks", [unheard(7003)])
    await until(lambda: dead(1), "the third is dead", PATIENCE_S)
    assert (await replica.http.delete("/notifications/dead")).json() == {"dropped": 1}
    assert await dead(0)


async def test_a_test_notice_says_whether_it_arrived(replica: Replica, peer: HttpPeer) -> None:
    assert (await replica.http.post("/notifications/hook0/test")).json() == {"sent": True}
    assert peer.requests[0].json["kind"] == "test"
    peer.otherwise = Answer(403, body=b"who are you")
    refused = await replica.http.post("/notifications/hook0/test")
    assert (refused.status_code, refused.json()["error"]) == (502, "notifier hook0: status 403: who are you")
    assert (await replica.http.post("/notifications/other/test")).status_code == 404
    assert (await replica.http.get("/notifications/dead", params={"notifier": "other"})).status_code == 404
    foreign = await replica.http.post("/notifications/hook0/test", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


async def test_without_notifiers_nothing_is_told_and_calls_say_so(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        assert (await replica.get("/notifications")) == {"notifiers": []}
        refused = await replica.http.post("/notifications/hook0/test")
        assert refused.status_code == 422
        assert "TOCSIN_NOTIFY" in refused.json()["error"]


async def test_a_wrong_file_keeps_the_service_from_starting(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "notify.yaml"
    path.write_text("notifiers: [{name: a, kind: webhook}]")
    with pytest.raises(ConfigError, match="give it one of url"):
        async with running(redis_url, tmp_path / "bundles", notify=path):
            pass


async def test_notices_go_on_where_a_service_that_was_stopped_left_them(
    redis: Redis, redis_url: str, tmp_path: Path, peer: HttpPeer
) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    path = notify(tmp_path, peer.url)
    peer.otherwise = Answer(500)
    async with running(redis_url, bundles, notify=path) as replica:
        await replica.ingest("blocks", [unheard(7001)])
        await until(lambda: peer.requests, "it was tried", PATIENCE_S)
    peer.otherwise = Answer(200)
    tried = len(peer.requests)
    async with running(redis_url, bundles, notify=path) as replica:
        await until(lambda: len(peer.requests) > tried, "it was tried again", PATIENCE_S)
    assert len(set(peer.deliveries)) == 1
