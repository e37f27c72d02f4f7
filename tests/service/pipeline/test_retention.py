"""What is live, was live before, or judges in the shadow outlives every candidate."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from models.bundles import BundleStore
from service.pipeline.retention import prune_versions
from service.state import sources
from tests.models.test_bundles import bundle_of


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """Candidates 1 to 9, none of another."""
    store = BundleStore(tmp_path, shipped=None)
    for number in range(1, 10):
        store.save("shop", bundle_of(str(number), gate={"passed": True, "reasons": []}))
    return store


async def test_versions_in_use_are_kept(redis: Redis, store: BundleStore) -> None:
    for version in ("1", "2", "4"):
        await sources.activate(redis, "shop", version)
    await sources.set_shadow(redis, "shop", "5")
    assert await prune_versions(redis, store, "shop", 2) == ["1", "3", "6", "7"]
    assert store.versions("shop") == ["2", "4", "5", "8", "9"]


async def test_nothing_is_deleted_while_nobody_says_what_is_in_use(redis: Redis, store: BundleStore) -> None:
    assert await prune_versions(redis, store, "shop", 2) == []
    assert len(store.versions("shop")) == 9
