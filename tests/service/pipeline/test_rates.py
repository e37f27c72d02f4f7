"""Rates through the service: what bursts or goes quiet rings once, by the clock that lines or their absence move on."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.errors import StateError
from service.core import Core
from service.settings import Settings
from service.state import incidents, keys, watermark
from service.state.frames import ADVANCE, CLOSE
from tests.golden import rates
from tests.service.serving import Link, Replica, running, stored, until
from training.rate.buckets import Buckets
from training.train import Input, TrainSettings, train

PEAK = 60.0
NOON = 12 * 12
DAY_FIRST = rates.FIRST + 2 * rates.DAY


@cache
def bundle(detectors: tuple[str, ...] = ("new_event", "length", "rate")) -> Bundle:
    lines = list(rates.lines(rates.buckets(2, seed=1, peak=PEAK), rates.WORDS))
    given = Input(lines, {}, None, 1.8e9)
    return train(rates.source(), given, TrainSettings(detectors=detectors), version="1", tree_id="t", created=1.8e9)


def later(size: int, start: int = NOON) -> Buckets:
    """``size`` normal buckets of the day after training, from noon on."""
    return rates.buckets(size / rates.DAY, seed=7, first=DAY_FIRST + start, peak=PEAK)


changed = partial(rates.changed, peak=PEAK)


@dataclass
class Place:
    """A service whose clock stands where it is put."""

    redis_url: str
    bundles: Path
    now: float = (DAY_FIRST + NOON) * rates.BUCKET_S
    sent: int = field(default=0)

    def running(self) -> AbstractAsyncContextManager[Replica]:
        return running(self.redis_url, self.bundles, lambda: self.now)

    async def send(self, replica: Replica, given: Buckets) -> None:
        """Lines of some buckets; then their end is now, and what is over is judged."""
        for at in range(len(given)):
            one = Buckets(given.first + at, given.bucket_s, given.keys, given.counts[at : at + 1])
            lines = [line.replace(" run-", f" run-{self.sent}-{at}-") for line in rates.lines(one, rates.WORDS)]
            self.now = (given.first + at + 1) * rates.BUCKET_S
            if lines:
                await replica.ingest("depot", lines)
        self.sent += 1
        await replica.core.sweep()

    async def wait(self, replica: Replica, seconds: float) -> None:
        """Nothing comes for so long."""
        self.now += seconds
        await replica.core.sweep()


@pytest.fixture
def place(redis: Redis, redis_url: str, tmp_path: Path) -> Place:
    return Place(redis_url, stored(tmp_path / "bundles", bundle()))


@pytest.fixture
async def replica(place: Place) -> AsyncIterator[Replica]:
    async with place.running() as replica:
        yield replica


async def raised(replica: Replica) -> list[dict[str, Any]]:
    """Incidents of rates, the oldest first."""
    found = (await replica.get("/incidents", source="depot"))["incidents"]
    return [one for one in reversed(found) if one["detector"] == "rate"]


async def series(replica: Replica) -> list[tuple[str, int]]:
    """What rang, and how often it was seen."""
    found = []
    for one in await raised(replica):
        whole = await replica.get(f"/incidents/{one['id']}")
        found.append((whole["reasons"][0]["series"], one["count"]))
    return found


def seen(replica: Replica, wanted: list[tuple[str, int]]) -> Callable[[], Any]:
    async def same() -> bool:
        return await series(replica) == wanted

    return same


def key_of(word: str) -> int:
    (key,) = [key for key, text in bundle().tree().texts().items() if text == word]
    return key


async def test_template_that_bursts_rings_once_and_says_what_was_expected(place: Place, replica: Replica) -> None:
    given = changed(later(24), 12, 15, 8.0, series=2)
    await place.send(replica, given)
    name = f"burst of template {key_of(rates.WORDS[1])}"
    await until(seen(replica, [(name, 3)]), "one incident of three buckets", 60.0)
    (incident,) = await raised(replica)
    whole = await replica.get(f"/incidents/{incident['id']}")
    (reason,) = whole["reasons"]
    assert (whole["template"], whole["kind"]) == (rates.WORDS[1], "timeframe")
    assert reason["value"] == given.counts[12, 2]
    assert reason["normal"][0] < reason["expected"] < reason["normal"][1] < reason["value"]
    assert reason["began"] == whole["session"].partition("/")[0] == "2024-05-03T13:00:00Z"
    assert (whole["first_seen"], whole["last_seen"]) == tuple((given.first + at) * rates.BUCKET_S for at in (13, 15))
    page = await replica.http.get(f"/page/incidents/{incident['id']}")
    assert page.status_code == 200
    assert "The value is" in page.text


async def test_source_that_goes_quiet_rings_by_the_wall_clock_and_once(place: Place, replica: Replica) -> None:
    await place.send(replica, later(12))
    await place.wait(replica, 300.0)
    assert await series(replica) == []
    await place.wait(replica, 180.0)
    await until(seen(replica, [("quiet of the source", 1)]), "it rings", 60.0)
    for _ in range(3):
        await place.wait(replica, 300.0)
    await until(seen(replica, [("quiet of the source", 4)]), "it goes on", 60.0)
    # It comes back, and goes quiet again: another incident.
    await place.send(replica, later(18, start=NOON + 12 + 6))
    assert len(await raised(replica)) == 1
    await place.wait(replica, 480.0)
    await until(lambda: _several(replica, 2), "the second silence", 60.0)


async def _several(replica: Replica, number: int) -> bool:
    return len(await raised(replica)) == number


async def test_false_alarm_silences_the_series_and_the_direction(place: Place, replica: Replica) -> None:
    await place.send(replica, changed(later(8), 5, 6, 10.0, series=1))
    name = f"burst of template {key_of(rates.WORDS[0])}"
    await until(seen(replica, [(name, 1)]), "a burst", 60.0)
    (incident,) = await raised(replica)
    answer = await replica.http.post("/feedback", json={"incident": incident["id"], "label": "false_positive"})
    assert answer.status_code < 300, answer.text
    assert answer.json()["silences"] == [f"rate is silent on the {name}"]
    await replica.core.sweep()
    again = changed(changed(later(24, NOON + 8), 12, 14, 10.0, series=1), 18, 20, 10.0, series=3)
    await place.send(replica, again)
    other = f"burst of template {key_of(rates.WORDS[2])}"
    await until(seen(replica, [(name, 1), (other, 2)]), "another template still rings", 60.0)
    ends = [end for end in await replica.ends("depot") if end["state"] == "silenced"]
    assert [(end["template"], end["rule"]) for end in ends] == [(rates.WORDS[0], answer.json()["id"])] * 2


async def test_log_of_old_days_that_ends_is_no_silence(place: Place, replica: Replica) -> None:
    await place.send(replica, later(6))
    place.now += 5 * 86_400.0
    await replica.ingest("depot", list(rates.lines(later(1, NOON + 6), rates.WORDS)))
    for _ in range(5):
        await place.wait(replica, 600.0)
    assert await series(replica) == []


async def test_pause_of_tocsin_is_no_silence_of_the_source(place: Place) -> None:
    async with place.running() as before:
        await place.send(before, later(12))
    place.now += 7_200.0
    async with place.running() as after:
        await place.wait(after, 50.0)
        assert await series(after) == []
        # But what stays silent from then on is.
        await place.wait(after, 430.0)
        await until(seen(after, [("quiet of the source", 1)]), "it rings", 60.0)


async def test_history_is_told_to_nobody(place: Place, replica: Replica, redis: Redis) -> None:
    given = changed(later(24), 12, 15, 8.0, series=2)
    place.now = (given.first + 25) * rates.BUCKET_S
    body = {"source": "depot", "lines": list(rates.lines(given, rates.WORDS))}
    answer = await replica.http.post("/ingest", params={"mode": "backfill"}, json=body)
    assert answer.status_code == 200, answer.text
    await replica.core.sweep()
    await until(lambda: _several(replica, 1), "a burst", 60.0)
    assert await redis.xlen(keys.outbox("depot")) == 0


async def test_version_without_rates_counts_nothing(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    place = Place(redis_url, stored(tmp_path / "bundles", bundle(("new_event", "length"))))
    async with place.running() as replica:
        await place.send(replica, changed(later(12), 5, 7, 20.0))
        await place.wait(replica, 3_600.0)
        assert await series(replica) == []
        assert [key async for key in redis.scan_iter("*rates*")] == []


async def test_replicas_and_retries_count_and_judge_once(place: Place, redis: Redis) -> None:
    given = changed(later(14), 9, 12, 8.0, series=2)
    lines = list(rates.lines(given, rates.WORDS))
    async with place.running() as one, place.running() as other:
        place.now = (given.first + 14) * rates.BUCKET_S
        for replica in (one, other):
            for at in range(0, len(lines), 500):
                how = {"headers": {"Idempotency-Key": f"k{at}"}}
                await replica.ingest("depot", lines[at : at + 500], **how)
        for replica in (one, other, one):
            await replica.core.sweep()
        name = f"burst of template {key_of(rates.WORDS[1])}"
        await until(seen(one, [(name, 3)]), "one incident of three buckets", 60.0)
        (incident,) = await raised(other)
        reason = (await other.get(f"/incidents/{incident['id']}"))["reasons"][0]
        assert reason["value"] == given.counts[9, 2]


@pytest.mark.parametrize("broken", [CLOSE, incidents.APPLY, ADVANCE])
@pytest.mark.parametrize("got", [True, False])
async def test_redis_that_goes_away_while_judging_loses_and_repeats_nothing(
    place: Place, redis: Redis, redis_url: str, broken: Any, got: bool
) -> None:
    given = changed(later(14), 9, 12, 8.0, series=2)
    place.now = (given.first + 14) * rates.BUCKET_S
    await redis.script_load(broken.text)
    async with Link(redis_url) as link:
        core = Core(
            Settings(data_dir=place.bundles.parent, bundles_dir=str(place.bundles)),
            link.url,
            lambda: place.now,
            lambda: place.now,
        )
        # Without background work, and the lease its own: nobody judges before it does.
        await core._connect()
        [_, _, closer] = core._workers.closers["depot"]
        lease = keys.frame_lease(keys.rates("depot"))
        await redis.set(lease, closer._rounds.token, ex=600)
        async with place.running() as replica:
            await replica.ingest("depot", list(rates.lines(given, rates.WORDS)))

            async def told() -> bool:
                return (await watermark.read(redis, "depot")).largest > -math.inf

            await until(told, "Redis knows what is stored", 60.0)
            link.break_once(broken.sha, seen_by_redis=got)
            with pytest.raises(StateError):
                await closer.sweep()
            await redis.delete(lease)
            await replica.core.sweep()
            name = f"burst of template {key_of(rates.WORDS[1])}"
            await until(seen(replica, [(name, 3)]), "one incident of three buckets", 60.0)
        await core.stop()
