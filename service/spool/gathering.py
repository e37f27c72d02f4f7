"""One file of a spool in the making: distinct events and closed sessions of one version, counted.

Owns what is the same, and the bound. Does not know when it is written, nor where to.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Self

import polars as pl

from models.sessions import Closing
from models.spool import closings as ends
from models.spool import rows
from models.spool.layout import Layout
from models.spool.reader import CLOSINGS, ROWS, TREE, VERSION
from service.pipeline.seen import Seen

FILE_ROWS = 20_000
FILE_BYTES = 16 * 2**20
"""Of events and of closed sessions, in memory, each."""
TEXT_BYTES = 4_000
"""Longer messages are left out."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What must be the same for all of one file."""

    version: str
    tree_id: str
    layout: Layout

    @classmethod
    def of(cls, seen: Seen) -> Self:
        """Of a batch that a version judged."""
        return cls(seen.version, seen.tree_id, Layout.of(seen.rows, seen.judge.reads_texts, seen.tail))


class Gathering:
    """Distinct events and sessions of one kind, at most ``capacity`` of each; begun at a time in seconds."""

    def __init__(self, kind: Kind, begun: float, capacity: int = FILE_ROWS) -> None:
        self.kind = kind
        self.begun = begun
        self._capacity = capacity
        self._rows: dict[bytes, int] = {}
        self._row_bytes = 0
        self._ends: dict[ends.Packed, tuple[int, ends.First]] = {}
        self._end_cells = 0
        self.changed = False
        self.full = False
        """Whether something was left out."""

    def add(self, seen: Seen) -> tuple[int, int]:
        """Take a batch of this kind; how many of its events and sessions were taken, and how many left out."""
        judged = seen.judged
        if judged.rows is None or judged.closed is None:
            return 0, 0
        size = len(seen.rows.key) + len(judged.closings)
        left = self._add_rows(rows.pack(self.kind.layout, seen.rows, judged.rows.anomalous, judged.rows.silenced))
        packed = ends.pack(judged.closings, judged.closed.anomalous, judged.closed.silenced)
        for name, closing in zip(packed, judged.closings, strict=True):
            left += self._add_end(name, closing)
        self.changed = self.changed or left < size
        self.full = self.full or left > 0
        return size - left, left

    def columns(self) -> dict[str, pl.DataFrame]:
        """What was gathered, by kind of file; nothing of a kind that is empty."""
        made = {}
        if self._rows:
            made[ROWS] = rows.columns(self.kind.layout, self._rows)
        if self._ends:
            made[CLOSINGS] = ends.columns(self._ends)
        tree, version = pl.lit(self.kind.tree_id).alias(TREE), pl.lit(self.kind.version).alias(VERSION)
        return {what: frame.with_columns(tree, version) for what, frame in made.items()}

    def _add_rows(self, packed: list[bytes]) -> int:
        left = 0
        known, fixed = self._rows, rows.cell_type(self.kind.layout).itemsize
        for name, times in Counter(packed).items():
            if name in known:
                known[name] += times
            elif (
                len(known) < self._capacity
                and self._row_bytes + len(name) <= FILE_BYTES
                and len(name) - fixed <= TEXT_BYTES
            ):
                known[name] = times
                self._row_bytes += len(name)
            else:
                left += times
        return left

    def _add_end(self, name: ends.Packed, closing: Closing) -> int:
        known = self._ends.get(name)
        cells = len(name[1]) + len(name[2]) + len(name[3])
        if known is not None:
            self._ends[name] = known[0] + 1, known[1]
        elif len(self._ends) < self._capacity and 16 * (self._end_cells + cells) <= FILE_BYTES:
            self._ends[name] = 1, ends.first(closing)
            self._end_cells += cells
        else:
            return 1
        return 0
