"""A log gives the same verdicts offline and through HTTP, however it is cut into requests, replicas and runs.

Templates are compared by their final text: a template that widens later reads wider in every verdict of its id.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.parser import End
from models.verdict import Verdict
from tests.golden import blocks
from tests.service.serving import (
    NOW,
    Replica,
    batches_of,
    blocks_bundle,
    every_kind_bundle,
    later_shop_lines,
    running,
    shop_bundle,
    stored,
)
from training.evaluation import stream_verdicts
from training.stream import Stream

Told = tuple[object, ...]


@dataclass(slots=True)
class Play:
    """What a log came to: verdicts of lines in order, and of session ends in any order (sweeps come when they come)."""

    lines: list[Told] = field(default_factory=list)
    ends: list[Told] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)


def told(verdict: Verdict, text: str | None, offset: int = 0) -> Told:
    """What must be equal of a verdict."""
    index = None if verdict["index"] is None else verdict["index"] + offset
    detectors = tuple(reason["detector"] for reason in verdict["reasons"])
    return (
        index, verdict["kind"], verdict["session"], text, verdict["novel"], verdict["anomalous"],
        round(verdict["score"], 9), detectors, verdict["state"], verdict["incident"],
    )  # fmt: skip


def offline(bundle: Bundle, lines: Sequence[str]) -> Play:
    """The log through evaluation's stream, as one batch."""
    play = Play()
    for verdict in stream_verdicts(bundle, lines, NOW):
        (play.ends if verdict["index"] is None else play.lines).append(told(verdict, verdict["template"]))
    play.ends.sort(key=str)
    return play


class Sender:
    """Sends batches to replicas and gathers what they say."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._said: list[tuple[Verdict, int]] = []
        self._play = Play()
        self._offset = 0

    async def send(self, replica: Replica, batch: Sequence[str], key: str | None = None) -> bytes:
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"source": self._source, "lines": list(batch)}
        return await self.post(replica, body, len(batch), headers)

    async def post(self, replica: Replica, body: dict[str, Any], size: int, headers: dict[str, str]) -> bytes:
        response = await replica.http.post("/ingest", json=body, headers=headers)
        answer = response.json()
        # A batch of one bad line is all bad, which is 422; its error is in the answer all the same.
        assert response.status_code == (422 if len(answer["rejected"]) == size else 200), response.text
        self._said += [(verdict, self._offset) for verdict in answer["verdicts"] if verdict["index"] is not None]
        self._play.rejected += [error["index"] + self._offset for error in answer["rejected"]]
        self._offset += size
        return response.content

    async def finish(self, replica: Replica) -> Play:
        """Close what is due, and read session ends and final template texts."""
        await replica.core.sweep()
        texts = await replica.texts(self._source)
        self._play.lines = [told(v, texts[v["template_id"] or 0], offset) for v, offset in self._said]
        self._play.ends = sorted((told(v, None) for v in await replica.ends(self._source)), key=str)
        return self._play


async def finish_with(sender: Sender, replicas: Sequence[Replica]) -> Play:
    """As ``Sender.finish``: whichever of two replicas holds a lease closes what is due, once both have told how far
    what they took is stored."""
    for replica in replicas:
        await replica.core.sweep()
    return await sender.finish(replicas[0])


def assert_same(found: Play, expected: Play) -> None:
    assert found.lines == expected.lines
    assert found.ends == expected.ends
    assert any(verdict[5] for verdict in expected.lines + expected.ends)
    assert expected.ends


@pytest.fixture
def blocks_dir(tmp_path: Path) -> Path:
    return stored(tmp_path / "bundles", blocks_bundle())


def test_golden_log_holds_what_parity_must_survive() -> None:
    lines = blocks.golden_log()
    stream = Stream(blocks_bundle())
    batch = stream.feed(lines, NOW)
    rang = {reason["detector"] for verdict in batch.verdicts for reason in verdict["reasons"]}
    assert {"new_event", "deeplog"} <= rang
    assert any(line.count("blk_") == 2 for line in lines)
    assert len(batch.rejected) == 2
    closed = [closing.session for closing in batch.judged.closings]
    assert len(closed) > len(set(closed)), "a session ends and returns"
    assert any(closing.row is None for closing in batch.judged.closings), "a session ends by silence"
    widened = [text for text in stream_texts(batch.verdicts) if text.startswith("quarantine") and "<*>" in text]
    assert widened


def stream_texts(verdicts: Sequence[Verdict]) -> set[str]:
    return {verdict["template"] for verdict in verdicts if verdict["template"] is not None}


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.usefixtures("redis")
async def test_any_cut_into_requests_gives_the_offline_verdicts(redis_url: str, blocks_dir: Path, size: int) -> None:
    lines = blocks.golden_log()
    async with running(redis_url, blocks_dir) as replica:
        sender = Sender("blocks")
        for batch in batches_of(blocks.source(), lines, size):
            await sender.send(replica, batch)
        found = await sender.finish(replica)
    assert_same(found, offline(blocks_bundle(), lines))
    assert found.rejected == [rejection.index for rejection in Stream(blocks_bundle()).feed(lines, NOW).rejected]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.usefixtures("redis")
async def test_every_kind_of_detector_gives_the_offline_verdicts(redis_url: str, tmp_path: Path, size: int) -> None:
    lines, bundle = blocks.golden_log(), every_kind_bundle()
    async with AsyncExitStack() as stack:
        folder = stored(tmp_path / "bundles", bundle)
        replicas = [await stack.enter_async_context(running(redis_url, folder)) for _ in range(2)]
        sender = Sender("blocks")
        for number, batch in enumerate(batches_of(blocks.source(), lines, size)):
            await sender.send(replicas[number % 2], batch)
        found = await finish_with(sender, replicas)
    expected = offline(bundle, lines)
    assert_same(found, expected)
    rang = {name for told in expected.lines + expected.ends for name in told[7]}  # type: ignore[attr-defined]
    assert {"new_event", "timing", "ngram"} <= rang


@pytest.mark.usefixtures("redis")
async def test_two_replicas_in_turn_give_the_offline_verdicts(redis_url: str, blocks_dir: Path) -> None:
    lines = blocks.golden_log()
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(running(redis_url, blocks_dir)) for _ in range(2)]
        sender = Sender("blocks")
        for number, batch in enumerate(batches_of(blocks.source(), lines, 7)):
            await sender.send(replicas[number % 2], batch)
        found = await finish_with(sender, replicas)
    assert_same(found, offline(blocks_bundle(), lines))


@pytest.mark.usefixtures("redis")
async def test_a_restart_in_the_middle_changes_no_verdict(redis_url: str, blocks_dir: Path) -> None:
    lines = blocks.golden_log()
    sender = Sender("blocks")
    batches = batches_of(blocks.source(), lines, 40)
    half = len(batches) // 2
    async with running(redis_url, blocks_dir) as replica:
        for batch in batches[:half]:
            await sender.send(replica, batch)
    async with running(redis_url, blocks_dir) as replica:
        for batch in batches[half:]:
            await sender.send(replica, batch)
        found = await sender.finish(replica)
    assert_same(found, offline(blocks_bundle(), lines))


async def test_retried_batches_change_no_verdict_and_nothing_in_redis(
    redis: Redis, redis_url: str, blocks_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A background sweep between a batch and its retry would close sessions of its own accord.
    monkeypatch.setattr("service.core.SWEEP_EVERY_S", 1e6)
    lines = blocks.golden_log()
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(running(redis_url, blocks_dir)) for _ in range(2)]
        sender, again = Sender("blocks"), Sender("blocks")
        for number, batch in enumerate(batches_of(blocks.source(), lines, 30)):
            first = await sender.send(replicas[0], batch, key=f"batch {number}")
            before = await digest(redis)
            assert await again.send(replicas[number % 2], batch, key=f"batch {number}") == first
            assert await digest(redis) == before
        found = await sender.finish(replicas[0])
    assert_same(found, offline(blocks_bundle(), lines))


async def digest(redis: Redis) -> dict[bytes, bytes]:
    """Every value of Redis, serialised, but for what background sweeps count and renew when their second comes."""
    names = [name async for name in redis.scan_iter() if b":sweep_" not in name]
    return {name: await redis.dump(name) or b"" for name in names}


@pytest.mark.parametrize("size", [150, 100_000])
@pytest.mark.usefixtures("redis")
async def test_recorded_log_of_multi_line_records_gives_the_offline_verdicts(
    redis_url: str, tmp_path: Path, size: int
) -> None:
    lines = later_shop_lines(4_000)
    bundle = shop_bundle()
    async with running(redis_url, stored(tmp_path / "bundles", bundle)) as replica:
        sender = Sender("shop")
        for batch in batches_of(bundle.source, lines, size):
            await sender.send(replica, batch)
        found = await sender.finish(replica)
    assert_same(found, offline(bundle, lines))


@pytest.mark.parametrize("size", [9, 1_000])
@pytest.mark.usefixtures("redis")
async def test_records_with_sessions_times_and_end_records_give_the_offline_verdicts(
    redis_url: str, blocks_dir: Path, size: int
) -> None:
    """Sessions are the callers' own here, times a second apart, and every tenth record is an end."""
    records: list[dict[str, Any]] = []
    for number, line in enumerate(line for line in blocks.golden_log() if line[:1].isdigit()):
        session = f"own-{number % 6}"
        records.append({"line": line, "session": session, "timestamp": blocks.BEGAN + number})
        if number % 10 == 9:
            records.append({"session": f"own-{number % 4}", "end": True})
        if number % 37 == 36:
            records[-1] = {"line": line, "session": session, "timestamp": blocks.BEGAN + number, "end": True}
    expected = offline_records(records)
    async with running(redis_url, blocks_dir) as replica:
        sender = Sender("blocks")
        for start in range(0, len(records), size):
            part = records[start : start + size]
            await sender.post(replica, {"source": "blocks", "records": part}, len(part), {})
        found = await sender.finish(replica)
    assert found.lines == expected.lines
    assert found.ends == expected.ends
    assert len(expected.ends) > 30


def offline_records(records: Sequence[dict[str, Any]]) -> Play:
    stream = Stream(blocks_bundle())
    texts: Callable[[Verdict], str | None] = lambda verdict: verdict["template"]  # noqa: E731
    lines = [(i, record) for i, record in enumerate(records) if "line" in record]
    place = {at: i for at, (i, _) in enumerate(lines)}
    # Offline, lines are numbered without end records: ends are set between them by half steps.
    ends = [End(i, record["session"]) for i, record in enumerate(records) if record.get("end")]
    before = [sum(1 for i, _ in lines if i <= end.index) - 1 for end in ends]
    batch = stream.feed(
        [record["line"] for _, record in lines],
        NOW,
        [record["session"] for _, record in lines],
        [record["timestamp"] for _, record in lines],
        [End(at, end.session) for at, end in zip(before, ends, strict=True)],
    )
    play = Play()
    for verdict in batch.judged.lines:
        assert verdict["index"] is not None
        play.lines.append(told({**verdict, "index": place[verdict["index"]]}, texts(verdict)))
    play.ends = sorted((told(verdict, None) for verdict in batch.judged.ends), key=str)
    return play
