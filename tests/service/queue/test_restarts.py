"""Processes and Redis end at any moment: what was accepted is judged all the same, once."""

import asyncio
import os
import signal
import time
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.state import keys, queue
from service.state.connection import open_client
from service.state.embedded import EmbeddedRedis
from tests.golden import blocks
from tests.service.queue.test_queue import accept, done, plain, swept
from tests.service.serving import PROCESS_PATIENCE_S, Child, Link, Replica, blocks_bundle, running, stored, until

LINES = blocks.golden_log()
SIZE = 100


async def undisturbed(redis: Redis, redis_url: str, bundles: Path) -> dict[str, Any]:
    """Verdicts of every batch, of ended sessions, and how often each session rang, where nothing happens."""
    async with running(redis_url, bundles, time.time) as replica:
        batches = [await accept(replica, "blocks", LINES[at : at + SIZE]) for at in range(0, len(LINES), SIZE)]
        found = await all_of(replica, [batch["batch"] for batch in batches])
    await redis.flushall()
    return found


async def all_of(replica: Any, batches: list[str]) -> dict[str, Any]:
    lines = [plain([v for v in (await done(replica, b))["verdicts"] if v["index"] is not None]) for b in batches]
    await swept(replica)
    incidents = (await replica.get("/incidents", limit=1000))["incidents"]
    rang = sorted((i["session"], i["count"]) for i in incidents)
    return {"lines": lines, "ends": plain(await replica.ends("blocks")), "rang": rang}


async def leases_lapsed(redis: Redis) -> None:
    """As if ten seconds had passed since the last consumer ended."""
    lapsed = [keys.queue_lease(p, "blocks") for p in range(keys.PARTITIONS)]
    await redis.delete(*lapsed, keys.queue_consumers("blocks"))


@pytest.mark.slow
async def test_killed_consumers_lose_and_repeat_nothing(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    """Each of three processes is killed while it consumes, between an append and its acknowledgement, which Redis is
    kept from seeing."""
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    expected = await undisturbed(redis, redis_url, bundles)
    batches: list[str] = []
    starts = iter(range(0, len(LINES), SIZE))
    for _ in range(3):
        async with Link(redis_url) as link, httpx.AsyncClient(timeout=PROCESS_PATIENCE_S) as http:
            child = Child(link.url, bundles)
            try:
                await child.ready(http)
                link.break_once(queue.DONE.sha, seen_by_redis=False)
                for at in islice(starts, 2):
                    body = {"source": "blocks", "lines": LINES[at : at + SIZE]}
                    answer = await http.post(f"{child.url}/ingest?wait=false", json=body)
                    assert answer.status_code == 202, answer.text
                    batches.append(answer.json()["batch"])
                await until(lambda: link.broke, "a run is judged", PROCESS_PATIENCE_S)
            finally:
                child.kill()
        await leases_lapsed(redis)
    async with running(redis_url, bundles, time.time) as replica:
        batches += [(await accept(replica, "blocks", LINES[at : at + SIZE]))["batch"] for at in starts]
        assert await all_of(replica, batches) == expected
        assert sum(depth.lines for depth in await queue.depths(redis, "blocks")) == 0


@pytest.mark.slow
async def test_the_partitions_of_a_killed_replica_are_shared_by_the_others(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    bundles = stored(tmp_path / "bundles", blocks_bundle())

    def held(*replicas: Replica) -> list[int]:
        return sorted(p for replica in replicas for p in replica.core.queue.held("blocks"))

    async with (
        running(redis_url, bundles, time.time) as one,
        running(redis_url, bundles, time.time) as other,
        httpx.AsyncClient(timeout=PROCESS_PATIENCE_S) as http,
    ):
        child = Child(redis_url, bundles)
        try:
            await child.ready(http)
            await accept(one, "blocks", LINES[:SIZE])

            async def three() -> bool:
                owners = [await redis.get(keys.queue_lease(p, "blocks")) for p in range(keys.PARTITIONS)]
                return None not in owners and len(set(owners)) == 3

            await until(three, "each of three has a share", PROCESS_PATIENCE_S)
        finally:
            child.kill()
        share = keys.PARTITIONS // 2
        await until(
            lambda: len(held(one)) == len(held(other)) == share and held(one, other) == [*range(keys.PARTITIONS)],
            "the two that are left have half each, and nothing is without an owner",
            PROCESS_PATIENCE_S,
        )
        for at in range(SIZE, 3 * SIZE, SIZE):
            assert (await done(other, (await accept(one, "blocks", LINES[at : at + SIZE]))["batch"]))["failed"] == []


async def test_a_killed_redis_has_on_disk_what_was_accepted(tmp_path: Path) -> None:
    own = EmbeddedRedis(tmp_path / "state")
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, own.start)
    try:
        async with running(own.url, stored(tmp_path / "bundles", blocks_bundle()), time.time) as replica:
            async with replica.core.sources.live["blocks"].lock:  # nothing is judged before Redis ends
                batches = [(await accept(replica, "blocks", LINES[at : at + 60]))["batch"] for at in (0, 60, 120)]
                assert own.pid is not None
                os.kill(own.pid, signal.SIGKILL)
                await loop.run_in_executor(None, own.stop)
                refused = await replica.http.post("/ingest?wait=false", json={"source": "blocks", "lines": LINES[180:]})
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
            await loop.run_in_executor(None, own.start)
            for number, batch in enumerate(batches):
                await until(lambda: ready(replica), "it noticed Redis")
                indexes = {v["index"] for v in (await done(replica, batch))["verdicts"]} - {None}
                assert indexes == set(range(60)), number
            assert "wait=false" not in (await replica.get("/readyz"))["problems"]
    finally:
        await loop.run_in_executor(None, own.stop)


async def test_a_private_redis_writes_through_once_lines_are_accepted_for_later(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    own = EmbeddedRedis(tmp_path, appendfsync="everysec")
    other = EmbeddedRedis(tmp_path / "other", appendfsync="everysec")
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    for server, expected in ((own, "always"), (other, "everysec")):
        (server.data_dir).mkdir(exist_ok=True)
        await loop.run_in_executor(None, server.start)
        try:
            client = open_client(server.url)
            async with running(server.url, bundles, time.time) as replica:  # data directory: tmp_path
                await replica.ingest("blocks", LINES[:60])
                assert (await client.config_get("appendfsync"))["appendfsync"] == "everysec"
                await accept(replica, "blocks", LINES[60:120])
                assert (await client.config_get("appendfsync"))["appendfsync"] == expected
                assert ("wait=false" in (await replica.get("/readyz"))["problems"]) == (expected == "everysec")
            await client.aclose()
        finally:
            await loop.run_in_executor(None, server.stop)


async def ready(replica: Replica) -> bool:
    return (await replica.http.get("/readyz")).status_code == 200
