"""Which candidates are deleted, and which never."""

from pathlib import Path

import pytest

from models.bundles import BundleStore
from models.retention import prune
from tests.models.test_bundles import bundle_of

PASSED = {"passed": True, "reasons": []}
REJECTED = {"passed": False, "reasons": ["no"]}


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """A trained version 1 and candidates 2 to 8, each made from the one before; 5 was rejected."""
    store = BundleStore(tmp_path / "own", shipped=None)
    store.save("shop", bundle_of("1"))
    for number in range(2, 9):
        gate = REJECTED if number == 5 else PASSED
        store.save("shop", bundle_of(str(number), parent=str(number - 1), gate=gate))
    return store


def test_the_oldest_candidates_go_and_the_parent_of_the_oldest_kept_stays(store: BundleStore) -> None:
    assert prune(store, "shop", 3, {"8"}) == ["2", "3", "4"]
    assert store.versions("shop") == ["1", "5", "6", "7", "8"]
    assert prune(store, "shop", 3, {"8"}) == []


def test_protected_versions_and_their_parents_stay(store: BundleStore) -> None:
    assert prune(store, "shop", 2, {"3"}) == ["4", "5"]
    assert store.versions("shop") == ["1", "2", "3", "6", "7", "8"]


def test_nothing_goes_while_there_are_few(store: BundleStore) -> None:
    assert prune(store, "shop", 7, set()) == []
    assert len(store.versions("shop")) == 8


def test_what_people_trained_and_what_is_shipped_never_goes(tmp_path: Path) -> None:
    shipped = BundleStore(tmp_path / "shipped", shipped=None)
    shipped.save("shop", bundle_of("1", gate=PASSED))
    store = BundleStore(tmp_path / "own", shipped=tmp_path / "shipped")
    for number in (2, 3, 4):
        store.save("shop", bundle_of(str(number)))
    store.save("shop", bundle_of("5", gate=PASSED))
    assert prune(store, "shop", 1, set()) == []
    assert store.versions("shop") == ["1", "2", "3", "4", "5"]


def test_a_version_that_cannot_be_read_is_left_alone(store: BundleStore, tmp_path: Path) -> None:
    (tmp_path / "own" / "shop" / "2" / "manifest.json").write_bytes(b"{}")
    assert "2" not in prune(store, "shop", 1, set())
    assert "2" in store.versions("shop")
