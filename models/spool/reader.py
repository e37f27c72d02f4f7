"""A folder of spooled traffic, read for versions that are to judge it again.

Owns names of files and which rows can be judged: those of the same template tree that hold all that every version
reads. Does not know who writes (``service/spool``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from models.members.event import Observed
from models.sessions import Bool, Closing, Int64
from models.spool import closings as ends
from models.spool.layout import Layout
from models.spool.rows import joined, layout_of, observed
from models.windows import Windows

ROWS, CLOSINGS = "rows", "closings"
SUFFIX = ".parquet"
TREE, VERSION = "tree", "version"
"""Columns of every file: of which template tree its ids are, and which version judged."""

LIMIT = 100_000
"""Distinct events and sessions that are read where nobody says otherwise."""


def file_name(kind: str, begun_ms: int, writer: str, number: int) -> str:
    """Name of a file of ``ROWS`` or ``CLOSINGS`` that ``writer`` began at a time in milliseconds: sorts by age."""
    return f"{kind}-{begun_ms:015d}-{writer}-{number:06d}{SUFFIX}"


def files(folder: Path, source: str, kind: str) -> list[Path]:
    """Files of one kind of a source, oldest first."""
    return sorted((folder / source).glob(f"{kind}-*{SUFFIX}"), key=lambda path: path.name)


@dataclass(frozen=True, slots=True)
class Spooled:
    """Traffic that can be judged again: k distinct events and c distinct closed sessions, the newest files first.

    ``counts`` int64 [k], how often each event came; ``anomalous`` and ``silenced`` bool [k], what the version made of
    it that was live; the same of ``closings`` with ``end_``. ``skipped`` counts events and sessions that another tree
    named or that hold too little, ``unreadable`` files that are none.
    """

    frames: tuple[pl.DataFrame, ...]
    closings: list[Closing]
    counts: Int64
    anomalous: Bool
    silenced: Bool
    end_counts: Int64
    end_anomalous: Bool
    end_silenced: Bool
    skipped: int = 0
    unreadable: int = 0

    def __len__(self) -> int:
        """Distinct events and sessions."""
        return len(self.counts) + len(self.closings)

    def rows(self, need: Layout) -> Observed:
        """The k events for a judge that reads ``need``, one of those that they were read for."""
        if not self.frames:
            return Observed(Windows.none(need.width), np.empty(0, dtype=np.int64))
        return joined([observed(frame, need) for frame in self.frames])


def read_spool(folder: Path, source: str, tree_id: str, needs: Sequence[Layout], limit: int = LIMIT) -> Spooled:
    """Spooled traffic of ``source`` in the ids of ``tree_id`` for judges that read ``needs``: at most ``limit``
    distinct events and as many closed sessions, the newest. A folder that is not there holds nothing."""
    skipped = unreadable = 0
    kept: dict[str, list[pl.DataFrame]] = {ROWS: [], CLOSINGS: []}
    for kind, frames in kept.items():
        missing = limit
        for path in reversed(files(folder, source, kind)):
            if missing <= 0:
                break
            try:
                frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
                whole = frame.height
                own = frame.filter(pl.col(TREE) == tree_id)
                own = _holding(own, needs) if kind == ROWS else _ending(own, needs)
            except (PolarsError, OSError):  # dropped under our hands as the oldest, or no spool at all
                unreadable += 1
                continue
            skipped += whole - own.height
            own = own.tail(missing)
            missing -= own.height
            if own.height:
                frames.append(own)
    lines = _flags(kept[ROWS])
    ended = _flags(kept[CLOSINGS])
    closings = [closing for frame in kept[CLOSINGS] for closing in ends.closings(frame)]
    return Spooled(tuple(kept[ROWS]), closings, *lines, *ended, skipped, unreadable)


def _holding(frame: pl.DataFrame, needs: Sequence[Layout]) -> pl.DataFrame:
    """``frame`` where its events hold what everyone needs, else nothing of it."""
    layout = layout_of(frame)
    return frame if all(layout.holds(need) for need in needs) else frame.clear()


def _ending(frame: pl.DataFrame, needs: Sequence[Layout]) -> pl.DataFrame:
    """The sessions of ``frame`` of which enough was kept for everyone."""
    kept = pl.col("tail").list.len()
    enough = [kept >= pl.min_horizontal(pl.col("n"), pl.lit(need.tail)) for need in needs]
    return frame.filter(*enough) if enough else frame


def _flags(frames: Sequence[pl.DataFrame]) -> tuple[Int64, Bool, Bool]:
    """Counts, and which rang and which were silenced."""
    if not frames:
        nothing = np.empty(0, dtype=np.bool_)
        return np.empty(0, dtype=np.int64), nothing, nothing
    whole = pl.concat([frame.select("count", "anomalous", "silenced") for frame in frames])
    return whole["count"].to_numpy(), whole["anomalous"].to_numpy(), whole["silenced"].to_numpy()
