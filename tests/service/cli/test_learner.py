"""``tocsin learner`` as people run it: beside a service, stopped and killed at any moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from redis.asyncio import Redis

from service.state import keys
from tests.service.learner.conftest import ADA, quarantined
from tests.service.serving import Replica, blocks_bundle, running, stored, until

STARTED_WITHIN_S = 120.0
"""Importing torch takes a busy machine a while."""


def started(redis_url: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """A learner in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    given = {"REDIS_URL": redis_url, "DATA_DIR": str(folder), "BUNDLES_DIR": str(folder / "bundles")}
    environment = {**inherited, **{f"TOCSIN_{name}": value for name, value in given.items()}}
    environment |= {"TOCSIN_LEARNER_GATHER_S": "0", "TOCSIN_LEARNER_EVERY_S": "0.05"}
    command = [sys.executable, "-m", "service", "learner", "--json", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def clicked(replica: Replica) -> None:
    """One false alarm, answered."""
    (verdict,) = (await replica.ingest("blocks", quarantined(1)))["verdicts"]
    given = {"label": "false_positive", "incident": verdict["incident"]}
    assert (await replica.http.post("/feedback", json=given, headers=ADA)).status_code == 201


async def live(redis: Redis) -> bytes:
    found: bytes = await redis.get(keys.live_bundle("blocks"))
    return found


async def test_a_learner_that_is_killed_while_it_learns_loses_and_repeats_nothing(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle()), feedback_alone=-1) as replica:
        await clicked(replica)
        process = started(redis_url, tmp_path)
        try:

            async def learning() -> bool:
                return bool(await redis.exists(keys.learner("blocks")))

            await until(learning, "a learner holds the lease", STARTED_WITHIN_S)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert await live(redis) == b"1"
        assert await redis.xlen(keys.lessons("blocks")) == 1
        await redis.delete(keys.learner("blocks"))  # as when its lease has run out
        again = started(redis_url, tmp_path, "--once")
        told, _ = again.communicate(timeout=STARTED_WITHIN_S)
        assert again.returncode == 0
        assert told.count(b'"state":"published"') == 1
        assert await live(redis) == b"2"
        assert await redis.xlen(keys.lessons("blocks")) == 0


async def test_a_learner_stops_when_told_to_and_gives_its_lease_back(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle()), feedback_alone=-1) as replica:
        process = started(redis_url, tmp_path)
        try:
            await clicked(replica)

            async def published() -> bool:
                return await live(redis) == b"2"

            await until(published, "a version is published", STARTED_WITHIN_S)
        finally:
            process.terminate()
            _, told = process.communicate(timeout=STARTED_WITHIN_S)
        assert process.returncode == 0, told
        assert not await redis.exists(keys.learner("blocks"))


def test_without_a_service_it_says_what_to_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "learner", "--once"]
    environment = {**os.environ, "TOCSIN_DATA_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"tocsin serve" in done.stderr
