"""Records of a source that no version judges yet, as columns: what its first version is trained on.

Owns the form, and which of a folder's files are read. Does not know who writes (``service/spool``).

| column | of each record, in the order in which they came |
| --- | --- |
| ``arrival``, ``time`` | when it came, and its own time, seconds |
| ``template`` | its template id; null for an end record, which has nothing but ``arrival`` and ``sessions`` |
| ``message``, ``masked`` | as the splitter made them |
| ``sessions`` | every session that it belongs to |
| ``field.NAME`` | a field of its header |
| ``tree`` | of which template tree its id is |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from models.parser import End
from models.record import Records
from models.sessions import Int64
from models.spool.reader import TREE, files

RECORDS = "records"
"""Kind of file."""
FIELD = "field."


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What came in while nothing judged: n ``records``, their template ``ids`` int64 [n], and the ``ends`` among them,
    all in one numbering. ``unreadable`` counts files that are none."""

    records: Records
    ids: Int64
    ends: tuple[End, ...]
    unreadable: int = 0

    def __len__(self) -> int:
        return len(self.records)


def pack(records: Records, ids: Int64, ends: Sequence[End], arrival: float, tree_id: str) -> pl.DataFrame:
    """One batch: its records with their template ``ids`` int64 [n], and its end records, by their places."""
    sessions = (
        pl.DataFrame({"record": records.session_record, "sessions": records.session})
        .group_by("record", maintain_order=True)
        .agg("sessions")
    )
    lines = pl.DataFrame(
        {
            "place": records.index,
            "time": records.time,
            "template": ids,
            "message": records.message,
            "masked": records.masked,
            "sessions": sessions["sessions"] if len(records) else pl.Series([], dtype=pl.List(pl.String)),
        }
    ).hstack(records.fields.rename({name: FIELD + name for name in records.fields.columns}).get_columns())
    if ends:
        over = {"place": [end.index for end in ends], "sessions": [[end.session] for end in ends]}
        own = pl.DataFrame(over, schema={"place": pl.Int64, "sessions": pl.List(pl.String)})
        lines = pl.concat([lines, own], how="diagonal").sort("place", maintain_order=True)
    return lines.drop("place").with_columns(
        pl.lit(arrival, dtype=pl.Float64).alias("arrival"), pl.lit(tree_id).alias(TREE)
    )


def read_unjudged(folder: Path, source: str, tree_id: str, limit: int) -> Unjudged:
    """The newest ``limit`` records of ``source`` in the ids of ``tree_id``, oldest first. A folder that is not there
    holds nothing."""
    frames: list[pl.DataFrame] = []
    missing, unreadable = limit, 0
    for path in reversed(files(folder, source, RECORDS)):
        if missing <= 0:
            break
        try:
            frame = pl.read_parquet(path, glob=False, hive_partitioning=False).filter(pl.col(TREE) == tree_id)
        except (PolarsError, OSError):  # dropped under our hands as the oldest, or none of ours
            unreadable += 1
            continue
        frame = frame.tail(missing)
        missing -= frame.height
        frames.append(frame)
    if not frames:
        return Unjudged(_records(pl.DataFrame(schema=_EMPTY)), np.empty(0, dtype=np.int64), (), unreadable)
    # Replicas write beside each other; each one's records stay in their order.
    whole = pl.concat(frames[::-1], how="diagonal").sort("arrival", maintain_order=True).with_row_index("place")
    lines, over = whole.filter(pl.col("template").is_not_null()), whole.filter(pl.col("template").is_null())
    ends = [End(int(place), names[0]) for place, names in over.select("place", "sessions").iter_rows()]
    ids = lines["template"].to_numpy().astype(np.int64)
    return Unjudged(_records(lines), ids, tuple(ends), unreadable)


_EMPTY: dict[str, pl.DataType | type[pl.DataType]] = {
    "place": pl.Int64, "time": pl.Float64, "message": pl.String, "masked": pl.String, "sessions": pl.List(pl.String),
}  # fmt: skip


def _records(lines: pl.DataFrame) -> Records:
    pairs = lines.select("sessions").with_row_index("record").explode("sessions", empty_as_null=True)
    named = [name for name in lines.columns if name.startswith(FIELD)]
    fields = lines.select(named).rename({name: name.removeprefix(FIELD) for name in named})
    return Records(
        index=lines["place"].to_numpy().astype(np.int64),
        message=lines["message"],
        masked=lines["masked"],
        time=lines["time"].to_numpy().astype(np.float64),
        fields=fields if named else pl.DataFrame(height=lines.height),
        session_record=pairs["record"].to_numpy().astype(np.int64),
        session=pairs["sessions"].rename("session"),
        rejected=[],
    )
