"""What a source makes of an excerpt of its log: lines as they are read, templates, sessions, and what does not fit.

Owns the figures. Does not know how the source came about, nor how people are shown them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from models.proposal.masks import Caught, caught
from models.record import Records, Rejection
from models.source.config import Source
from models.splitter import Splitter
from models.template.tree import TemplateTree

LINES = 3
"""Lines shown as they are read."""
TEMPLATES = 8
ERRORS = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """Of ``lines`` lines that are not empty, what a source makes.

    ``records`` (as many had lines of their own or several), ``rejected`` lines with the first ``errors``; ``read``: the
    first records as they are read; ``masks`` with what each catches; ``templates`` in all, the most frequent of them in
    ``top`` (text, count); ``sessions`` with the ``median`` and the ``longest`` number of lines.
    """

    lines: int
    records: int
    rejected: int
    errors: tuple[Rejection, ...]
    read: tuple[dict[str, Any], ...]
    masks: tuple[Caught, ...]
    templates: int
    top: tuple[tuple[str, int], ...]
    sessions: int
    median: float
    longest: int

    @property
    def unread(self) -> float:
        """Share of the lines that are rejected."""
        return self.rejected / self.lines if self.lines else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = {**asdict(self), "unread": self.unread}
        plain["masks"] = [
            {"name": one.mask.name, "pattern": one.mask.pattern, "count": one.count, "examples": list(one.examples)}
            for one in self.masks
        ]
        plain["top"] = [{"template": text, "count": count} for text, count in self.top]
        return plain


def look(source: Source, lines: Sequence[str], arrival: float) -> Preview:
    """Read ``lines`` by ``source`` as the service would, at ``arrival`` in seconds since the epoch."""
    records = split(source, lines, arrival)
    tree = TemplateTree(source.drain, "preview")
    ids = tree.assign(records.masked).ids if len(records) else np.empty(0, dtype=np.int64)
    own, counts = np.unique(ids, return_counts=True)
    order = np.lexsort((own, -counts))[:TEMPLATES]
    sizes = records.session.value_counts()["count"].to_numpy() if len(records) else np.zeros(0)
    return Preview(
        lines=len(lines),
        records=len(records),
        rejected=len(records.rejected),
        errors=tuple(records.rejected[:ERRORS]),
        read=tuple(_read(records, row) for row in range(min(LINES, len(records)))),
        masks=tuple(caught(source.masks, records.message)),
        templates=len(tree),
        top=tuple((tree.template(int(own[at])).text, int(counts[at])) for at in order),
        sessions=len(sizes),
        median=float(np.median(sizes)) if len(sizes) else 0.0,
        longest=int(sizes.max()) if len(sizes) else 0,
    )


def split(source: Source, lines: Sequence[str], arrival: float) -> Records:
    """The records of an excerpt; arrival stands in where lines have no time."""
    return Splitter(source).split(pl.Series(lines, dtype=pl.String), arrival)


def _read(records: Records, row: int) -> dict[str, Any]:
    at = np.searchsorted(records.session_record, [row, row + 1])
    return {
        "time": float(records.time[row]),
        "session": records.session[int(at[0]) : int(at[1])].to_list(),
        "fields": {name: value for name, value in records.fields.row(row, named=True).items() if value is not None},
        "message": records.message[row],
        "masked": records.masked[row],
    }
