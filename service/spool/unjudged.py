"""Records that no version judges yet, put by for the first training.

Owns one source's file in the making, and its bound. Does not know when it is written (``spool``), nor what comes of it.
"""

from dataclasses import dataclass

import polars as pl

from models.parser import End
from models.record import Records
from models.sessions import Int64
from models.spool.records import pack

FILE_ROWS = 20_000
FILE_BYTES = 32 * 2**20
"""Of messages, in memory."""


@dataclass(frozen=True, slots=True)
class Taught:
    """One batch of ``source`` in which nothing was judged: its ``records`` with their template ``ids`` int64 [n], its
    end records, and when it came (seconds)."""

    source: str
    tree_id: str
    records: Records
    ids: Int64
    ends: tuple[End, ...]
    arrival: float

    @property
    def size(self) -> int:
        """Rows that it takes."""
        return len(self.records) + len(self.ends)


class Heap:
    """One file of records in the making, begun at a time in seconds; full past ``rows`` or ``FILE_BYTES``."""

    def __init__(self, begun: float, rows: int) -> None:
        self.begun = begun
        self._most = min(rows, FILE_ROWS)
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._bytes = 0
        self.changed = False

    @property
    def full(self) -> bool:
        """Whether another batch belongs into the next file."""
        return self._rows >= self._most or self._bytes >= FILE_BYTES

    def add(self, taught: Taught) -> None:
        """Take a batch."""
        frame = pack(taught.records, taught.ids, taught.ends, taught.arrival, taught.tree_id)
        self._frames.append(frame)
        self._rows += frame.height
        self._bytes += int(frame["message"].str.len_bytes().sum()) + int(frame["masked"].str.len_bytes().sum())
        self.changed = True

    def columns(self) -> pl.DataFrame:
        """What was taken, in order."""
        whole = pl.concat(self._frames, how="diagonal")
        self._frames = [whole]
        return whole
