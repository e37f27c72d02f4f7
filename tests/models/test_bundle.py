"""A bundle: sealed, opened, and refused with a reason that says what to do."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from models.bundle import FORMAT, MANIFEST, TEMPLATES, Bundle, Manifest
from models.errors import BundleError
from models.sessions import SessionSettings
from models.template.tree import TemplateTree
from tests.golden import blocks


def sealed(version: str = "1") -> Bundle:
    source = blocks.source()
    tree = TemplateTree(source.drain, "tree")
    tree.assign(["served <BLK>", "stored <BLK>"])
    manifest = Manifest(
        source=source.to_dict(),
        version=version,
        created=1_700_000_000.125,
        parent=None,
        tree_id="tree",
        tree_version=tree.version,
        session=SessionSettings(10, 0.1 + 0.2, 60.0),
        detectors={"new_event": {}},
        ensemble={"weights": {"new_event": 1.0}},
        provenance={"train_share": 1 / 3},
        metrics={},
    )
    return Bundle.seal(manifest, {TEMPLATES: orjson.dumps(tree.snapshot()), "b.bin": bytes(range(256)), "a.txt": b""})


def stored(bundle: Bundle) -> dict[str, bytes]:
    return {**bundle.files, MANIFEST: bundle.manifest.to_json()}


def digested(body: dict[str, Any]) -> bytes:
    """A manifest with a digest that fits, as somebody could make it."""
    body.pop("digest", None)
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return orjson.dumps({**body, "digest": digest})


def test_what_was_sealed_is_opened() -> None:
    bundle = sealed()
    again = Bundle.open(stored(bundle))
    assert again == bundle
    assert again.source == blocks.source()
    assert (again.version, again.manifest.session.idle_s) == ("1", 0.1 + 0.2)
    assert again.tree().texts() == {1: "served <BLK>", 2: "stored <BLK>"}
    assert again.manifest.to_json() == bundle.manifest.to_json()


def test_manifest_hashes_every_other_file() -> None:
    bundle = sealed()
    assert bundle.manifest.files == {n: hashlib.sha256(c).hexdigest() for n, c in bundle.files.items()}


def test_files_that_the_manifest_does_not_name_are_left_out() -> None:
    assert "evil.pkl" not in Bundle.open({**stored(sealed()), "evil.pkl": b"\x80"}).files


@pytest.mark.parametrize("name", [TEMPLATES, "b.bin", "a.txt"])
def test_tampered_file_is_named(name: str) -> None:
    files = stored(sealed())
    files[name] += b" "
    with pytest.raises(BundleError, match=rf"{name} differs from its sha256.*copy it again"):
        Bundle.open(files)


def test_missing_file_is_named() -> None:
    files = stored(sealed())
    del files["b.bin"]
    with pytest.raises(BundleError, match=r"b\.bin is missing.*copy it again"):
        Bundle.open(files)


def test_folder_without_a_manifest_is_no_bundle() -> None:
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        Bundle.open({"a.txt": b""})


def edited(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    files = stored(sealed())
    body = orjson.loads(files[MANIFEST])
    change(body)
    return {**files, MANIFEST: orjson.dumps(body)}


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["session"].update(idle_s=1.0),
        lambda body: body["files"].update(extra="0" * 64),
        lambda body: body.update(extra=1),
        lambda body: body.pop("parent"),
        lambda body: body.update(digest="0" * 64),
    ],
)
def test_manifest_changed_by_hand_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(BundleError, match="was changed after the bundle was made"):
        Bundle.open(edited(change))


@pytest.mark.parametrize("data", [b"", b"\x80\x04pickle", b"[]", b"7", b'"text"', b"null", b"{}", b'{"digest": 1}'])
def test_manifest_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is damaged.*train it again"):
        Bundle.open({**stored(sealed()), MANIFEST: data})


def test_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(BundleError, match=rf"has format {FORMAT + 1}, this Tocsin reads up to {FORMAT}; upgrade"):
        Bundle.open(edited(lambda body: body.update(format=FORMAT + 1)))


@pytest.mark.parametrize("name", ["session", "version", "files"])
def test_manifest_that_lacks_a_field_is_refused_even_with_a_fitting_digest(name: str) -> None:
    files = stored(sealed())
    body = orjson.loads(files[MANIFEST])
    del body[name]
    with pytest.raises(BundleError):
        Bundle.open({**files, MANIFEST: digested(body)})


@pytest.mark.parametrize("content", [b"not json", b"[]", b"{}", b'{"format": 99}', b'{"format": 1}'])
def test_tree_that_is_none_is_refused(content: bytes) -> None:
    bundle = sealed()
    broken = Bundle.seal(bundle.manifest, {**bundle.files, TEMPLATES: content})
    with pytest.raises(BundleError, match=r"templates\.json holds no template tree"):
        broken.tree()


def test_bundle_without_a_tree_is_refused() -> None:
    with pytest.raises(BundleError, match=r"templates\.json"):
        Bundle.seal(sealed().manifest, {}).tree()


def test_each_call_gives_a_tree_of_its_own() -> None:
    bundle = sealed()
    bundle.tree().assign(["something never heard of before"])
    assert len(bundle.tree()) == 2


def test_version_is_the_manifests() -> None:
    assert replace(sealed("7").manifest, version="8").version == "8"
    assert sealed("7").version == "7"
