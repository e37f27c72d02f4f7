"""A source that nobody trained: it learns what comes in, and is judged by itself once that is enough."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bundles import BundleStore
from models.errors import StateError
from models.proposal.proposal import propose
from models.source.config import Source
from models.spool.reader import ROWS, files
from models.spool.records import RECORDS
from service.learner import first
from service.learner.learner import Learner
from service.state import lessons, sources
from tests.golden import blocks
from tests.service.listening import session_events
from tests.service.serving import NOW, WITHOUT_NETWORK, Replica, batches_of, running
from training.train import Input, TrainSettings, train

LINES = 300
SESSIONS = 60


def proposed() -> Source:
    """As `tocsin init` would have it, did it not know HDFS, whose sessions pause for hours."""
    return propose("own", blocks.normal_log(), NOW, presets=()).source


@dataclass(frozen=True, slots=True)
class Scene:
    """A replica, and where its bundles and spool lie."""

    replica: Replica
    redis: Redis
    store: BundleStore
    spool: Path

    def learner(self, lines: int = LINES, sessions: int = SESSIONS) -> Learner:
        """A new learner over the same Redis, bundles and spool."""
        return Learner(
            self.redis, self.store, self.spool, lambda: NOW, gather_s=0.0, first_lines=lines, first_sessions=sessions,
            first_training=TrainSettings(detectors=WITHOUT_NETWORK),
        )  # fmt: skip

    async def configure(self, source: Source | None = None) -> None:
        config = (source or proposed()).to_dict()
        response = await self.replica.http.put("/sources/own", json=config)
        assert response.status_code == 200, response.text

    async def send(self, lines: list[str], size: int = 400) -> list[dict[str, Any]]:
        """Verdicts of lines sent in batches, all of them in the spool's files when it returns."""
        found: list[dict[str, Any]] = []
        for batch in batches_of(proposed(), lines, size):
            found += (await self.replica.ingest("own", batch))["verdicts"]
        await self.replica.core.spool.flush()
        return found

    async def told(self) -> dict[str, Any]:
        """The source as it is listed."""
        (found,) = [one for one in (await self.replica.get("/sources"))["sources"] if one["name"] == "own"]
        return dict(found)

    async def learn(self, learner: Learner | None = None) -> Any:
        """What a round of a learner came to."""
        (outcome,) = [one for one in await (learner or self.learner()).rounds() if one.source == "own"]
        return outcome


@pytest.fixture
async def scene(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    folder = tmp_path / "bundles"
    async with running(redis_url, folder, learning_lines=LINES) as replica:
        yield Scene(replica, redis, BundleStore(folder, shipped=None), tmp_path / "spool")


async def test_a_proposed_source_learns_trains_itself_and_is_judged(scene: Scene) -> None:
    await scene.configure()
    lines = blocks.normal_log()
    # The last block is in the middle of its life when the first version goes live.
    early, late = lines[:-3], lines[-3:]
    before = await scene.send(early)
    assert {verdict["state"] for verdict in before} == {"learning"}
    assert not any(verdict["anomalous"] for verdict in before)
    told = await scene.told()
    assert told["state"] == "learning"
    assert told["learning"]["lines"] == len(early)
    assert told["learning"]["text"].startswith(
        f"{len(early):,} of {LINES} lines; {told['templates']} templates; last new"
    )
    assert "waits for `tocsin learner`" in told["learning"]["text"]

    outcome = await scene.learn()
    assert (outcome.state, outcome.version) == ("published", "1")
    assert outcome.gate["passed"]
    bundle = scene.store.load("own", "1")
    assert bundle.manifest.tree_id == scene.replica.core.sources.live["own"].tree.tree_id
    assert bundle.manifest.provenance["lines"] == len(early)
    assert (await sources.activations(scene.redis, "own"))[0].by == "tocsin learner"
    assert files(scene.spool, "own", RECORDS) == []

    after = await scene.send(late)
    assert {verdict["state"] for verdict in after} == {"scored"}
    assert not any(verdict["novel"] for verdict in after)
    # What was open went on: its end knows the lines of before.
    last = after[-1]["session"]
    whole = sum(last in re.findall("blk_[0-9]+", line) for line in lines)
    assert await session_events(scene.replica, "own", last) == whole > len(late)
    told = await scene.told()
    assert (told["state"], told["version"], told["learning"]) == ("scored", "1", None)
    strange = await scene.send(blocks.golden_log())
    assert any(verdict["anomalous"] for verdict in strange)
    assert (await scene.learn()).state == "idle"
    assert scene.store.versions("own") == ["1"]


async def test_a_first_version_judges_before_another_line_comes(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log())
    assert (await scene.learn()).state == "published"
    await scene.replica.core.sweep()
    told = await scene.told()
    assert (told["state"], told["version"], told["learning"]) == ("scored", "1", None)


async def test_the_page_shows_how_far_it_is(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log()[:100])
    page = await scene.replica.http.get("/page/sources")
    assert page.status_code == 200
    assert "100 of 300 lines" in page.text
    assert "<progress" in page.text


async def test_too_little_is_left_alone(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log()[: LINES - 1])
    assert (await scene.learn()).state == "idle"
    assert (await scene.told())["learning"]["refused"] is None


async def test_a_refusal_is_told_and_tried_again_only_with_more(scene: Scene) -> None:
    await scene.configure()
    lines = blocks.normal_log()
    await scene.send(lines[:400])
    outcome = await scene.learn(scene.learner(sessions=190))
    assert outcome.state == "refused"
    assert "190 are wanted" in outcome.why
    told = (await scene.told())["learning"]
    assert (told["wanted"], told["refused"]) == (501, outcome.why)
    assert outcome.why in told["text"]
    assert (await scene.learn(scene.learner(sessions=190))).state == "idle"
    assert {verdict["state"] for verdict in await scene.send(lines[400:])} == {"learning"}
    assert (await scene.learn(scene.learner(sessions=190))).state == "published"


async def test_behaviour_that_only_just_began_is_no_first_version(scene: Scene) -> None:
    await scene.configure()
    lines = blocks.normal_log()
    turn = len(lines) * 93 // 100
    await scene.send([*lines[:turn], *(line.replace("stored", "kept aside what is") for line in lines[turn:])])
    outcome = await scene.learn()
    assert outcome.state == "refused"
    assert "normal behaviour has not all been seen yet" in outcome.why
    assert scene.store.versions("own") == []


async def test_what_was_not_spooled_is_said_to_be_missing(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    async with running(redis_url, folder, learning_lines=LINES, spool_rows=0) as replica:
        scene = Scene(replica, redis, BundleStore(folder, shipped=None), tmp_path / "spool")
        await scene.configure()
        await scene.send(blocks.normal_log())
        assert "TOCSIN_SPOOL_ROWS" in (await scene.learn()).why


async def test_a_training_that_breaks_is_a_refusal_and_no_loop(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no memory left")

    monkeypatch.setattr(first, "first_version", broken)
    await scene.configure()
    await scene.send(blocks.normal_log())
    outcome = await scene.learn()
    assert outcome.state == "refused"
    assert "no memory left" in (await scene.told())["learning"]["refused"]
    assert (await scene.learn()).state == "idle"


async def test_one_learner_trains_a_source_at_a_time(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log())
    assert await lessons.take(scene.redis, "own", "another")
    assert (await scene.learn()).state == "idle"
    await lessons.leave(scene.redis, "own", "another")
    assert (await scene.learn()).state == "published"


async def test_a_version_that_somebody_made_meanwhile_stays_live(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log())
    save = BundleStore.save

    def saved(store: BundleStore, source: str, bundle: Any) -> str:
        folder = save(store, source, bundle)
        client = scene.replica.core.redis.connection_pool.connection_kwargs["path"]
        from redis import Redis as Blocking

        with Blocking(unix_socket_path=client) as other:
            other.set(f"tocsin:{{s:{source}}}:bundle", "by hand")
        return folder

    monkeypatch.setattr(BundleStore, "save", saved)
    assert (await scene.learn()).state == "overtaken"
    assert await sources.live_bundle(scene.redis, "own") == "by hand"


async def test_a_learner_that_died_before_it_published_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> bool:
        raise StateError("Redis is away")

    await scene.configure()
    await scene.send(blocks.normal_log())
    with monkeypatch.context() as patched:
        patched.setattr(sources, "activate_first", away)
        with pytest.raises(StateError):
            await scene.learn()
    assert scene.store.versions("own") == ["1"]
    assert {verdict["state"] for verdict in await scene.send(blocks.normal_log()[:5])} == {"learning"}
    assert (await scene.told())["learning"]["refused"] is None
    outcome = await scene.learn()
    assert (outcome.state, outcome.version) == ("published", "1")
    assert {verdict["state"] for verdict in await scene.send(blocks.normal_log()[:5])} == {"scored"}


async def test_a_version_of_another_tree_is_not_taken_by_itself(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log())
    given = Input(blocks.normal_log(), {}, None, NOW)
    by_hand = train(
        proposed(), given, TrainSettings(detectors=WITHOUT_NETWORK), version="7", tree_id="another", created=NOW
    )
    scene.store.save("own", by_hand)
    assert "--reset-sessions" in (await scene.learn()).why
    assert await sources.live_bundle(scene.redis, "own") is None


async def test_lines_are_kept_no_longer_than_until_a_version_judges(scene: Scene) -> None:
    await scene.configure()
    await scene.send(blocks.normal_log())
    # What waits for the next flush when the version goes live is written after the learner has cleared up.
    await scene.replica.ingest("own", blocks.normal_log()[:20])
    assert (await scene.learn()).state == "published"
    await scene.send(blocks.normal_log()[:20])
    assert files(scene.spool, "own", RECORDS) == []
    assert files(scene.spool, "own", ROWS)


async def test_sources_whose_rule_closes_nothing_say_so(scene: Scene) -> None:
    whole = Source.from_dict({**proposed().to_dict(), "session": {"whole": True}})
    await scene.configure(whole)
    await scene.send(blocks.normal_log())
    assert "another session rule" in (await scene.learn()).why


async def test_lines_of_two_replicas_and_end_records_train_one_version(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundles"
    async with (
        running(redis_url, folder, learning_lines=LINES) as one,
        running(redis_url, folder, learning_lines=LINES) as other,
    ):
        scene = Scene(one, redis, BundleStore(folder, shipped=None), tmp_path / "spool")
        await scene.configure()
        lines = blocks.normal_log()
        for number, batch in enumerate(batches_of(proposed(), lines, 150)):
            replica = (one, other)[number % 2]
            records: list[dict[str, Any]] = [{"line": line} for line in batch]
            records.append({"session": f"gone-{number}", "end": True})
            response = await replica.http.post("/ingest", json={"source": "own", "records": records})
            assert response.status_code == 200, response.text
        for replica in (one, other):
            await replica.core.spool.flush()
        assert (await scene.told())["learning"]["lines"] == len(lines)
        outcome = await scene.learn()
        assert outcome.state == "published"
        assert scene.store.load("own", "1").manifest.provenance["lines"] == len(lines)
        for replica in (one, other):
            (verdict, *_) = (await replica.ingest("own", lines[:1]))["verdicts"]
            assert verdict["state"] == "scored"
