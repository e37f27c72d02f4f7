"""A batch in which every line is a record of its own and nothing is wrong: read in a handful of queries.

Owns the quick way, which most batches of a working source take. ``models.splitter`` owns what a record is: whatever is
not plainly well formed is left to it, and a property test holds the two against each other.
"""

from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.record import Records
from models.source import regex, timestamp
from models.source.config import Source, header_fields
from models.source.header import HEAD, head_pattern
from models.source.masking import Masker
from models.source.session import SessionFinder

_CHAINED_UP_TO = 750
"""Lines up to which all masks run as one expression; beyond, it pays to look for repetition between them."""

_LINE = pl.col("line")
_GROUPS = pl.col("groups").struct

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


class WellFormed:
    """Reads batches of a source whose header is a regex or none; holds no state between batches.

    Each polars call costs tens of microseconds whatever it works on, and a batch is often one line: so checks stand in
    the same queries as the work.
    """

    def __init__(self, source: Source, masker: Masker, sessions: SessionFinder, max_ahead_s: float) -> None:
        self._source = source
        self._masker = masker
        self._sessions = sessions
        self._max_ahead_s = max_ahead_s
        self._names = header_fields(source.header)
        line = _LINE.str.strip_chars_end("\r\n")
        self._read = [
            line.alias("line"),
            line.str.contains(source.starts_with or r"\S").all().alias("begins"),
            line.str.len_bytes().max().alias("size"),
        ]
        message = _LINE
        self._parts: list[pl.Expr] = []
        stamped = False
        if source.header.kind == "regex":
            pattern = source.header.pattern or ""
            head = head_pattern(pattern)
            self._read.append(line.str.extract_groups(head or f"(?s){pattern}").alias("groups"))
            message = _GROUPS.field("message") if head is None else _LINE.str.strip_prefix(_GROUPS.field(HEAD))
            self._parts = [_GROUPS.field(name).alias(name) for name in self._names]
            stamped = "timestamp" in regex.groups(pattern)
        self._parts.append(message.alias("message"))
        self._stamp = source.timestamp if stamped else None
        self._dated = False
        if self._stamp is not None:
            stamp = _GROUPS.field("timestamp")
            moment = timestamp.moment(stamp, self._stamp)
            self._dated = moment is not None
            self._parts.append((stamp if moment is None else moment.to_physical()).alias("_time"))
        rule = sessions.rule
        self._plain_ids = rule.pattern is not None and not regex.groups(rule.pattern)
        self._over_line = rule.pattern is not None and rule.over == "line"
        if self._plain_ids:
            ids = (_LINE if self._over_line else message).str.extract_all(rule.pattern or "")
            self._parts += [ids.alias("_ids"), ids.list.len().alias("_each"), ids.list.first().alias("session")]
        self._few = [*self._parts, masker.expression(message).alias("masked")]

    @classmethod
    def of(cls, source: Source, masker: Masker, sessions: SessionFinder, max_ahead_s: float) -> Self | None:
        """None where the source's lines are not taken apart by a regex."""
        return cls(source, masker, sessions, max_ahead_s) if source.header.kind in ("regex", "raw") else None

    def read(self, lines: pl.Series, arrival: Float64) -> Records | None:
        """String [n] that came at ``arrival`` float64 [n], seconds; None where a line is not plainly well formed."""
        count = len(lines)
        if count == 0:
            return None
        read = lines.alias("line").to_frame().select(self._read)
        if not read["begins"][0] or read["size"][0] > self._source.max_line_bytes:
            return None
        parts = read.select(self._few if count <= _CHAINED_UP_TO else self._parts)
        message = parts["message"]
        if message.null_count():
            return None
        time = self._times(parts, arrival)
        if time is None:
            return None
        fields = pl.DataFrame([parts[name] for name in self._names]) if self._names else pl.DataFrame(height=count)
        belonging = self._belonging(read, parts, fields, time)
        if belonging is None:
            return None
        distinct = None
        if count <= _CHAINED_UP_TO:
            masked = parts["masked"]
        else:
            masked, distinct = self._masker.distinct(message)
        return Records(np.arange(count), message, masked, time, fields, *belonging, rejected=[], distinct=distinct)

    def _times(self, parts: pl.DataFrame, arrival: Float64) -> Float64 | None:
        """Event times, None where one does not read or lies too far ahead."""
        if self._stamp is None:
            return arrival
        column = parts["_time"]
        if column.null_count():
            return None
        if not self._dated:
            time = timestamp.parse(column, self._stamp, arrival)
        elif timestamp.is_universal(self._stamp):
            time = column.to_numpy() / 1e6
        else:
            time = timestamp.epoch_seconds(column.cast(pl.Datetime("us")), self._stamp.timezone)
        return time if np.isfinite(time).all() and (time - arrival <= self._max_ahead_s).all() else None

    def _belonging(
        self, read: pl.DataFrame, parts: pl.DataFrame, fields: pl.DataFrame, time: Float64
    ) -> tuple[Int64, pl.Series] | None:
        """Positions of records and the session of each; None where a record has none."""
        if not self._plain_ids:
            text = read["line"] if self._over_line else parts["message"]
            found = self._sessions.find(text, fields, time, None)
            return None if found.session.null_count() else (found.record, found.session)
        each = parts["_each"].to_numpy()
        if each.min() == 0:
            return None
        if each.max() == 1:
            return np.arange(len(each)), parts["session"]
        ids = parts["_ids"]
        several = ids.filter(each > 1)
        if several.list.n_unique().sum() < several.list.len().sum():
            ids = ids.list.unique(maintain_order=True)
            each = ids.list.len().to_numpy()
        return np.repeat(np.arange(len(each)), each), ids.explode().alias("session")
