"""Where bundles lie: ``SOURCE/VERSION/`` under a path or an fsspec URL, with a read-only fallback for the shipped ones.

Versions are immutable: a version that exists is never written again.
"""

import re
from collections.abc import Iterator
from glob import escape
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from models.bundle import MANIFEST, Bundle
from models.errors import BundleError

SHIPPED = Path(__file__).parent / "pretrained"
"""Bundles that come with Tocsin."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of sources and versions: they become path segments and parts of Redis keys."""


class BundleStore:
    """Bundles of all sources under one root (a path or an fsspec URL)."""

    def __init__(self, root: str | Path, shipped: Path | None = SHIPPED) -> None:
        fs, path = url_to_fs(str(root))
        self._roots: list[tuple[fsspec.AbstractFileSystem, str]] = [(fs, path.rstrip("/"))]
        if shipped is not None:
            self._roots.append((fsspec.filesystem("file"), str(shipped)))

    def sources(self) -> list[str]:
        """Names of sources that have at least one version."""
        return sorted({source for source, _ in self._versions()})

    def versions(self, source: str) -> list[str]:
        """Versions of a source, oldest first."""
        return sorted({version for name, version in self._versions() if name == source}, key=_age)

    def newest(self, source: str) -> str | None:
        """The newest version of a source, None where there is none."""
        versions = self.versions(source)
        return versions[-1] if versions else None

    def load(self, source: str, version: str) -> Bundle:
        """Read and verify one version. Raises BundleError where it is missing, damaged or of a newer format."""
        _checked(source), _checked(version)
        for fs, root in self._roots:
            folder = f"{root}/{source}/{version}"
            if not fs.exists(f"{folder}/{MANIFEST}"):
                continue
            try:
                return Bundle.open(_files(fs, folder))
            except (BundleError, OSError) as error:
                raise BundleError(f"bundle {source}/{version}: {error}") from error
        known = ", ".join(self.versions(source)) or "none"
        raise BundleError(f"no bundle {source}/{version}; versions here: {known}")

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
