"""Replicas that learn templates at the same time end with one tree."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from redis.asyncio import Redis

from tests.service.serving import blocks_bundle, running, stored


async def test_replicas_that_learn_at_once_agree_on_every_template(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    words = [f"{'abcdefgh'[n % 8]}{'xyz ' * (n // 8 + 1)}" for n in range(32)]
    lines = [f"240502 0300{n:02d} 21 INFO store.Node: {word} of blk_{n}" for n, word in enumerate(words)]
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(running(redis_url, bundles)) for _ in range(2)]
        known = len(await replicas[0].texts("blocks"))
        sent = [(replicas[n % 2], lines[n : n + 6]) for n in range(0, len(lines), 3)]
        answers = await asyncio.gather(*(replica.ingest("blocks", part) for replica, part in sent))
        await asyncio.gather(*(replica.ingest("blocks", lines) for replica in replicas))
        texts = [await replica.texts("blocks") for replica in replicas]
    assert texts[0] == texts[1]
    assert len(set(texts[0].values())) == len(texts[0]) > known
    ids = {line: set() for line in lines}  # type: ignore[var-annotated]
    for (_, part), answer in zip(sent, answers, strict=True):
        for verdict in answer["verdicts"]:
            if verdict["index"] is not None:
                ids[part[verdict["index"]]].add(verdict["template_id"])
    assert all(len(found) == 1 for found in ids.values()), "a line means the same template to both"
