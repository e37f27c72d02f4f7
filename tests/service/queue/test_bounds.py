"""What is kept for `wait=false` is bounded, and past its bounds callers are told so."""

import random
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.queue import acceptance
from tests.service.queue.test_queue import LINES, accept, done
from tests.service.serving import NOW, Replica, blocks_bundle, running, stored, until

MANY = 2_500
LONG = 500
"""Characters of a session id, of chance: what is kept of such a batch shrinks to no less than half a megabyte."""
FILLED = 32 * 2**20


def wordy(seed: int) -> dict[str, Any]:
    """A request whose verdicts take more room than half of what is kept at least."""
    chance = random.Random(seed)
    # Of now, so that they stay open: what closes rings, and takes its time.
    records = [{"line": LINES[0], "session": chance.randbytes(LONG // 2).hex(), "timestamp": NOW} for _ in range(MANY)]
    return {"source": "blocks", "records": records}


async def test_verdicts_beyond_the_bytes_that_are_kept_are_gone_the_oldest_first(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, durable_results_bytes=2**20) as replica:
        batches = []
        for seed in range(2):
            accepted = await replica.http.post("/ingest?wait=false", json=wordy(seed))
            assert accepted.status_code == 202, accepted.text
            batches.append(accepted.json()["batch"])
            await ended(replica, batches[-1])
        gone = await replica.http.get("/verdicts", params={"batch": batches[0]})
        assert gone.status_code == 410
        assert "TOCSIN_DURABLE_RESULTS_BYTES" in gone.json()["error"]
        kept = await replica.get("/verdicts", batch=batches[-1], limit=10)
        assert kept["state"] == "done"
        assert [verdict["index"] for verdict in kept["verdicts"]] == list(range(10))


async def ended(replica: Replica, batch: str) -> None:
    """Wait until a batch is judged, whether or not what it came to is still kept."""

    async def over() -> bool:
        answer = await replica.http.get("/verdicts", params={"batch": batch, "limit": 1})
        return answer.status_code == 410 or (answer.status_code == 200 and answer.json()["state"] == "done")

    await until(over, f"batch {batch} is judged")


async def test_nothing_is_accepted_while_redis_is_short_of_memory(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "LOOK_EVERY_S", 0.0)
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles) as replica:
        first = await accept(replica, "blocks", LINES[:50])
        await redis.setrange("filled", FILLED, "x")
        used = int((await redis.info("memory"))["used_memory"])
        # At 0.87 of it: past what the queue may use, with some room for what is still written.
        await redis.config_set("maxmemory", str(int(used * 1.15)))
        try:
            body = {"source": "blocks", "lines": LINES[50:100]}
            full = await replica.http.post("/ingest?wait=false", json=body)
            assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
            assert "raise its maxmemory" in full.json()["error"]
            assert (await replica.http.post("/ingest", json=body)).status_code == 200, "who waits is served"
            await redis.delete("filled")
            again = await accept(replica, "blocks", LINES[100:150])
        finally:
            await redis.config_set("maxmemory", "0")
        for batch in (first, again):
            assert (await done(replica, batch["batch"]))["failed"] == []
