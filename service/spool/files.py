"""The folder of a spool: whole files only, and the oldest go.

Owns how a file gets there and the caps. Does not know what stands in one. Several processes may write to one folder:
each has files of its own, and any of them drops the oldest.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import polars as pl

from models.spool.reader import SUFFIX, files

UNFINISHED = ".writing"
ABANDONED_S = 3600.0
"""A file that somebody began to write so long before another was written will not be finished."""


class SpoolFiles:
    """Files of all sources under ``folder``: of each source at most so many ``rows`` and bytes (``size``)."""

    def __init__(self, folder: Path, rows: int, size: int) -> None:
        self._folder = folder
        self._rows = rows
        self._size = size
        self._known: dict[tuple[str, int], int] = {}
        """Rows of a file by its path and size."""

    def write(self, source: str, name: str, frame: pl.DataFrame) -> None:
        """Write a file, or write it anew. Raises OSError where the disk is full or the folder not writable."""
        folder = self._folder / source
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{name}.{uuid4().hex[:8]}{UNFINISHED}"
        try:
            frame.write_parquet(unfinished)
            unfinished.replace(folder / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def trim(self, source: str) -> None:
        """Drop the oldest files beyond the caps, never the newest of a kind. Raises OSError."""
        folder = self._folder / source
        found = {path: stat for path in folder.glob("*") if (stat := _stat(path)) is not None}
        newest = max((stat.st_mtime for stat in found.values()), default=0.0)
        whole: list[tuple[str, Path, int, int]] = []
        for path, stat in found.items():
            if path.name.endswith(UNFINISHED) and stat.st_mtime < newest - ABANDONED_S:
                path.unlink(missing_ok=True)
            elif path.name.endswith(SUFFIX):
                kind, _, age = path.name.partition("-")
                whole.append((age + kind, path, stat.st_size, self._count(path, stat.st_size)))
        whole.sort()
        size, rows = sum(size for _, _, size, _ in whole), sum(rows for _, _, _, rows in whole)
        last = {path.name.partition("-")[0]: path for _, path, _, _ in whole}
        for _, path, own_size, own_rows in whole:
            if size <= self._size and rows <= self._rows:
                break
            if path not in last.values():
                path.unlink(missing_ok=True)
                size, rows = size - own_size, rows - own_rows
        self._forget(folder, (path for _, path, _, _ in whole))

    def drop(self, source: str, kind: str) -> None:
        """Drop every file of one kind. Raises OSError."""
        for path in files(self._folder, source, kind):
            path.unlink(missing_ok=True)

    def _count(self, path: Path, size: int) -> int:
        """Rows of a file; 0 where it is none."""
        known = self._known.get((str(path), size))
        if known is None:
            try:
                known = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
            except (pl.exceptions.PolarsError, OSError):
                known = 0
            self._known[str(path), size] = known
        return known

    def _forget(self, folder: Path, there: Iterable[Path]) -> None:
        names = {str(path) for path in there}
        gone = [key for key in self._known if key[0].startswith(f"{folder}{os.sep}") and key[0] not in names]
        for key in gone:
            del self._known[key]


def _stat(path: Path) -> os.stat_result | None:
    """None where another process dropped it meanwhile."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
