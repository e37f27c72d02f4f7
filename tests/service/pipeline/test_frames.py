"""Timeframes of one source: counted with its batches, closed once by the lease's holder, reported as sessions are."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from models.autolog.frames import Counting, Frame, FrameCounter
from models.autolog.judge import FrameJudge
from models.errors import StateError
from models.judging import judge_frames
from models.rules import Rule, Rules
from models.source.config import DrainSettings, Source
from models.splitter import Splitter
from models.template.tree import TemplateTree
from service.metrics import Metrics
from service.pipeline.frames import FrameCloser, FrameCounting
from service.pipeline.live import LiveSource
from service.pipeline.report import Reporter
from service.pipeline.silence import Hearing
from service.state import incidents, keys, verdicts, watermark
from service.state.connection import open_client
from service.state.frames import ADVANCE, CLOSE, StoredFrames
from service.state.watermark import Beginning
from service.state.windows import StoredSessions
from tests.service.serving import Link
from training.autolog import AutoLogSettings, fit_records
from training.corpus import split_log

BEGIN = 1_714_521_600
"""2024-05-01T00:00:00Z."""
ARRIVAL = BEGIN + 20_000.0


@cache
def source() -> Source:
    return Source.from_dict(
        {
            "name": "s",
            "header": {"kind": "regex", "pattern": "^(?P<timestamp>[0-9.]+) (?P<host>[a-z]+) (?P<message>.*)$"},
            "timestamp": {"formats": ["epoch_s"]},
            "lateness_s": 5.0,
        }
    )


def lines_of(frames: range, hosts: tuple[str, ...] = ("a", "b")) -> list[str]:
    return [f"{BEGIN + 10 * f + s} {h} up and running" for f in frames for s in (1, 6) for h in hosts]


@cache
def judge() -> FrameJudge:
    records = split_log(source(), lines_of(range(60)), ARRIVAL)
    settings = AutoLogSettings(chunk_s=10.0, epochs=1, steps=50, wide=8, narrow=4)
    fitted = fit_records(records, np.zeros(len(records), dtype=np.bool_), settings, seed=0)
    return FrameJudge.load(fitted.settings, fitted.files)


@dataclass
class Replica:
    """The part of one process that sees to timeframes, at a clock that stands where it is put."""

    redis: Redis
    executor: ThreadPoolExecutor
    now: float = ARRIVAL
    rules: Rules = field(default_factory=Rules)
    judge: FrameJudge | None = field(default_factory=judge)
    largest: float = -np.inf

    def __post_init__(self) -> None:
        self.live = LiveSource(source(), TemplateTree(DrainSettings(), "t"), None, "cpu", 1)
        self.metrics = Metrics(CollectorRegistry())
        stored = StoredFrames(self.redis)
        reporter = Reporter(self.redis, StoredSessions(self.redis), self.metrics)
        self.counting = FrameCounting(self.live, frames=stored, judge_of=lambda: self.judge, executor=self.executor)
        self.closer = FrameCloser(
            self.live,
            frames=stored,
            judge_of=lambda: self.judge,
            rules_of=lambda: self.rules,
            reporter=reporter,
            executor=self.executor,
            clock=lambda: self.now,
            hearing=Hearing(self.redis, self.live.name, lambda: self.now),
        )

    async def ingest(self, lines: list[str], batch_id: str | None = None) -> int:
        """Count a batch as the pipeline does; how many came too late beyond those behind the watermark."""
        records = Splitter(source()).split(lines, self.now)
        newest = float(records.time.max())
        began = await watermark.begin(self.redis, "s", Beginning(newest, self.now, batch_id))
        late = await self.counting.count(records, began.prior_max, batch_id)
        await watermark.advance(self.redis, "s", newest)
        return late

    async def stored(self) -> list[tuple[str, bool, int]]:
        """Session, anomalous and number of lines of every verdict."""
        found = [entry.verdict for entry in await verdicts.read(self.redis, "s")]
        return [(v["session"], v["anomalous"], v["events"]) for v in found]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def replica(redis: Redis, executor: ThreadPoolExecutor) -> Replica:
    return Replica(redis, executor)


async def test_frames_get_verdicts_and_the_strange_ones_an_incident(replica: Replica, redis: Redis) -> None:
    newcomer = [f"{BEGIN + 11} intruder hello"]
    await replica.ingest([*lines_of(range(2)), *newcomer, *lines_of(range(2, 4))])
    assert await replica.closer.sweep() == 3
    assert await replica.closer.sweep() == 0
    assert await replica.stored() == [
        ("2024-05-01T00:00:00Z/10s", False, 4),
        ("2024-05-01T00:00:10Z/10s", True, 5),
        ("2024-05-01T00:00:20Z/10s", False, 4),
    ]
    (entry,) = [e.verdict for e in await verdicts.read(redis, "s") if e.verdict["anomalous"]]
    assert (entry["kind"], entry["index"], entry["started"], entry["last"]) == (
        "timeframe", None, BEGIN + 10.0, BEGIN + 20.0
    )  # fmt: skip
    assert entry["reasons"][0]["new_entities"][0]["entity"] == "intruder"
    (incident,) = (await incidents.page(redis, ["s"])).incidents
    assert incident.id == entry["incident"]
    for detector, anomalous, number in (("autolog", "true", 1), ("none", "false", 2)):
        labels = {"source": "s", "detector": detector, "anomalous": anomalous}
        assert replica.metrics.registry.get_sample_value("tocsin_verdicts_total", labels) == number


async def test_silence_closes_frames_by_the_wall_clock_and_later_lines_are_late(replica: Replica) -> None:
    await replica.ingest(lines_of(range(1)))
    replica.now += 30.0
    assert await replica.closer.sweep() == 2
    assert [lines for _, _, lines in await replica.stored()] == [4, 0]
    # Not behind the watermark of their own batch, but their frame is gone.
    assert await replica.ingest(lines_of(range(1, 2))) == 4
    assert await replica.closer.sweep() == 0


async def test_verdicts_are_those_of_the_counter_in_memory(replica: Replica) -> None:
    random = np.random.default_rng(3)
    lines = sorted(
        f"{BEGIN + random.integers(0, 400)} {random.choice(list('abc'))} {word}" for word in "up down on" * 60
    )
    counter, counting = FrameCounter(10.0), Counting(judge().detector)
    frames = []
    for start in range(0, len(lines), 37):
        records = Splitter(source()).split(lines[start : start + 37], ARRIVAL)
        counter.count(counting.tally(records, replica.largest, 5.0))
        replica.largest = max(replica.largest, float(records.time.max()))
        frames += counter.close_due(replica.largest - 5.0)
        await replica.ingest(lines[start : start + 37])
        await replica.closer.sweep()
    expected = judge_frames("s", judge(), frames, Rules(), 0.0)
    assert await replica.stored() == [
        (v["session"], v["anomalous"], c.state.n) for v, c in zip(expected.ends, expected.closings, strict=True)
    ]
    assert len(frames) > 30


async def test_replicas_close_each_frame_once(redis: Redis, executor: ThreadPoolExecutor) -> None:
    replicas = [Replica(redis, executor) for _ in range(3)]
    await asyncio.gather(*(r.ingest(lines_of(range(8)), batch_id="k") for r in replicas))
    closed = await asyncio.gather(*(r.closer.sweep() for r in replicas))
    assert sorted(closed) == [0, 0, 7]
    assert [lines for _, _, lines in await replicas[0].stored()] == [4] * 7


@pytest.mark.parametrize("seen", [True, False])
async def test_redis_that_goes_away_while_closing_loses_and_repeats_nothing(
    redis: Redis, redis_url: str, executor: ThreadPoolExecutor, seen: bool
) -> None:
    await Replica(redis, executor).ingest(lines_of(range(4)))
    for script in (CLOSE, verdicts.APPEND, ADVANCE):
        await redis.script_load(script.text)
        async with Link(redis_url) as link:
            broken = open_client(link.url)
            link.break_once(script.sha, seen_by_redis=seen)
            with pytest.raises(StateError):
                await Replica(broken, executor).closer.sweep()
            await broken.aclose()
        await redis.delete(keys.frame_lease("s"))
    await Replica(redis, executor).closer.sweep()
    assert [lines for _, _, lines in await Replica(redis, executor).stored()] == [4, 4, 4]


async def test_rule_silences_and_a_version_without_frames_counts_nothing(replica: Replica) -> None:
    odd = [f"{BEGIN + 1} intruder hello"]
    await replica.ingest([*odd, *lines_of(range(2))])
    strange = Frame(0, 1, {"intruder": {}})
    clause = judge().judge([strange]).ringing[0].clause
    replica.rules = Rules([Rule("r", (clause,), expires=ARRIVAL + 1)])
    assert await replica.closer.sweep() == 1
    assert await replica.stored() == [("2024-05-01T00:00:00Z/10s", False, 5)]
    replica.judge = None
    assert await replica.ingest(lines_of(range(2, 9))) == 0
    assert await replica.closer.sweep() == 0
