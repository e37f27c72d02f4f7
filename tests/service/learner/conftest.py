"""A service over a learner's Redis, what its block store says, and clicks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bundles import BundleStore
from models.verdict import Verdict
from service.learner.learner import Learner
from tests.service.serving import NOW, Replica, blocks_bundle, running, stored

ADA = {"X-Tocsin-Author": "ada"}


def line(message: str, second: int = 0) -> str:
    """A line of the block store."""
    return f"240502 10{second // 60:02d}{second % 60:02d} 21 INFO {message}"


def quarantined(block: int) -> list[str]:
    """A new event."""
    return [line(f"store.Names: quarantine of blk_{block} ordered by operator al")]


def forgotten(block: int) -> list[str]:
    """Deleted before anything was stored: strange after the first step, and as a whole by its counts."""
    return [
        line(f"store.Names: allocate blk_{block} for /jobs/3/part-4"),
        line(f"store.Names: deleted blk_{block}", 1),
    ]


def stored_once_more(block: int) -> list[str]:
    """A whole life whose steps are all in order, one of them three times where two copies were received: strange by its
    counts alone."""
    steps = [f"store.Names: allocate blk_{block} for /jobs/3/part-4"]
    steps += [f"store.Node: receiving blk_{block} from 10.0.0.1:5001"] * 2
    steps += [f"store.Node: stored blk_{block} of 123 bytes"] * 3
    steps += [f"store.Names: replica map updated with blk_{block} at 10.0.0.1:5001"] * 2
    steps.append(f"store.Names: deleted blk_{block}")
    return [line(step, second) for second, step in enumerate(steps)]


@dataclass(frozen=True, slots=True)
class Scene:
    """Two replicas, and where their bundles and spool lie."""

    one: Replica
    other: Replica
    redis: Redis
    store: BundleStore
    spool: Path

    def learner(self) -> Learner:
        """A new learner over the same Redis and bundles."""
        return Learner(self.redis, self.store, self.spool, lambda: NOW, gather_s=0.0)

    async def verdicts(self, replica: Replica, lines: list[str]) -> list[Verdict]:
        """Verdicts of lines and of the sessions that they ended."""
        return list((await replica.ingest("blocks", lines))["verdicts"])

    async def incidents(self, lines: list[str]) -> list[str]:
        """Incidents that lines raise."""
        found = [verdict["incident"] for verdict in await self.verdicts(self.one, lines)]
        return list(dict.fromkeys(name for name in found if name))

    async def say(self, label: str, incident: str, status: int = 201) -> dict[str, Any]:
        """Answer an incident."""
        given = {"label": label, "incident": incident}
        response = await self.one.http.post("/feedback", json=given, headers=ADA)
        assert response.status_code == status, response.text
        return dict(response.json())

    async def live(self) -> str:
        """The live version."""
        (found,) = [one for one in (await self.one.get("/models"))["models"] if one["source"] == "blocks"]
        return str(found["live"])


@pytest.fixture
async def scene(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    folder = stored(tmp_path / "bundles", blocks_bundle())
    # One person clicks here.
    alone = {"feedback_alone": -1}
    async with running(redis_url, folder, **alone) as one, running(redis_url, folder, **alone) as other:
        yield Scene(one, other, redis, BundleStore(folder, shipped=None), tmp_path / "spool")
