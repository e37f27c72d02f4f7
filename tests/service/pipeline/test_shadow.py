"""A version in the shadow judges the same lines afterwards, is counted, and changes nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from service.pipeline import shadow
from tests.golden import blocks
from tests.service.api.test_models import stricter, version_of
from tests.service.serving import Replica, blocks_bundle, every_kind_bundle, running, shop_bundle, stored, until


async def put(replica: Replica, version: str | None, source: str = "blocks") -> int:
    response = await replica.http.post(f"/models/{source}/shadow", json={"version": version})
    return response.status_code


async def counted(replica: Replica, version: str = "2") -> dict[str, float]:
    """Verdicts of a shadow by change."""
    start = "tocsin_shadow_verdicts_total{"
    found = {}
    for name, value in (await replica.metrics()).items():
        if name.startswith(start) and f'version="{version}"' in name:
            found[name.split('change="')[1].split('"')[0]] = value
    return found


async def loaded(replica: Replica, source: str = "blocks") -> None:
    def judges() -> bool:
        found = replica.core.sources.shadows.of(source)
        return found is not None and found.judge is not None

    await until(judges, "the shadow is loaded")


async def settled(replica: Replica, expected: int, version: str = "2") -> dict[str, float]:
    async def all_counted() -> bool:
        return sum((await counted(replica, version)).values()) >= expected

    await until(all_counted, f"{expected} verdicts of the shadow are counted")
    return await counted(replica, version)


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """One replica that serves ``blocks`` and ``shop``."""
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", blocks_bundle(), shop_bundle())) as replica:
        yield replica


@pytest.fixture
def lines() -> list[str]:
    return blocks.golden_log()


@pytest.mark.parametrize("bundle", [blocks_bundle, every_kind_bundle])
async def test_a_shadow_is_counted_and_changes_no_answer(
    redis: Redis, redis_url: str, tmp_path: Path, bundle: object, lines: list[str]
) -> None:
    trained: Bundle = bundle()  # type: ignore[operator]
    bundles = stored(tmp_path / "bundles", trained, stricter("2", 1e9, trained), version_of("3", bundle=trained))
    async with running(redis_url, bundles) as replica:
        assert (await replica.http.post("/models/blocks/activate", json={"version": "1"})).status_code == 200
        alone = await replica.ingest("blocks", lines)
    await redis.flushall()
    async with running(redis_url, bundles) as replica:
        assert (await replica.http.post("/models/blocks/activate", json={"version": "1"})).status_code == 200
        assert await put(replica, "2") == 200
        await loaded(replica)
        answer = await replica.ingest("blocks", lines)
        assert answer["verdicts"] == alone["verdicts"]
        assert answer["versions"]["bundle"] == "1"
        found = await settled(replica, len([v for v in answer["verdicts"] if v["kind"] != "timeframe"]))
        assert found["quiet"] >= sum(v["anomalous"] for v in answer["verdicts"] if v["kind"] == "line") > 0
        assert (found["rings"], found.get("dropped", 0)) == (0, 0)
        (told,) = (m for m in (await replica.get("/models"))["models"] if m["source"] == "blocks")
        assert (told["live"], told["shadow"]) == ("1", "2")
        assert [about["state"] for about in told["details"]] == ["live", "shadow", None]
        assert (await replica.get("/readyz"))["sources"]["blocks"]["shadow"] == "2"
        # The same version under another name judges the same.
        assert await put(replica, "3") == 200
        await loaded(replica)
        answer = await replica.ingest("blocks", lines)
        found = await settled(replica, len(answer["verdicts"]), "3")
        assert (found["rings"], found["quiet"]) == (0, 0)


async def test_every_replica_follows_at_its_next_batch_and_lets_go_again(
    redis: Redis, redis_url: str, tmp_path: Path, lines: list[str]
) -> None:
    await redis.ping()
    bundles = stored(tmp_path / "bundles", blocks_bundle())
    async with running(redis_url, bundles) as replica, running(redis_url, bundles) as follower:
        await follower.ingest("blocks", lines[:20])
        stored(tmp_path / "bundles", stricter("2", 1e9))
        assert await put(replica, "2") == 200
        assert follower.core.sources.shadows.of("blocks") is None
        await follower.ingest("blocks", lines[20:40])
        await loaded(follower)
        await follower.ingest("blocks", lines[40:60])
        await settled(follower, 20)
        assert await put(replica, None) == 200
        await follower.ingest("blocks", lines[60:80])
        assert follower.core.sources.shadows.of("blocks") is None
        assert "shadow" not in (await follower.get("/readyz"))["sources"]["blocks"]


async def test_a_shadow_that_goes_live_is_no_shadow(replica: Replica, tmp_path: Path, lines: list[str]) -> None:
    stored(tmp_path / "bundles", stricter("2", 1e9))
    assert await put(replica, "2") == 200
    assert (await replica.http.post("/models/blocks/activate", json={"version": "2"})).status_code == 200
    assert (await replica.ingest("blocks", lines[:50]))["versions"]["bundle"] == "2"
    assert replica.core.sources.shadows.of("blocks") is None


async def test_a_shadow_that_cannot_be_loaded_is_a_problem_and_no_outage(
    redis: Redis, redis_url: str, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.ping()
    monkeypatch.setattr(shadow, "AGAIN_AFTER_S", 0.0)
    richer = stored(tmp_path / "richer", blocks_bundle())
    poorer_root = stored(tmp_path / "poorer", blocks_bundle())
    async with running(redis_url, richer) as replica, running(redis_url, poorer_root) as poorer:
        stored(richer, stricter("2", 1e9))
        assert await put(replica, "2") == 200
        assert (await poorer.ingest("blocks", lines[:50]))["verdicts"]

        async def said() -> bool:
            ready = await poorer.get("/readyz")
            assert ready["ready"]
            return "no bundle blocks/2" in ready["sources"]["blocks"].get("problem", "")

        await until(said, "the problem is told")
        stored(poorer_root, stricter("2", 1e9))
        await poorer.ingest("blocks", lines[50:100])
        await loaded(poorer)
        assert "problem" not in (await poorer.get("/readyz"))["sources"]["blocks"]


async def test_a_shadow_that_falls_behind_leaves_out_what_it_cannot_judge(
    replica: Replica, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "MOST_WAITING", 0)
    stored(tmp_path / "bundles", stricter("2", 1e9))
    assert await put(replica, "2") == 200
    await loaded(replica)
    answer = await replica.ingest("blocks", lines)
    assert await counted(replica) == {"dropped": len(answer["verdicts"])}


async def test_what_could_not_judge_the_same_is_refused(replica: Replica, tmp_path: Path) -> None:
    stored(tmp_path / "bundles", shop_bundle("2", "another tree", 6_000))
    assert await put(replica, "2", "shop") == 409
    assert await put(replica, "1") == 409
    assert await put(replica, "9") == 404
    assert await put(replica, "2", "nowhere") == 404
    assert (await replica.http.post("/models/blocks/shadow", json={})).status_code == 422
    assert [model["shadow"] for model in (await replica.get("/models"))["models"]] == [None] * 3
