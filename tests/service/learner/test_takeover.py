"""Two learners on one Redis, and the one that works ends in the middle: the other goes on, one version goes live."""

import asyncio
import signal
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis

from models.bundles import BundleStore
from models.errors import StateError
from service.learner.learner import Learner
from service.state import keys, lessons, rules
from service.state.connection import open_client
from tests.service.cli.test_learner import STARTED_WITHIN_S, clicked, live, started
from tests.service.learner.conftest import Scene, forgotten, quarantined
from tests.service.serving import NOW, Link, blocks_bundle, running, stored, until


async def learned(redis: Redis) -> list[str]:
    """Versions that learners made live, newest first."""
    made = [orjson.loads(entry) for entry in await redis.lrange(keys.activations("blocks"), 0, -1)]
    return [one["version"] for one in made if one["how"] == "learned"]


@pytest.mark.slow
async def test_of_two_learners_one_is_killed_as_it_publishes_and_the_other_takes_over(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """Processes of ``tocsin learner``, each killed by its own link as it comes to publish: what it has written stays
    unpublished, and the other has the lease once it has run out."""
    await redis.script_load(lessons.PUBLISH.text)
    killed: list[int] = []
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Link(redis_url)) for _ in range(2)]
        learners = [started(link.url, tmp_path) for link in links]
        for process in learners:
            stack.callback(process.communicate)
            stack.callback(process.kill)

        def kill(number: int) -> None:
            learners[number].send_signal(signal.SIGKILL)
            killed.append(number)
            links[1 - number].spare()

        for number, link in enumerate(links):
            link.break_once(lessons.PUBLISH.sha, seen_by_redis=False, then=partial(kill, number))
        folder = stored(tmp_path / "bundles", blocks_bundle())
        replica = await stack.enter_async_context(running(redis_url, folder, feedback_alone=-1))
        await until(lambda: all(link.used for link in links), "both learners look for answers", STARTED_WITHIN_S)
        await clicked(replica)
        await until(lambda: killed, "the learner at work is killed", STARTED_WITHIN_S)
        other = learners[1 - killed[0]]
        await redis.pexpire(keys.learner("blocks"), 1_000)  # most of its 15 s need not be waited for

        async def done() -> bool:
            assert other.poll() is None, "the other learner ended too"
            return not await lessons.waiting(redis, "blocks") and not await redis.exists(keys.learner("blocks"))

        await until(done, "the other learner has done the work", STARTED_WITHIN_S)
        other.terminate()
        told, said = await asyncio.to_thread(other.communicate, timeout=STARTED_WITHIN_S)
        assert other.returncode == 0, said.decode()
        outcomes = [orjson.loads(line) for line in told.splitlines()]
        assert [one["version"] for one in outcomes if one["state"] == "published"] == ["3"]
        assert await live(redis) == b"3"
        assert await learned(redis) == ["3"]
        store = BundleStore(folder, shipped=None)
        assert store.versions("blocks") == ["1", "2", "3"]
        assert [store.load("blocks", name).manifest.parent for name in ("2", "3")] == ["1", "1"]


async def test_a_version_that_went_live_unheard_is_not_made_again(scene: Scene, redis_url: str) -> None:
    """The learner ends before it hears that it has published: whoever follows finds nothing to learn, and the next
    click makes the next number."""
    for incident in await scene.incidents(quarantined(1)):
        await scene.say("false_positive", incident)
    await scene.redis.script_load(lessons.PUBLISH.text)
    async with Link(redis_url) as link:
        redis = open_client(link.url)
        first = Learner(redis, scene.store, scene.spool, lambda: NOW, gather_s=0.0)
        link.break_once(lessons.PUBLISH.sha, seen_by_redis=True)
        with pytest.raises(StateError):
            await first.round("blocks")
        await redis.aclose()
    assert await learned(scene.redis) == ["2"]
    assert (await scene.learner().round("blocks")).state == "idle"
    assert scene.store.versions("blocks") == ["1", "2"]
    (verdict,) = await scene.verdicts(scene.other, quarantined(2))
    assert not verdict["anomalous"]
    for incident in await scene.incidents(forgotten(3)):
        await scene.say("false_positive", incident)
    outcome = await scene.learner().round("blocks")
    assert (outcome.state, outcome.version) == ("published", "3")
    assert await learned(scene.redis) == ["3", "2"]
    # The first click's rule too, which the one that ended did not come to take away.
    assert not (await rules.load(scene.redis, "blocks")).rules
