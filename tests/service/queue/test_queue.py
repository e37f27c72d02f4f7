"""What goes through the durable queue is judged as it would have been at once, once, and in order."""

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.golden import blocks
from tests.service.serving import (
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

    await until(is_done, f"batch {batch} is done")
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
