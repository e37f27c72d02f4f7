"""Sweeps of silent sessions by two replicas, of which one stands still in the middle of one."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.state import keys, sweeps
from tests.golden import blocks
from tests.service.serving import NOW, blocks_bundle, running, stored, until


async def test_a_replica_that_stood_still_in_a_sweep_loses_no_end_of_a_session(
    redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on where it was, with the number of a sweep that another replica has finished since."""
    lines = [line for line in blocks.golden_log() if "deleted" not in line]
    first, second = ([line for line in lines if block in line] for block in ("blk_1002", "blk_1006"))
    late = [0.0]

    def clock() -> float:
        return NOW + late[0]

    async def ended(session: str) -> bool:
        await other.core.sweep()
        return session in {end["session"] for end in await other.ends("blocks")}

    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles, clock) as one, running(redis_url, bundles, clock) as other:
        for replica in (one, other):  # only the sweeps of this test
            for task in replica.core._tasks:
                task.cancel()
        await other.ingest("blocks", first)
        late[0] += 10 * blocks.IDLE_S
        await until(lambda: ended("blk_1002"), "the first is closed")
        await other.ingest("blocks", second)
        late[0] += 10 * blocks.IDLE_S

        number, calls = sweeps.number, [0]
        finished = await number(redis, "blocks") - 1

        async def as_read_before(redis: Redis, source: str) -> int:
            calls[0] += 1
            return finished if calls[0] == 1 else await number(redis, source)

        monkeypatch.setattr(sweeps, "number", as_read_before)
        await redis.delete(keys.sweep_lease("blocks"))  # as when it has run out
        await one.core.sweep()
        await until(lambda: ended("blk_1006"), "the second is closed, and reported")
