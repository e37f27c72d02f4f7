"""Idempotency-Key: a repeated request gets the first one's answer; a failure in the middle leaves nothing double."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from service.state import answers, incidents, trees, verdicts, watermark, windows
from tests.golden import blocks
from tests.service.serving import Link, Replica, blocks_bundle, running, stored, until

KEY = {"Idempotency-Key": "a batch"}


def body(*lines: str, source: str = "blocks") -> dict[str, Any]:
    return {"source": source, "lines": list(lines)}


async def test_same_key_and_body_gives_the_same_bytes_and_no_second_effect(replica: Replica) -> None:
    lines = blocks.golden_log()
    first = await replica.http.post("/ingest", json=body(*lines), headers=KEY)
    found = await replica.get("/incidents", source="blocks")
    ends = await replica.ends("blocks")
    counted = (await replica.metrics())['tocsin_lines_total{source="blocks"}']
    second = await replica.http.post("/ingest", json=body(*lines), headers=KEY)
    assert (second.status_code, second.content) == (first.status_code, first.content) != (422, b"")
    assert await replica.get("/incidents", source="blocks") == found
    assert found["incidents"]
    assert await replica.ends("blocks") == ends != []
    assert (await replica.metrics())['tocsin_lines_total{source="blocks"}'] == counted


async def test_a_retry_that_is_compressed_otherwise_is_the_same_request(replica: Replica) -> None:
    plain = orjson.dumps(body(*blocks.golden_log()[:20]))
    how = {**KEY, "Content-Type": "application/json"}
    first = await replica.http.post("/ingest", content=plain, headers=how)
    assert first.status_code == 200
    for level in (1, 9):
        packed = gzip.compress(plain, level, mtime=level)
        again = await replica.http.post("/ingest", content=packed, headers={**how, "Content-Encoding": "gzip"})
        assert (again.status_code, again.content) == (200, first.content)


async def test_a_refused_batch_is_repeated_with_its_status(replica: Replica) -> None:
    first = await replica.http.post("/ingest", json=body("no header"), headers=KEY)
    second = await replica.http.post("/ingest", json=body("no header"), headers=KEY)
    assert first.status_code == second.status_code == 422
    assert first.content == second.content


async def test_same_key_with_another_body_or_other_verdicts_is_refused(replica: Replica) -> None:
    line = blocks.golden_log()[0]
    assert (await replica.http.post("/ingest", json=body(line), headers=KEY)).status_code == 200
    other = await replica.http.post("/ingest", json=body(line, line), headers=KEY)
    assert other.status_code == 422
    assert "use a new key" in other.json()["error"]
    fewer = await replica.http.post("/ingest?verdicts=none", json=body(line), headers=KEY)
    assert fewer.status_code == 422


async def test_same_key_for_another_source_is_another_batch(replica: Replica) -> None:
    line = blocks.golden_log()[0]
    assert (await replica.http.post("/ingest", json=body(line), headers=KEY)).status_code == 200
    other = await replica.http.post("/ingest", json=body(line, source="shop"), headers=KEY)
    assert other.json()["source"] == "shop"


async def test_a_second_request_while_the_first_is_under_way_is_told_to_wait(replica: Replica) -> None:
    line = blocks.golden_log()[0]
    async with replica.core.sources.live["blocks"].lock:
        first = asyncio.create_task(replica.http.post("/ingest", json=body(line), headers=KEY))
        waiting = replica.core._workers["blocks"]
        await until(lambda: not waiting._waiting and waiting._arrived.is_set(), "the first request is in the worker")
        second = await replica.http.post("/ingest", json=body(line), headers=KEY)
        assert second.status_code == 409
        assert 1 <= int(second.headers["Retry-After"]) <= 30
    assert (await first).status_code == 200
    third = await replica.http.post("/ingest", json=body(line), headers=KEY)
    assert third.content == (await first).content


STEPS = {
    "begin": watermark.BEGIN,
    "learn": trees.PUBLISH,
    "append": windows.APPEND,
    "peaks": windows.RAISE_PEAKS,
    "incidents": incidents.APPLY,
    "verdicts": verdicts.APPEND,
    "finish": answers.FINISH,
}


def told(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Verdicts as far as they do not depend on when a tree version was made."""
    return [{**verdict, "template_id": None} for verdict in answer["verdicts"]]


async def left_behind(replica: Replica) -> tuple[object, ...]:
    """What of a batch stays in Redis, once what it made due is closed."""
    await replica.core.sweep()
    page = await replica.get("/incidents", source="blocks")
    found = sorted((i["id"], i["count"], i["score"], i["first_seen"], i["last_seen"]) for i in page["incidents"])
    live = (await replica.get("/sources"))["sources"]
    ends = sorted(await replica.ends("blocks"), key=lambda end: (end["last"], end["session"]))
    return found, ends, [s["sessions"] for s in live if s["name"] == "blocks"]


@pytest.mark.parametrize("seen_by_redis", [False, True], ids=["before redis sees it", "before its reply is back"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_retry_after_a_broken_connection_gives_what_an_undisturbed_run_gives(
    redis: Redis, redis_url: str, tmp_path: Path, step: str, seen_by_redis: bool
) -> None:
    """The link to Redis breaks at one step of the second batch; the retry must heal it without a trace.

    Between the two silent sessions are closed, as they are every second: none whose lines the broken batch holds.
    """
    lines = blocks.golden_log()
    # Strange sessions that stay live are in the first third, new templates and incidents in the rest.
    first, disturbed = (lines[:20], lines[20:149]) if step == "peaks" else (lines[:89], lines[89:])
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles) as replica:
        await replica.ingest("blocks", first)
        expected = await replica.ingest("blocks", disturbed, headers=KEY)
        trace = await left_behind(replica)
    await redis.flushall()
    async with Link(redis_url) as link, running(link.url, bundles) as replica:
        await replica.ingest("blocks", first)
        for script in STEPS.values():
            await redis.script_load(script.text)
        link.break_once(STEPS[step].sha, seen_by_redis=seen_by_redis)
        failed = await replica.http.post("/ingest", json=body(*disturbed), headers=KEY)
        assert link.broke
        assert failed.status_code == 503
        assert failed.headers["Retry-After"]
        assert "verdicts" not in failed.json()

        async def connected() -> bool:
            return bool((await replica.http.get("/readyz")).json()["ready"])

        await until(connected, "the service noticed that Redis is back")
        await replica.core.sweep()
        retried = await replica.http.post("/ingest", json=body(*disturbed), headers=KEY)
        assert retried.status_code == 200, retried.text
        assert told(retried.json()) == told(expected)
        assert await left_behind(replica) == trace


async def test_a_sweep_that_broke_off_is_reported_by_the_next_one(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    late = [0.0]
    async with Link(redis_url) as link, running(link.url, bundles, lambda: late[0] + 1_800_000_000.0) as replica:
        lines = [line for line in blocks.golden_log() if "blk_1002" in line and "deleted" not in line]
        await replica.ingest("blocks", lines)
        await redis.script_load(verdicts.APPEND.text)
        link.break_once(verdicts.APPEND.sha, seen_by_redis=False)
        late[0] = 10 * blocks.IDLE_S
        await until(lambda: link.broke, "the background sweep found the silent session")

        async def reported() -> bool:
            response = await replica.http.get("/verdicts", params={"source": "blocks"})
            return response.status_code == 200 and len(response.json()["verdicts"]) > 0

        await until(reported, "the closed session was reported")
        assert [verdict["session"] for verdict in await replica.ends("blocks")][:1] == ["blk_1002"]
