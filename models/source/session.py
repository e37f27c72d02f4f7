"""Session ids as columns: which sessions each record belongs to.

Owns: the four session rules. Does not know when a session ends (``models.sessions`` does).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.source import regex
from models.source.config import SessionRule

ABSENT = "-"
"""Stands in a session id for a field that the line lacks; a line that lacks all of them has no session id."""

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Membership:
    """The pairs of record and session, m of them, ordered by record and then as the ids stand in the line.

    ``record`` int64 [m], nondecreasing; ``session`` String [m], null where the record has no session id.
    """

    record: Int64
    session: pl.Series


class SessionFinder:
    """Finds the session ids of records by one rule; holds no state besides its settings."""

    def __init__(self, rule: SessionRule) -> None:
        self.rule = rule
        self._group: int | None = 1 if rule.pattern is not None and regex.groups(rule.pattern) else None

    def find(self, text: pl.Series, fields: pl.DataFrame, time: Float64, given: pl.Series | None) -> Membership:
        """Session ids of n records.

        Args:
            text: String [n], the message or the line, as the rule's ``over`` says.
            fields: n rows of header fields.
            time: float64 [n], seconds since the epoch.
            given: String [n], an id that came with the record and stands above the rule; null where none did.
        """
        if given is not None and not given.null_count():
            return Membership(np.arange(len(given), dtype=np.int64), given.rename(""))
        found = self._by_rule(text, fields, time)
        if given is None or given.null_count() == len(given):
            return found
        has_own = given.is_not_null().to_numpy()
        others = ~has_own[found.record]
        own = np.flatnonzero(has_own)
        record = np.concatenate([found.record[others], own])
        session = pl.concat([found.session.filter(others).rename(""), given.gather(own).rename("")])
        order = np.argsort(record, kind="stable")
        return Membership(record[order], session.gather(order))

    def missing(self) -> str:
        """What to tell about a record without a session id."""
        rule = self.rule
        if rule.pattern is not None:
            return f"no session id: pattern {rule.pattern} found nothing in the {rule.over}"
        return f"no session id: the line has none of the fields {', '.join(rule.fields)}"

    def _by_rule(self, text: pl.Series, fields: pl.DataFrame, time: Float64) -> Membership:
        rule = self.rule
        one_each = np.arange(len(text), dtype=np.int64)
        if rule.pattern is not None:
            return self._by_pattern(text)
        if rule.fields:
            parts = [pl.col(name) for name in rule.fields]
            # A null field is written as logs write it, so that ids of two lacking fields stay apart.
            joined = pl.concat_str([part.fill_null(ABSENT) for part in parts], separator="/")
            some = pl.any_horizontal([part.is_not_null() for part in parts])
            return Membership(one_each, fields.select(pl.when(some).then(joined)).to_series())
        if rule.window_s is not None:
            starts = np.floor(time / rule.window_s) * rule.window_s
            whole = float(rule.window_s).is_integer()
            return Membership(one_each, pl.Series(starts.astype(np.int64) if whole else starts).cast(pl.String))
        return Membership(one_each, pl.Series(["all"], dtype=pl.String).new_from_index(0, len(text)))

    def _by_pattern(self, text: pl.Series) -> Membership:
        matches = pl.col("session").str.extract_all(self.rule.pattern or "").list.unique(maintain_order=True)
        lists = text.alias("session").to_frame().select(matches)
        # A record without a match keeps one row, of null.
        pairs = lists.with_row_index("record").explode("session", empty_as_null=True)
        if self._group is not None:
            # Two matches may have the same id in them, and one may have none; a record keeps one row to be told of.
            ids = pl.col("session").str.extract(self.rule.pattern or "", self._group)
            pairs = pairs.with_columns(ids).unique(maintain_order=True)
            several = pairs["record"].is_duplicated() & pairs["session"].is_null()
            pairs = pairs.filter(~several)
        return Membership(pairs["record"].to_numpy().astype(np.int64), pairs["session"])
