"""``reset_sessions``: sessions, timeframes and rates are forgotten, and a log is judged as if it were the first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from models.bundle import Bundle
from service.state import keys
from tests.golden import blocks, rates
from tests.service.serving import NOW, Replica, every_kind_bundle, running, stored, until
from training.rate.buckets import Buckets
from training.train import Input, TrainSettings, train


def again(bundle: Bundle) -> Bundle:
    """The same as a second version."""
    return Bundle.seal(replace(bundle.manifest, version="2", parent="1"), bundle.files)


async def activate(replica: Replica, source: str) -> None:
    body = {"version": "2", "reset_sessions": True}
    response = await replica.http.post(f"/models/{source}/activate", json=body)
    assert response.status_code == 200, response.text


async def test_timeframes_are_counted_afresh(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    lines, bundle = blocks.golden_log(), every_kind_bundle()

    async def frames(replica: Replica) -> list[tuple[Any, ...]]:
        await replica.core.sweep()
        ends = [end for end in await replica.ends("blocks") if end["kind"] == "timeframe"]
        return [(end["session"], end["events"], end["score"]) for end in ends]

    async with running(redis_url, stored(tmp_path / "bundles", bundle, again(bundle))) as replica:
        await activate_first(replica)
        await replica.ingest("blocks", lines)
        first = await frames(replica)
        assert first
        # Some are open: the log ends in the midst of one.
        assert any([await redis.zcard(keys.open_frames(p, "blocks", 20.0)) for p in range(keys.PARTITIONS)])
        await activate(replica, "blocks")
        await replica.ingest("blocks", lines)

        async def twice() -> bool:
            return await frames(replica) == first + first

        await until(twice, "the same frames close again", 60.0)


async def activate_first(replica: Replica) -> None:
    """The older of two stored versions: the newest is live where none was."""
    response = await replica.http.post("/models/blocks/activate", json={"version": "1"})
    assert response.status_code == 200, response.text


async def test_buckets_of_rates_begin_afresh(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    detectors = ("new_event", "length", "rate")
    lines = list(rates.lines(rates.buckets(2, seed=1, peak=60.0), rates.WORDS))
    given = Input(lines, {}, None, NOW)
    bundle = train(rates.source(), given, TrainSettings(detectors=detectors), version="1", tree_id="t", created=NOW)
    today: Buckets = rates.buckets(6 / rates.DAY, seed=7, first=rates.FIRST + 2 * rates.DAY, peak=60.0)

    def clock() -> float:
        return (today.first + 6) * rates.BUCKET_S

    source = keys.rates("depot")

    async def counted() -> int:
        opened = [await redis.zcard(keys.open_frames(p, source, rates.BUCKET_S)) for p in range(keys.PARTITIONS)]
        return sum(opened) + await redis.exists(keys.frame_place(source, rates.BUCKET_S), keys.rate_episodes("depot"))

    async with running(redis_url, stored(tmp_path / "bundles", bundle, again(bundle)), clock) as replica:
        await replica.ingest("depot", list(rates.lines(today, rates.WORDS)))
        await replica.core.sweep()
        assert await counted() >= 3, "buckets wait, and others were judged"
        await activate(replica, "depot")
        assert await counted() == 0
        await replica.ingest("depot", list(rates.lines(today, rates.WORDS)))
        assert await counted()
