"""What goes through the durable queue is judged as it would have been at once, once, and in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from service.state import dead, keys, queue
from tests.golden import blocks
from tests.service.serving import (
    PROCESS_PATIENCE_S,
    Replica,
    batches_of,
    blocks_bundle,
    later_shop_lines,
    running,
    shop_bundle,
    stored,
    until,
)

LINES = blocks.golden_log()


async def accept(replica: Replica, source: str, lines: list[str], **how: Any) -> dict[str, Any]:
    """A batch that must be accepted."""
    headers = how.pop("headers", {})
    response = await replica.http.post(
        "/ingest", params={"wait": "false", **how}, json={"source": source, "lines": lines}, headers=headers
    )
    assert response.status_code == 202, response.text
    return dict(response.json())


async def done(replica: Replica, batch: str) -> dict[str, Any]:
    """What a batch came to, once it is done, in small pages."""
    found: dict[str, Any] = {}

    async def is_done() -> bool:
        nonlocal found
        found = await replica.get("/verdicts", batch=batch, limit=100)
        return bool(found["state"] == "done")

    await until(is_done, f"batch {batch} is done", PROCESS_PATIENCE_S)
    verdicts = found["verdicts"]
    page = found
    while page["next"] is not None:
        page = await replica.get("/verdicts", batch=batch, limit=100, since=page["next"])
        verdicts = verdicts + page["verdicts"]
    return {**found, "verdicts": verdicts}


def plain(verdicts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must be equal of verdicts, in an order of their own. A template that is being learned has another text with
    each line that widens it, and partitions are read in no order."""
    told = [
        (v["index"], v["kind"], v["session"], None if v["novel"] else v["template"], v["anomalous"], v["score"])
        for v in verdicts
    ]
    return sorted(told, key=repr)


async def swept(replica: Replica) -> None:
    """Close what is due, and wait for a sweep in the background that was faster."""
    await replica.core.sweep()
    for live in replica.core.sources.live.values():
        async with live.lock:
            pass


async def test_queue_gives_the_verdicts_that_waiting_gives(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())
    shop = later_shop_lines(1_200)
    given = [("blocks", LINES[at : at + 150]) for at in range(0, len(LINES), 150)]
    given += [("shop", lines) for lines in batches_of(shop_bundle().source, shop, 300)]
    async with running(redis_url, bundles) as replica:
        waited = [await replica.ingest(source, lines) for source, lines in given]
        await swept(replica)
        ends = {source: plain(await replica.ends(source)) for source in ("blocks", "shop")}
        incidents = await replica.get("/incidents", limit=1000)
    await redis.flushall()
    async with running(redis_url, bundles) as replica:
        batches = [(await accept(replica, source, list(lines)))["batch"] for source, lines in given]
        for batch, at_once in zip(batches, waited, strict=True):
            found = await done(replica, batch)
            lines = [v for v in found["verdicts"] if v["index"] is not None]
            assert plain(lines) == plain([v for v in at_once["verdicts"] if v["index"] is not None])
            assert found["failed"] == []
        await swept(replica)
        for source, expected in ends.items():
            assert plain(await replica.ends(source)) == expected
        queued = await replica.get("/incidents", limit=1000)
        assert sorted((i["session"], i["count"]) for i in queued["incidents"]) == sorted(
            (i["session"], i["count"]) for i in incidents["incidents"]
        )


async def test_records_with_sessions_times_and_ends_go_through_the_queue(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Sessions are the callers' own here, times a second apart, and every tenth record is an end."""
    records: list[dict[str, Any]] = []
    for number, line in enumerate(LINES[:200]):
        records.append({"line": line, "session": f"own {number % 7}", "timestamp": 1_700_000_000 + number})
        if number % 10 == 9:
            records.append({"session": f"own {number % 7}", "end": True})
    bodies = [{"source": "blocks", "records": records[at : at + 37]} for at in range(0, len(records), 37)]
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles) as replica:
        waited = [(await replica.http.post("/ingest", json=body)).json() for body in bodies]
        await swept(replica)
        ends = plain(await replica.ends("blocks"))
    await redis.flushall()
    async with running(redis_url, bundles) as replica:
        for body, at_once in zip(bodies, waited, strict=True):
            accepted = (await replica.http.post("/ingest?wait=false", json=body)).json()
            assert plain((await done(replica, accepted["batch"]))["verdicts"]) == plain(at_once["verdicts"])
        await swept(replica)
        assert plain(await replica.ends("blocks")) == ends


async def test_rejected_lines_are_told_at_once_and_the_others_are_judged(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        accepted = await accept(replica, "blocks", [LINES[0], "no header", LINES[1]])
        assert (accepted["received"], [line["index"] for line in accepted["rejected"]]) == (3, [1])
        found = await done(replica, accepted["batch"])
        assert {v["index"] for v in found["verdicts"]} == {0, 2}
        assert found["rejected"] == accepted["rejected"]
        body = {"source": "blocks", "lines": ["no header", "nor here"]}
        refused = await replica.http.post("/ingest?wait=false", json=body)
        assert (refused.status_code, refused.json()["batch"]) == (422, None)
        assert [line["index"] for line in refused.json()["rejected"]] == [0, 1]
        metrics = await replica.metrics()
        assert metrics['tocsin_rejected_lines_total{source="blocks"}'] == 3
        assert metrics['tocsin_lines_total{source="blocks"}'] == 5


async def test_wanted_verdicts_are_those_that_are_kept(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        none = await accept(replica, "blocks", LINES[:300], verdicts="none")
        some = await accept(replica, "blocks", LINES[300:], verdicts="anomalous")
        assert (await done(replica, none["batch"]))["verdicts"] == []
        verdicts = (await done(replica, some["batch"]))["verdicts"]
        assert verdicts
        assert all(verdict["anomalous"] for verdict in verdicts)


async def test_a_key_names_one_batch(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    key = {"Idempotency-Key": "the first"}
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        first = await accept(replica, "blocks", LINES[:50], headers=key)
        assert await accept(replica, "blocks", LINES[:50], headers=key) == first
        for query, lines in (
            ("wait=false", LINES[:51]),
            ("wait=true", LINES[:50]),
            ("wait=false&verdicts=none", LINES[:50]),
        ):
            body = {"source": "blocks", "lines": lines}
            assert (await replica.http.post(f"/ingest?{query}", json=body, headers=key)).status_code == 422
        assert (await accept(replica, "blocks", LINES[50:100]))["batch"] != first["batch"]
        await done(replica, first["batch"])
        metrics = await replica.metrics()
        assert metrics['tocsin_lines_total{source="blocks"}'] == 100


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("batch=blocks:0123456789abcdef", 404),
        ("batch=0123456789abcdef", 422),
        ("batch=blocks:*", 422),
        ("batch=blocks:00&source=shop", 422),
        ("batch=blocks:00&since=-1", 422),
        ("", 422),
    ],
)
async def test_batches_that_are_none_are_refused(
    redis: Redis, redis_url: str, tmp_path: Path, query: str, status: int
) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle())) as replica:
        response = await replica.http.get(f"/verdicts?{query}")
        assert response.status_code == status
        assert response.json()["error"]


@asynccontextmanager
async def stalled(replica: Replica) -> AsyncIterator[None]:
    """Nothing is judged meanwhile."""
    async with replica.core.sources.live["blocks"].lock:
        yield


async def test_a_full_queue_says_when_to_come_again(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, durable_queue_lines=100) as replica:
        async with stalled(replica):
            first = await accept(replica, "blocks", LINES[:90])
            body = {"source": "blocks", "lines": LINES[90:140]}
            full = await replica.http.post("/ingest?wait=false", json=body)
            assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
            assert "wait to be judged" in full.json()["error"]
            assert (await replica.get("/verdicts", batch=first["batch"]))["state"] == "queued"
            assert (await replica.get("/verdicts", batch=first["batch"]))["left"] > 0
        await done(replica, first["batch"])
        await accept(replica, "blocks", LINES[90:140])
    assert await redis.exists(keys.queue_bell("blocks"))


async def test_nothing_is_accepted_that_must_be_safe_and_is_not(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, require_durable=True) as replica:
        assert "wait=false" not in (await replica.get("/readyz"))["problems"]
        body = {"source": "blocks", "lines": LINES[:10]}
        refused = await replica.http.post("/ingest?wait=false", json=body)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert "no append-only file" in refused.json()["error"]
        assert "no append-only file" in (await replica.get("/readyz"))["problems"]["wait=false"]


async def test_poison_goes_to_the_dead_and_what_is_behind_it_goes_on(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """An entry is damaged in Redis, as one of another version would look."""
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, queue_tries=2) as replica:
        async with stalled(replica):
            first = await accept(replica, "blocks", LINES[:1])
            [p] = [p for p, depth in enumerate(await queue.depths(redis, "blocks")) if depth.entries]
            batch = "0" * 32
            head = orjson.dumps({"received": 1, "rejected": [], "lines": {str(p): 1}})
            await queue.arrive(redis, "blocks", batch, head, 0.0, 1.0)
            await queue.add(redis, "blocks", batch, [queue.Piece(p, 1, b"damaged")], prior=0.0, newest=0.0, arrival=1.0)
            await queue.arrived(redis, "blocks", batch, 0.0)
            last = await accept(replica, "blocks", LINES[:1])
        assert (await done(replica, first["batch"]))["failed"] == []
        assert (await done(replica, last["batch"]))["failed"] == []
        found = await done(replica, f"blocks:{batch}")
        assert [(one["lines"], "cannot be read" in one["reason"]) for one in found["failed"]] == [(1, True)]
        [buried] = await dead.everyone(redis, "blocks", 10)
        assert buried.entry.data == b"damaged"
        assert sum(depth.lines for depth in await queue.depths(redis, "blocks")) == 0


async def test_replicas_share_the_partitions_and_one_takes_over_from_the_other(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())

    def held(replica: Replica) -> int:
        return len(replica.core.queue.held("blocks"))

    async with running(redis_url, bundles) as one:
        await done(one, (await accept(one, "blocks", LINES[:100]))["batch"])
        assert held(one) == keys.PARTITIONS
        async with running(redis_url, bundles) as two:
            await until(lambda: held(one) == held(two) == keys.PARTITIONS // 2, "each has its share")
            batches = [(await accept(one, "blocks", LINES[at : at + 60]))["batch"] for at in range(100, 340, 60)]
            for batch in batches:
                await done(two, batch)
        await until(lambda: held(one) == keys.PARTITIONS, "one has all again")
        await done(one, (await accept(one, "blocks", LINES[340:]))["batch"])
