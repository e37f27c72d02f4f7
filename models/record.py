"""A batch of log lines, split into records. Owns the shape only; ``models.splitter`` fills it."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that is no record: its index in the batch and what is wrong with it, for the one who sent it."""

    index: int
    error: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """n masked messages by what they say: ``messages`` String [d], hardly any twice, and which of them each is,
    ``code`` int64 [n]."""

    messages: pl.Series
    code: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Records:
    """n records with m pairs of (record, session); columns of the same length belong together.

    Attributes:
        index: int64 [n], place of the record's first line in the batch, increasing.
        message: String [n], the header taken off; further lines of the record follow after line feeds.
        masked: String [n], the message after masks and collapse of white space.
        time: float64 [n], event time in seconds since the epoch; arrival where the line has no timestamp.
        fields: n rows, the header's fields but message and timestamp as String columns, null where a line lacks one.
        session_record: int64 [m], position among the n records, nondecreasing; each record has at least one.
        session: String [m], the session id.
        rejected: in order of index.
        distinct: ``masked`` once more where it is known to say few things, None where that was not looked at.
    """

    index: NDArray[np.int64]
    message: pl.Series
    masked: pl.Series
    time: NDArray[np.float64]
    fields: pl.DataFrame
    session_record: NDArray[np.int64]
    session: pl.Series
    rejected: list[Rejection]
    distinct: Distinct | None = None

    def __len__(self) -> int:
        return len(self.index)

    def only(self, own: NDArray[np.bool_]) -> "Records":
        """The records ``own`` bool [n], for those who count them and ask for no session and no rejected line."""
        if own.all():
            return self
        kept = pl.Series(own)
        return replace(
            self, index=self.index[own], message=self.message.filter(kept), masked=self.masked.filter(kept),
            time=self.time[own], fields=self.fields.filter(kept), session_record=np.empty(0, dtype=np.int64),
            session=self.session.head(0), rejected=[], distinct=None,
        )  # fmt: skip
