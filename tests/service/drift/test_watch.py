"""A source that drifts from its training shows it and gets a proposal; one that does not, or cannot tell, does not."""

import logging
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bundle import Bundle, Manifest
from tests.golden import blocks
from tests.service.serving import NOW, WITHOUT_NETWORK, Replica, running, stored
from training.train import Input, TrainSettings, train

LEAST = 2_000
"""Lines before anything is said, in these tests."""
GAUGES = ("unmatched_share", "template_psi", "score_psi")


@cache
def bundle() -> Bundle:
    settings = TrainSettings(detectors=WITHOUT_NETWORK)
    return train(
        blocks.source(), Input(blocks.normal_log(), {}, None, NOW), settings, version="1", tree_id="t", created=NOW
    )


def changed(version: str, **metrics: object) -> Bundle:
    """The same bundle as another version, with other metrics where given."""
    told = bundle().manifest
    fields = {name: getattr(told, name) for name in Manifest.__dataclass_fields__}
    fields |= {"version": version, "metrics": {**told.metrics, **metrics}}
    return Bundle.seal(Manifest(**fields), bundle().files)


@cache
def as_ever() -> list[str]:
    """Blocks like those of training, but others."""
    return blocks.normal_log(400, seed=8)


def with_new_events() -> list[str]:
    """The same, and one line in ten says what training has never heard."""
    lines = []
    for at, line in enumerate(as_ever()):
        lines.append(line)
        if at % 9 == 0:
            head, _, message = line.partition(": ")
            block = next(word for word in message.split() if word.startswith("blk_"))
            lines.append(f"{head}: scrubbing {block} by the new background janitor")
    return lines


async def send(replica: Replica, lines: list[str], size: int = 500) -> None:
    for start in range(0, len(lines), size):
        await replica.ingest("blocks", lines[start : start + size], params={"verdicts": "none"})
    await replica.core.sweep()


async def gauges(replica: Replica, source: str = "blocks") -> dict[str, float]:
    """What is said of a source's drift; a figure that is not said is absent."""
    metrics = await replica.metrics()
    names = {f'tocsin_{name}{{source="{source}"}}': name for name in (*GAUGES, "retrain_proposed")}
    return {name: metrics[series] for series, name in names.items() if series in metrics}


async def proposal(replica: Replica, source: str = "blocks") -> Any:
    (listed,) = [model for model in (await replica.get("/models"))["models"] if model["source"] == source]
    return listed["proposal"]


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", bundle(), changed("0")), drift_lines=LEAST) as replica:
        yield replica


async def test_a_stream_like_training_stays_low_and_proposes_nothing(replica: Replica) -> None:
    await send(replica, as_ever())
    found = await gauges(replica)
    assert found["unmatched_share"] == 0.0
    assert found["template_psi"] < 0.05
    assert found["score_psi"] < 0.05
    assert found["retrain_proposed"] == 0.0
    assert await proposal(replica) is None


async def test_sessions_that_fall_silent_count_as_well(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    clock = [NOW]
    root = stored(tmp_path / "bundles", bundle())
    async with running(redis_url, root, lambda: clock[0], drift_lines=LEAST) as replica:
        # None is deleted: only the sweep that follows an hour of silence closes the newest.
        kept = [line for line in as_ever() if "deleted" not in line]
        await send(replica, kept)
        before = len(await replica.ends("blocks"))
        clock[0] += 3_600.0
        await replica.core.sweep()
        ended = len(await replica.ends("blocks"))
        assert ended > max(before, 200)
        figures = replica.core._drift._meter(replica.core.sources.live["blocks"]).figures(clock[0])
        assert figures is not None
        assert figures.sessions == ended


async def test_nothing_is_claimed_before_enough_lines_came(replica: Replica) -> None:
    lines = with_new_events()
    await send(replica, lines[: LEAST - 1])
    assert await gauges(replica) == {"retrain_proposed": 0.0}
    await send(replica, lines[LEAST - 1 : LEAST])
    found = await gauges(replica)
    assert found["template_psi"] > 0.25
    # Sessions have ended too, but not enough of them.
    assert "score_psi" not in found


async def test_new_templates_raise_the_figures_and_a_proposal_that_forces_nothing(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tocsin"):
        await send(replica, with_new_events())
        await replica.core.sweep()
    found = await gauges(replica)
    assert found["template_psi"] > 0.25
    assert found["score_psi"] > 0.25
    # Learned from the first batch on.
    assert 0.0 < found["unmatched_share"] < 0.05
    assert found["retrain_proposed"] == 1.0
    made = await proposal(replica)
    assert (made["version"], made["at"]) == ("1", NOW)
    assert made["because"][0].startswith("PSI of templates ")
    assert made["figures"]["template_psi"] > 0.25
    assert made["figures"]["lines"] >= LEAST
    assert len([record for record in caplog.records if "is proposed" in record.message]) == 1
    answer = await replica.ingest("blocks", as_ever()[-5:])
    assert answer["versions"]["bundle"] == "1"
    assert {verdict["state"] for verdict in answer["verdicts"]} == {"scored"}


async def test_another_mix_of_known_templates_raises_the_figures(replica: Replica) -> None:
    served = [line for line in as_ever() if "served" in line]
    await send(replica, sorted(as_ever() + served * 6))
    found = await gauges(replica)
    assert found["unmatched_share"] == 0.0
    assert found["template_psi"] > 0.25
    assert (await proposal(replica))["figures"]["unmatched_share"] == 0.0


async def test_lines_that_no_template_matches_are_a_reason_alone(replica: Replica) -> None:
    lines = as_ever()[: LEAST - 200]
    head, _, message = lines[-1].partition(": ")
    # In one batch: none of them was learned before.
    odd = [f"{head}: " + " ".join([*message.split(), *["word"] * n]) for n in range(1, 11)] * 20
    await send(replica, lines + odd, size=len(lines) + len(odd))
    found = await gauges(replica)
    assert found["unmatched_share"] == pytest.approx(0.1)
    assert any(reason == "no template matched 10.0% of 2000 lines" for reason in (await proposal(replica))["because"])


async def test_a_proposal_goes_when_another_version_is_live_and_counting_starts_afresh(replica: Replica) -> None:
    await send(replica, with_new_events())
    assert await proposal(replica) is not None
    activated = await replica.http.post("/models/blocks/activate", json={"version": "0"})
    assert activated.status_code == 200, activated.text
    assert await proposal(replica) is None
    await replica.core.sweep()
    assert await gauges(replica) == {"retrain_proposed": 0.0}


async def test_replicas_share_one_proposal(
    replica: Replica, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tocsin"):
        async with running(redis_url, tmp_path / "bundles", drift_lines=LEAST) as other:
            await send(replica, with_new_events())
            await other.core.sweep()
            # Nothing came its way: it knows of the proposal and has no figure of its own.
            assert await gauges(other) == {"retrain_proposed": 1.0}
            await send(other, with_new_events())
            assert await proposal(other) == await proposal(replica)
    assert len([record for record in caplog.records if "is proposed" in record.message]) == 1


async def test_thresholds_are_settings(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    lenient = {"drift_lines": LEAST, "drift_psi": 50.0, "drift_unmatched": 0.5}
    async with running(redis_url, stored(tmp_path / "bundles", bundle()), **lenient) as replica:
        await send(replica, with_new_events())
        found = await gauges(replica)
        assert found["template_psi"] > 0.25
        assert found["retrain_proposed"] == 0.0


async def test_what_is_usual_in_training_is_no_reason(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    reference = bundle().manifest.metrics["reference"]
    restless = changed("1", reference={**reference, "usual": {"templates": 9.0, "scores": 9.0}})
    async with running(redis_url, stored(tmp_path / "bundles", restless), drift_lines=LEAST) as replica:
        await send(replica, with_new_events())
        found = await gauges(replica)
        assert found["template_psi"] > 0.25
        assert found["retrain_proposed"] == 0.0


async def test_an_older_bundle_has_no_psi(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    metrics = {name: value for name, value in bundle().manifest.metrics.items() if name != "reference"}
    fields = {name: getattr(bundle().manifest, name) for name in Manifest.__dataclass_fields__}
    older = Bundle.seal(Manifest(**{**fields, "metrics": metrics}), bundle().files)
    async with running(redis_url, stored(tmp_path / "bundles", older), drift_lines=LEAST) as replica:
        await send(replica, with_new_events())
        found = await gauges(replica)
        assert set(found) == {"unmatched_share", "retrain_proposed"}
        assert found["unmatched_share"] > 0.0


async def test_a_source_that_learns_has_nothing_to_train_again(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", drift_lines=10) as replica:
        config = {**blocks.source().to_dict(), "name": "fresh"}
        assert (await replica.http.put("/sources/fresh", json=config)).status_code == 200
        await replica.ingest("fresh", as_ever()[:500])
        await replica.core.sweep()
        found = await gauges(replica, "fresh")
        assert found == {"unmatched_share": 1.0}
        assert await proposal(replica, "fresh") is None
