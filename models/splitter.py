"""Splitting: a batch of lines to records with message, fields, time, session ids and masked message.

Owns: the order of the steps, and that every line is accounted for: it begins a record, carries one on, or is rejected.
Does not know templates. The steps work on whole columns (``models.source``); only rejected lines are handled singly.
Batches without a flaw take the quick ways: of ``models.wellformed`` and, where they are of a few lines, of
``models.scanner``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.record import Records, Rejection
from models.scanner import FEW, Scanner
from models.source import timestamp
from models.source.config import Source
from models.source.header import HeaderParser
from models.source.masking import Masker
from models.source.regex import shown
from models.source.session import SessionFinder
from models.wellformed import WellFormed

MAX_CONTINUATION_LINES = 1_000
"""Lines that may follow a record's first; a stack trace has fewer, a log whose ``starts_with`` is wrong has more."""

MAX_AHEAD_S = 86_400.0
"""A clock or time zone may be off by up to a day, in seconds."""

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


class Splitter:
    """Splits lines of one source; holds no state between batches, so it may be shared by threads."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._header = HeaderParser(source.header)
        self._sessions = SessionFinder(source.session)
        self._masker = Masker(source.masks)
        self._begins = source.starts_with or r"\S"
        self._wellformed = WellFormed.of(source, self._masker, self._sessions, MAX_AHEAD_S)
        self._scanner = Scanner.of(source, MAX_AHEAD_S)

    def split(
        self,
        lines: Sequence[str] | pl.Series,
        arrival: float | Sequence[float],
        sessions: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Records:
        """Split a batch; what is wrong with a line goes to ``rejected``, it never raises for it.

        Args:
            lines: n lines without their line feeds; one of several lines is taken as it is.
            arrival: when they came, seconds since the epoch: one time for all, or n.
            sessions: n session ids that stand above the source's rule, None where there is none.
            times: n event times, seconds since the epoch, that stand above the line's timestamp.
        """
        plain = sessions is None and times is None
        if plain and self._scanner is not None and len(lines) <= FEW and isinstance(arrival, float) and len(lines):
            records = self._scanner.read(list(lines), arrival)
            if records is not None:
                return records
        column = lines if isinstance(lines, pl.Series) else pl.Series(lines, dtype=pl.String)
        if self._wellformed is not None and plain:
            records = self._wellformed.read(column, np.full(len(column), arrival, dtype=np.float64))
            if records is not None:
                return records
        return self.split_carefully(column, arrival, sessions, times)

    def split_carefully(
        self,
        column: pl.Series,
        arrival: float | Sequence[float],
        sessions: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Records:
        """``split``, step by step: the way of batches in which not every line is plainly well formed."""
        line = pl.col("line").str.strip_chars_end("\r\n")
        frame = (
            column.alias("line")
            .to_frame()
            .select(
                line, line.str.len_bytes().cast(pl.Int64).alias("size"), line.str.contains(self._begins).alias("begins")
            )
        )
        count = len(frame)
        columns = [
            pl.Series("index", np.arange(count)),
            pl.Series("arrival", np.full(count, arrival, dtype=np.float64)),
        ]
        if sessions is not None:
            columns.append(pl.Series("given_session", sessions, dtype=pl.String))
        if times is not None:
            columns.append(pl.Series("given_time", times, dtype=pl.Float64, strict=False))
        batch = _Batch(frame.hstack(columns))
        self._join(batch)
        self._limit(batch)
        self._take_apart(batch)
        self._date(batch)
        membership = self._assign(batch)
        frame = batch.frame
        return Records(
            index=frame["index"].to_numpy(),
            message=frame["message"],
            masked=self._masker.mask(frame["message"]),
            time=frame["time"].to_numpy(),
            fields=batch.fields,
            session_record=membership[0],
            session=membership[1],
            rejected=sorted(batch.rejected, key=lambda rejection: rejection.index),
        )

    def _join(self, batch: "_Batch") -> None:
        """Records of several lines: those after the first become one text in the column ``rest``."""
        frame = batch.frame
        if frame["begins"].all():
            return
        first = frame["begins"].to_numpy()
        if self.source.starts_with is None:
            batch.reject(~first, lambda _row: "empty line")
            return
        record = np.cumsum(first) - 1
        heads = np.flatnonzero(first)
        nth = np.arange(len(first)) - np.append(heads, 0)[record]
        orphan = record < 0
        excess = ~first & ~orphan & (nth > MAX_CONTINUATION_LINES)
        more = ~first & ~orphan & ~excess
        rest = (
            pl.DataFrame({"record": record[more], "rest": frame["line"].filter(more)})
            .group_by("record", maintain_order=True)
            .agg(pl.col("rest").str.join("\n"))
        )
        batch.reject(
            orphan | excess,
            lambda row: (
                f"carries on a record (it does not match starts_with), but its first line is not in this batch: "
                f"{shown(row['line'])}"
                if orphan[row["index"]]
                else f"a record of more than {MAX_CONTINUATION_LINES} further lines: does starts_with fit the source?"
            ),
            also_drop=more,
        )
        column = pl.Series("rest", [None], dtype=pl.String).new_from_index(0, len(heads))
        batch.frame = batch.frame.hstack([column.scatter(rest["record"], rest["rest"])])
        size = pl.col("size") + (pl.col("rest").str.len_bytes().cast(pl.Int64) + 1).fill_null(0)
        batch.frame = batch.frame.with_columns(size)

    def _limit(self, batch: "_Batch") -> None:
        limit = self.source.max_line_bytes
        size = batch.frame["size"].to_numpy()
        batch.reject(
            size > limit, lambda row: f"{row['size']:,} bytes, the limit is {limit:,} (max_line_bytes of the source)"
        )

    def _take_apart(self, batch: "_Batch") -> None:
        frame = batch.frame
        parsed = self._header.parse(frame["line"])
        message = parsed.message
        if "rest" in frame.columns:
            message = message.zip_with(frame["rest"].is_null(), message + "\n" + frame["rest"])
        batch.fields = parsed.fields
        batch.frame = frame.hstack([message.alias("message")])
        if parsed.timestamp is not None:
            batch.frame = batch.frame.hstack([parsed.timestamp.alias("stamp")])
        if not message.null_count():
            return
        errors = {int(frame["index"][row]): error for row, error in parsed.errors.items()}
        usual = f"not in the format of source {self.source.name}"
        batch.reject(
            message.is_null().to_numpy(),
            lambda row: errors.get(row["index"]) or f"{usual}: {shown(row['line'])}",
        )

    def _date(self, batch: "_Batch") -> None:
        """Event time of each record. One far ahead of its arrival is rejected: it would carry the source's watermark
        along and close every session."""
        frame = batch.frame
        arrival = frame["arrival"].to_numpy()
        settings = self.source.timestamp
        time = arrival
        if settings is not None and "stamp" in frame.columns:
            time = timestamp.parse(frame["stamp"], settings, arrival)
        if "given_time" in frame.columns:
            given = frame["given_time"].fill_null(float("nan")).to_numpy()
            time = np.where(frame["given_time"].is_null().to_numpy(), time, given)
        batch.frame = frame.hstack([pl.Series("time", time)])
        expected = " or ".join(settings.formats) if settings is not None else ""
        batch.reject(
            ~np.isfinite(time),
            lambda row: (
                "the time that came with the record is not finite"
                if row.get("given_time") is not None
                else f"timestamp {shown(row.get('stamp') or '')} does not read as {expected}"
            ),
        )
        ahead = batch.frame["time"].to_numpy() - batch.frame["arrival"].to_numpy()
        batch.reject(
            ahead > MAX_AHEAD_S,
            lambda row: (
                f"its time is {row['time'] - row['arrival']:,.0f} s after it arrived; check the clock that wrote it, "
                "and timestamp.timezone of the source"
            ),
        )

    def _assign(self, batch: "_Batch") -> tuple[Int64, pl.Series]:
        """Positions of records and their session ids; records without any are rejected."""
        frame = batch.frame
        text = frame["message"]
        if self._sessions.rule.over == "line" and self._sessions.rule.pattern is not None:
            text = frame["line"]
            if "rest" in frame.columns:
                text = text.zip_with(frame["rest"].is_null(), text + "\n" + frame["rest"])
        given = frame["given_session"] if "given_session" in frame.columns else None
        found = self._sessions.find(text, batch.fields, frame["time"].to_numpy(), given)
        if not found.session.null_count():
            return found.record, found.session
        present = found.session.is_not_null().to_numpy()
        missing = np.zeros(len(frame), dtype=np.bool_)
        missing[found.record[~present]] = True
        batch.reject(missing, lambda _row: self._sessions.missing())
        position = np.cumsum(~missing) - 1
        return position[found.record[present]], found.session.filter(present)


@dataclass(slots=True)
class _Batch:
    """What is left of a batch: ``frame`` and ``fields`` lose the rows that are rejected on the way."""

    frame: pl.DataFrame
    fields: pl.DataFrame
    rejected: list[Rejection]

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.fields = pl.DataFrame(height=frame.height)
        self.rejected = []

    def reject(self, failed: Bool, error: Callable[[dict[str, Any]], str], also_drop: Bool | None = None) -> None:
        """Drop the failed rows with their error, and rows that are no record's first without one."""
        if failed.any():
            for row in self.frame.filter(failed).iter_rows(named=True):
                self.rejected.append(Rejection(row["index"], error(row)))
        dropped = failed if also_drop is None else failed | also_drop
        if dropped.any():
            self.frame = self.frame.filter(~dropped)
            self.fields = self.fields.filter(~dropped)
