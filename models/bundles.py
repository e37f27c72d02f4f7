"""Where bundles lie: ``SOURCE/VERSION/`` under a path or an fsspec URL, with a read-only fallback for the shipped ones.

Versions are immutable: a version that exists is never written again, and one that a gate rejected stays rejected.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs

from models.bundle import MANIFEST, Bundle, Manifest
from models.errors import BundleError

SHIPPED = Path(__file__).parent / "pretrained"
"""Bundles that come with Tocsin."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of sources and versions: they become path segments and parts of Redis keys."""


@dataclass(frozen=True, slots=True)
class About:
    """What a version says of itself without being loaded: ``created`` in seconds since the epoch, ``parent`` which
    version it was made from, ``gate`` what a candidate was held against (``passed``, ``reasons``; None: no candidate).
    ``shipped``: it came with Tocsin; ``problem``: why its manifest cannot be read."""

    version: str
    parent: str | None = None
    created: float | None = None
    tree_id: str | None = None
    gate: dict[str, Any] | None = None
    shipped: bool = False
    problem: str | None = None

    @property
    def rejected(self) -> str | None:
        """Why it must not judge; None where nothing speaks against it. A gate that does not say "passed" rejects."""
        if self.gate is None or self.gate.get("passed") is True:
            return None
        reasons = self.gate.get("reasons")
        return "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else "no reason is given"

    @classmethod
    def of(cls, manifest: Manifest, shipped: bool = False) -> "About":
        """What ``manifest`` says."""
        gate = manifest.metrics.get("gate")
        if gate is not None and not isinstance(gate, dict):
            gate = {"passed": False, "reasons": ["its manifest has a gate that cannot be read"]}
        return cls(manifest.version, manifest.parent, manifest.created, manifest.tree_id, gate, shipped)


class BundleStore:
    """Bundles of all sources under one root (a path or an fsspec URL)."""

    def __init__(self, root: str | Path, shipped: Path | None = SHIPPED) -> None:
        fs, path = url_to_fs(str(root))
        self._roots: list[tuple[fsspec.AbstractFileSystem, str]] = [(fs, path.rstrip("/"))]
        if shipped is not None:
            self._roots.append((fsspec.filesystem("file"), str(shipped)))
        self._read: dict[tuple[str, str], tuple[str, About]] = {}
        """What versions say, by source and version, beside what would tell if their manifests had changed."""

    def sources(self) -> list[str]:
        """Names of sources that have at least one version."""
        return sorted({source for source, _ in self._versions()})

    def versions(self, source: str) -> list[str]:
        """Versions of a source, oldest first."""
        return sorted({version for name, version in self._versions() if name == source}, key=_age)

    def newest(self, source: str) -> str | None:
        """The newest version of a source that no gate rejected, None where there is none."""
        return next((v for v in reversed(self.versions(source)) if self.about(source, v).rejected is None), None)

    def about(self, source: str, version: str) -> About:
        """What one version says of itself. Raises BundleError where there is none."""
        _checked(source), _checked(version)
        for number, (fs, root) in enumerate(self._roots):
            path = f"{root}/{source}/{version}/{MANIFEST}"
            try:
                key = str(fs.ukey(path))
                known = self._read.get((source, version))
                if known is not None and known[0] == key:
                    return known[1]
                found = About.of(Manifest.from_json(fs.cat_file(path)), shipped=number > 0)
            except FileNotFoundError:
                continue
            except (BundleError, OSError) as error:
                return About(version, shipped=number > 0, problem=str(error))
            self._read[source, version] = key, found
            return found
        raise self._missing(source, version)

    def described(self, source: str) -> list[About]:
        """What the versions of a source say of themselves, oldest first."""
        found = []
        for version in self.versions(source):
            with contextlib.suppress(BundleError):  # deleted meanwhile
                found.append(self.about(source, version))
        return found

    def load(self, source: str, version: str) -> Bundle:
        """Read and verify one version. Raises BundleError where it is missing, damaged, of a newer format, or lies in a
        folder of another name than its manifest says."""
        _checked(source), _checked(version)
        for fs, root in self._roots:
            folder = f"{root}/{source}/{version}"
            if not fs.exists(f"{folder}/{MANIFEST}"):
                continue
            try:
                bundle = Bundle.open(_files(fs, folder))
            except (BundleError, OSError) as error:
                raise BundleError(f"bundle {source}/{version}: {error}") from error
            if bundle.version != version:
                # Whoever follows the live version by its name would load this one again and again.
                raise BundleError(
                    f"bundle {source}/{version}: its manifest says version {bundle.version}; name its folder so"
                )
            return bundle
        raise self._missing(source, version)

    def delete(self, source: str, version: str) -> None:
        """Delete a version. The manifest goes first, so a half-deleted version is never seen. Raises BundleError where
        there is none, or none but a shipped one."""
        _checked(source), _checked(version)
        fs, root = self._roots[0]
        folder = f"{root}/{source}/{version}"
        try:
            fs.rm_file(f"{folder}/{MANIFEST}")
            fs.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                fs.rm(folder, recursive=True)
        except FileNotFoundError as error:
            raise self._missing(source, version) from error
        except OSError as error:
            raise BundleError(f"bundle {source}/{version} cannot be deleted: {error}") from error
        self._read.pop((source, version), None)

    def save(self, source: str, bundle: Bundle) -> str:
        """Write a new version; returns its folder. The manifest comes last, so a half-written version is never seen."""
        folder = self.free(source, bundle.version)
        fs, _ = self._roots[0]
        try:
            fs.makedirs(folder, exist_ok=True)
            for name, content in bundle.files.items():
                fs.pipe_file(f"{folder}/{name}", content)
            fs.pipe_file(f"{folder}/{MANIFEST}", bundle.manifest.to_json())
        except OSError as error:
            raise BundleError(f"bundle {source}/{bundle.version} cannot be written: {error}") from error
        return folder

    def free(self, source: str, version: str) -> str:
        """Folder of a version that is yet to be written. Raises BundleError where it exists or has no proper name."""
        _checked(source), _checked(version)
        fs, root = self._roots[0]
        folder = f"{root}/{source}/{version}"
        if fs.exists(f"{folder}/{MANIFEST}"):
            raise BundleError(f"bundle {source}/{version} exists and versions are immutable; choose another")
        return folder

    def _missing(self, source: str, version: str) -> BundleError:
        known = ", ".join(self.versions(source)) or "none"
        return BundleError(f"no bundle {source}/{version}; versions here: {known}")

    def _versions(self) -> Iterator[tuple[str, str]]:
        for fs, root in self._roots:
            # Another process may have written since: object stores remember listings.
            fs.invalidate_cache()
            for path in fs.glob(f"{escape(root)}/*/*/{MANIFEST}"):
                source, version, _ = path.rsplit("/", 3)[1:]
                if NAME.fullmatch(source) and NAME.fullmatch(version):
                    yield source, version


def _files(fs: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    """Files of a bundle's folder by name; folders in it are none of its files."""
    return {
        entry["name"].rsplit("/", 1)[1]: fs.cat_file(entry["name"])
        for entry in fs.ls(folder, detail=True)
        if entry["type"] == "file"
    }


def next_version(versions: list[str]) -> str:
    """The version after the newest: whole numbers, so that people can say them."""
    numbers = [int(version) for version in versions if version.isdigit()]
    return str(max(numbers, default=0) + 1)


def _age(version: str) -> tuple[int, str]:
    return (int(version) if version.isdigit() else 0, version)


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BundleError(f"{name!r} is no name of a source or version (letters, digits, '.', '_', '-'; at most 64)")
    return name
