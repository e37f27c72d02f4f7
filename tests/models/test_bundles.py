"""Where bundles lie: immutable versions, whole or not there at all, names that stay inside the folder."""

import re
from pathlib import Path
from uuid import uuid4

import pytest

from models.bundle import MANIFEST, Bundle, Manifest
from models.bundles import SHIPPED, BundleStore, next_version
from models.errors import BundleError
from models.sessions import SessionSettings


def bundle_of(version: str, content: bytes = b"content", parent: str | None = None, gate: object = None) -> Bundle:
    manifest = Manifest(
        source={"name": "shop"},
        version=version,
        created=0.0,
        parent=parent,
        tree_id="t",
        tree_version=0,
        session=SessionSettings(1, 1.0),
        detectors={},
        ensemble={},
        provenance={},
        metrics={} if gate is None else {"gate": gate},
    )
    return Bundle.seal(manifest, {"file.bin": content})


@pytest.fixture(params=["path", "url"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "bundles") if request.param == "path" else f"memory://{uuid4().hex}/bundles"


@pytest.fixture
def store(root: str) -> BundleStore:
    return BundleStore(root, shipped=None)


def test_saved_bundle_is_loaded_by_any_store_on_that_root(store: BundleStore, root: str) -> None:
    store.save("shop", bundle_of("1"))
    assert BundleStore(root, shipped=None).load("shop", "1") == bundle_of("1")


def test_store_without_anything_is_empty(store: BundleStore) -> None:
    assert (store.sources(), store.versions("shop"), store.newest("shop")) == ([], [], None)


def test_versions_are_in_order_of_their_numbers(store: BundleStore) -> None:
    for version in ("2", "10", "1"):
        store.save("shop", bundle_of(version))
    store.save("other", bundle_of("3"))
    assert store.versions("shop") == ["1", "2", "10"]
    assert (store.newest("shop"), store.sources()) == ("10", ["other", "shop"])
    assert next_version(store.versions("shop")) == "11"
    assert next_version([]) == "1"
    assert next_version(["rc-1"]) == "1"


def test_version_is_never_written_again(store: BundleStore) -> None:
    store.save("shop", bundle_of("1"))
    with pytest.raises(BundleError, match="immutable; choose another"):
        store.save("shop", bundle_of("1", b"other content"))
    with pytest.raises(BundleError, match="immutable"):
        store.free("shop", "1")
    assert store.load("shop", "1") == bundle_of("1")


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "a/b", "/etc", "a\\b", "a b", "-x", "x" * 65, "a\n", "{x}", "ü"]
)
def test_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    store = BundleStore(tmp_path / "bundles", shipped=None)
    for source, version in ((name, "1"), ("shop", name)):
        with pytest.raises(BundleError, match="no name of a source or version"):
            store.load(source, version)
        with pytest.raises(BundleError, match="no name of a source or version"):
            store.save(source, bundle_of(version))
    assert not (tmp_path / "bundles").exists()


def test_half_written_version_is_not_there_and_may_be_written_anew(tmp_path: Path) -> None:
    store = BundleStore(tmp_path, shipped=None)
    folder = tmp_path / "shop" / "1"
    folder.mkdir(parents=True)
    (folder / "file.bin").write_bytes(b"half")
    assert store.versions("shop") == []
    with pytest.raises(BundleError, match="no bundle shop/1; versions here: none"):
        store.load("shop", "1")
    store.save("shop", bundle_of("1"))
    assert store.load("shop", "1") == bundle_of("1")


def test_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BundleStore(tmp_path, shipped=None)
    fs = store._roots[0][0]
    written: list[str] = []
    real = fs.pipe_file
    monkeypatch.setattr(fs, "pipe_file", lambda path, content: (written.append(Path(path).name), real(path, content)))
    store.save("shop", bundle_of("1"))
    assert written == ["file.bin", MANIFEST]


def test_missing_version_names_those_that_there_are(store: BundleStore) -> None:
    store.save("shop", bundle_of("1"))
    store.save("shop", bundle_of("2"))
    with pytest.raises(BundleError, match="no bundle shop/3; versions here: 1, 2"):
        store.load("shop", "3")


def test_damaged_bundle_is_named(tmp_path: Path) -> None:
    store = BundleStore(tmp_path, shipped=None)
    folder = Path(store.save("shop", bundle_of("1")))
    (folder / "file.bin").write_bytes(b"tampered")
    with pytest.raises(BundleError, match=re.escape("bundle shop/1: file.bin differs from its sha256")):
        store.load("shop", "1")


def test_bundle_in_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    store = BundleStore(tmp_path, shipped=None)
    store.save("shop", bundle_of("7"))
    (tmp_path / "shop" / "7").rename(tmp_path / "shop" / "renamed")
    with pytest.raises(BundleError, match=r"shop/renamed: its manifest says version 7; name its folder so"):
        store.load("shop", "renamed")


def test_folders_inside_a_version_do_no_harm(tmp_path: Path) -> None:
    store = BundleStore(tmp_path, shipped=None)
    (Path(store.save("shop", bundle_of("1"))) / "notes").mkdir()
    assert store.load("shop", "1") == bundle_of("1")


def test_root_may_have_signs_that_patterns_use(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles [old] *", shipped=None)
    store.save("shop", bundle_of("1"))
    assert store.versions("shop") == ["1"]


def test_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        BundleStore(tmp_path / "file", shipped=None).save("shop", bundle_of("1"))


def test_shipped_bundles_are_a_fallback_that_is_never_written(tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    BundleStore(shipped, shipped=None).save("shop", bundle_of("1", b"shipped"))
    store = BundleStore(tmp_path / "own", shipped=shipped)
    assert store.load("shop", "1").files["file.bin"] == b"shipped"
    store.save("shop", bundle_of("2"))
    store.save("shop", bundle_of("1", b"own"))
    assert store.versions("shop") == ["1", "2"]
    assert store.load("shop", "1").files["file.bin"] == b"own"
    assert BundleStore(shipped, shipped=None).versions("shop") == ["1"]


def test_every_shipped_bundle_is_whole() -> None:
    store = BundleStore(SHIPPED, shipped=None)
    for source in store.sources():
        for version in store.versions(source):
            bundle = store.load(source, version)
            assert bundle.judge().events
            assert len(bundle.tree()) > 0
            assert sum(map(len, bundle.files.values())) <= 5_000_000


def test_version_tells_of_itself_without_being_loaded(store: BundleStore) -> None:
    store.save("shop", bundle_of("1"))
    gate = {"passed": False, "reasons": ["rings more often", "forgot an anomaly"]}
    store.save("shop", bundle_of("2", parent="1", gate=gate))
    plain, candidate = store.described("shop")
    assert (plain.version, plain.parent, plain.created, plain.gate, plain.rejected) == ("1", None, 0.0, None, None)
    assert (candidate.parent, candidate.gate) == ("1", gate)
    assert candidate.rejected == "rings more often; forgot an anomaly"
    assert not candidate.shipped
    with pytest.raises(BundleError, match="versions here: 1, 2"):
        store.about("shop", "3")


@pytest.mark.parametrize(
    ("gate", "passes"),
    [
        ({"passed": True, "reasons": []}, True),
        ({"passed": False, "reasons": []}, False),
        ({"reasons": []}, False),
        ({"passed": "yes"}, False),
        ("passed", False),
        ([], False),
    ],
)
def test_only_a_gate_that_passed_lets_a_candidate_be_the_newest(store: BundleStore, gate: object, passes: bool) -> None:
    store.save("shop", bundle_of("1"))
    store.save("shop", bundle_of("2", gate=gate))
    assert store.newest("shop") == ("2" if passes else "1")
    assert (store.about("shop", "2").rejected is None) == passes


def test_source_with_rejected_candidates_alone_has_no_newest(store: BundleStore) -> None:
    store.save("shop", bundle_of("1", gate={"passed": False, "reasons": ["no"]}))
    assert store.newest("shop") is None


def test_version_whose_manifest_cannot_be_read_says_so_and_is_still_the_newest(tmp_path: Path) -> None:
    store = BundleStore(tmp_path, shipped=None)
    store.save("shop", bundle_of("1"))
    store.save("shop", bundle_of("2"))
    (tmp_path / "shop" / "2" / MANIFEST).write_bytes(b"{}")
    assert "damaged" in (store.about("shop", "2").problem or "")
    assert store.newest("shop") == "2"


def test_what_a_version_says_is_read_anew_once_its_manifest_is_another(store: BundleStore) -> None:
    store.save("shop", bundle_of("1", gate={"passed": True}))
    assert store.about("shop", "1").rejected is None
    store.delete("shop", "1")
    store.save("shop", bundle_of("1", parent="0", gate={"passed": False, "reasons": ["worse than the one before it"]}))
    assert store.about("shop", "1").rejected == "worse than the one before it"


def test_deleted_version_is_gone_and_its_neighbours_stay(store: BundleStore, root: str) -> None:
    for version in ("1", "2"):
        store.save("shop", bundle_of(version))
    store.delete("shop", "1")
    assert store.versions("shop") == BundleStore(root, shipped=None).versions("shop") == ["2"]
    assert store.load("shop", "2") == bundle_of("2")
    with pytest.raises(BundleError, match="no bundle shop/1"):
        store.delete("shop", "1")
    with pytest.raises(BundleError):
        store.delete("shop", "../2")
    assert store.free("shop", "1")


def test_shipped_version_is_never_deleted(tmp_path: Path) -> None:
    shipped = BundleStore(tmp_path / "shipped", shipped=None)
    shipped.save("shop", bundle_of("1"))
    store = BundleStore(tmp_path / "own", shipped=tmp_path / "shipped")
    assert store.about("shop", "1").shipped
    with pytest.raises(BundleError, match="no bundle shop/1"):
        store.delete("shop", "1")
    assert store.load("shop", "1") == bundle_of("1")
