"""The spool of live traffic: what is written can be judged again, caps hold, and no failure reaches a batch."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from redis.asyncio import Redis

from models.bundle import Bundle
from models.spool.layout import Layout
from models.spool.reader import CLOSINGS, ROWS, files, read_spool
from service.spool import gathering, spool
from tests.golden import blocks
from tests.service.serving import (
    Replica,
    batches_of,
    blocks_bundle,
    every_kind_bundle,
    later_shop_lines,
    running,
    shop_bundle,
    shop_source,
    stored,
)


@pytest.fixture
async def shop(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", shop_bundle())) as replica:
        yield replica


@pytest.mark.parametrize("bundle", [blocks_bundle, every_kind_bundle])
async def test_what_is_spooled_gets_the_same_verdicts_again(
    redis: Redis, redis_url: str, tmp_path: Path, bundle: object
) -> None:
    await redis.ping()
    trained: Bundle = bundle()  # type: ignore[operator]
    async with running(redis_url, stored(tmp_path / "bundles", trained)) as replica:
        lines = blocks.golden_log()
        verdicts = []
        for batch in batches_of(blocks.source(), lines, 40):
            verdicts += (await replica.ingest("blocks", batch))["verdicts"]
        await replica.core.sweep()
        await replica.core.spool.flush()
        judge = trained.judge(exemplar_of=replica.core.sources.live["blocks"].exemplar_of)
    need = Layout.needed(judge)
    found = read_spool(tmp_path / "spool", "blocks", trained.manifest.tree_id, [need])
    rang = [v["anomalous"] for v in verdicts if v["kind"] == "line"]
    assert found.counts.sum() == len(rang)
    assert found.counts[found.anomalous].sum() == sum(rang) > 0
    again = judge.rows(found.rows(need))
    np.testing.assert_array_equal(again.anomalous, found.anomalous)
    ended = judge.closings(found.closings)
    np.testing.assert_array_equal(ended.anomalous, found.end_anomalous)
    assert found.end_counts.sum() >= sum(v["kind"] == "session" for v in verdicts) > 0
    assert (found.skipped, found.unreadable) == (0, 0)


async def test_the_same_events_are_kept_once_and_counted(shop: Replica, tmp_path: Path) -> None:
    lines = later_shop_lines(400)
    for _ in range(3):
        await shop.ingest("shop", lines)
        await shop.core.spool.flush()
    (file,) = files(tmp_path / "spool", "shop", ROWS)
    frame = pl.read_parquet(file)
    verdicts = (await shop.ingest("shop", lines))["verdicts"]
    assert frame["count"].sum() == 3 * sum(v["kind"] == "line" for v in verdicts)
    assert frame.height < frame["count"].sum() / 3
    assert set(frame["version"]) == {"1"}
    metrics = await shop.metrics()
    kept = frame["count"].sum() + pl.read_parquet(files(tmp_path / "spool", "shop", CLOSINGS))["count"].sum()
    assert metrics['tocsin_spool_rows_total{outcome="kept",source="shop"}'] == kept


async def test_silenced_events_are_told_from_normal_ones(shop: Replica, tmp_path: Path) -> None:
    for batch in batches_of(shop_source(), later_shop_lines(6_000), 2_000):
        await shop.ingest("shop", batch)
    incidents = (await shop.get("/incidents", source="shop", limit=1))["incidents"]
    await shop.core.spool.flush()
    before = read_spool(tmp_path / "spool", "shop", "shop-tree", [])
    assert incidents
    assert not before.silenced.any()
    assert not before.end_silenced.any()
    given = {"incident": incidents[0]["id"], "label": "false_positive"}
    assert (await shop.http.post("/feedback", json=given)).status_code in (200, 201)
    for batch in batches_of(shop_source(), later_shop_lines(6_000), 2_000):
        await shop.ingest("shop", batch)
    await shop.core.spool.flush()
    after = read_spool(tmp_path / "spool", "shop", "shop-tree", [])
    assert after.silenced.any() or after.end_silenced.any()
    assert not (after.silenced & after.anomalous).any()


async def test_events_of_another_tree_or_with_too_little_are_left_and_counted(shop: Replica, tmp_path: Path) -> None:
    await shop.ingest("shop", later_shop_lines(300))
    await shop.core.spool.flush()
    folder = tmp_path / "spool"
    need = Layout.needed(shop_bundle().judge())
    all_of_it = read_spool(folder, "shop", "shop-tree", [need])
    assert len(all_of_it) > 10
    other = read_spool(folder, "shop", "another tree", [])
    assert (len(other), other.skipped) == (0, len(all_of_it))
    found = read_spool(folder, "shop", "shop-tree", [replace(need, width=50)])
    assert len(found.counts) == 0
    assert found.skipped >= len(all_of_it.counts)
    assert len(read_spool(folder, "nowhere", "shop-tree", [])) == 0
    assert len(read_spool(folder, "shop", "shop-tree", [], limit=3).counts) == 3


async def test_a_file_that_is_none_is_passed_over(shop: Replica, tmp_path: Path) -> None:
    await shop.ingest("shop", later_shop_lines(300))
    await shop.core.spool.flush()
    (tmp_path / "spool" / "shop" / "rows-999999999999999-x-000001.parquet").write_bytes(b"no parquet at all")
    found = read_spool(tmp_path / "spool", "shop", "shop-tree", [])
    assert found.unreadable == 1
    assert len(found.counts) > 10


async def test_the_oldest_files_go_beyond_the_cap(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    now = 1_800_000_000.0
    bundles = stored(tmp_path / "bundles", shop_bundle())
    async with running(redis_url, bundles, lambda: now, spool_rows=200) as replica:
        names: list[str] = []
        for batch in batches_of(shop_source(), later_shop_lines(4_000, 14_000), 400):
            await replica.ingest("shop", batch)
            await replica.core.spool.flush()
            now += 61.0
            names += [file.name for file in files(tmp_path / "spool", "shop", ROWS)]
        left = [file for kind in (ROWS, CLOSINGS) for file in files(tmp_path / "spool", "shop", kind)]
        assert sum(pl.read_parquet(file).height for file in left) <= 200
        assert {file.name for file in left if file.name.startswith(ROWS)} < set(names)
        assert max(names) in {file.name for file in left}
        metrics = await replica.metrics()
        assert metrics['tocsin_spool_rows_total{outcome="left_out",source="shop"}'] > 0
        assert not list((tmp_path / "spool" / "shop").glob("*.writing"))


async def test_a_folder_that_cannot_be_written_costs_no_verdict(
    redis: Redis, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.ping()
    in_the_way = tmp_path / "spool"
    in_the_way.write_text("a file, and no folder")
    async with running(redis_url, stored(tmp_path / "bundles", shop_bundle())) as replica:
        for _ in range(2):
            assert (await replica.ingest("shop", later_shop_lines(200)))["verdicts"]
            await replica.core.spool.flush()
        metrics = await replica.metrics()
        assert metrics['tocsin_spool_failures_total{source="shop"}'] == 2
        assert sum("cannot be spooled" in record.message for record in caplog.records) == 1
        in_the_way.unlink()
        await replica.ingest("shop", later_shop_lines(200))
        await replica.core.spool.flush()
        # What could not be written before is not lost.
        kept = read_spool(in_the_way, "shop", "shop-tree", [])
        assert kept.counts.sum() + kept.end_counts.sum() == sum(
            value for name, value in (await replica.metrics()).items() if name.startswith("tocsin_spool_rows_total{")
        )


async def test_too_much_that_waits_is_left_out(shop: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_WAITING", 250)
    lines = later_shop_lines(200)
    for _ in range(3):
        await shop.ingest("shop", lines)
    metrics = await shop.metrics()
    assert metrics['tocsin_spool_rows_total{outcome="left_out",source="shop"}'] > 200


async def test_nothing_is_spooled_where_it_is_switched_off(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", shop_bundle()), spool_rows=0) as replica:
        await replica.ingest("shop", later_shop_lines(200))
        await replica.core.spool.flush()
    assert not (tmp_path / "spool").exists()


async def test_what_waits_is_written_when_the_service_stops(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with running(redis_url, stored(tmp_path / "bundles", shop_bundle())) as replica:
        await replica.ingest("shop", later_shop_lines(200))
    assert len(read_spool(tmp_path / "spool", "shop", "shop-tree", []).counts) > 10


async def test_whatever_goes_wrong_in_the_spool_stops_neither_it_nor_the_service(
    shop: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("nobody thought of this")

    with monkeypatch.context() as harm:
        harm.setattr(gathering.Gathering, "add", broken)
        assert (await shop.ingest("shop", later_shop_lines(200)))["verdicts"]
        await shop.core.spool.flush()
    metrics = await shop.metrics()
    assert metrics['tocsin_spool_failures_total{source="shop"}'] == 1
    await shop.ingest("shop", later_shop_lines(200))
    await shop.core.spool.flush()
    assert len(read_spool(tmp_path / "spool", "shop", "shop-tree", []).counts) > 10
