"""A whole log mined in a fresh tree: which templates it has, and which of them each record is.

Owns the joining of splitting and mining. Does not know sessions, detectors, nor any ground truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.errors import DataError
from models.record import Records
from models.sessions import Int64
from models.source.config import Source
from models.template.accuracy import Grouping, grouping, parsing_accuracy
from models.template.tree import TemplateTree
from training.corpus import CHUNK_LINES, Progress, silent, split_log

UNPARSED = -1
"""Stands for the template of a line that is no record of its own."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A mined log: ``ids`` int64 [n] are the template ids of the n ``records``, ``lines`` is how many lines it had."""

    records: Records
    ids: Int64
    tree: TemplateTree
    lines: int

    def by_line(self) -> Int64:
        """Template id of each line, int64 [lines]; UNPARSED where a line was rejected or carries on a record."""
        ids = np.full(self.lines, UNPARSED, dtype=np.int64)
        ids[self.records.index] = self.ids
        return ids

    def text(self, template_id: int) -> str:
        """Text of a template as it is at the end of the log; empty for UNPARSED."""
        return "" if template_id == UNPARSED else self.tree.template(template_id).text


@dataclass(frozen=True, slots=True)
class Truth:
    """Hand-made templates of a log: for each judged line its number from 0, its message and its true template."""

    line: Int64
    content: list[str]
    event: list[str]
    template: list[str]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``grouping`` and ``parsing`` (PA) of ``lines`` lines, with the numbers of templates mined and true."""

    grouping: Grouping
    parsing: float
    lines: int
    templates: int
    true_templates: int


def mine(
    source: Source,
    lines: Sequence[str],
    arrival: float,
    splitting: Progress = silent,
    mining: Progress = silent,
) -> Mined:
    """Split a log and mine its templates in line order, as many as the source's settings let the tree hold.

    Raises DataError where hardly any line fits the source.
    """
    records = split_log(source, lines, arrival, splitting)
    tree = TemplateTree(source.drain, "mined")
    parts = [np.empty(0, dtype=np.int64)]
    for begin in range(0, len(records), CHUNK_LINES):
        parts.append(tree.assign(records.masked[begin : begin + CHUNK_LINES]).ids)
        mining(min(begin + CHUNK_LINES, len(records)), len(records))
    return Mined(records, np.concatenate(parts), tree, len(lines))


def read_truth(path: str) -> Truth:
    """A CSV as Loghub has them: the columns LineId (from 1), Content, EventId, EventTemplate, any others.

    Raises DataError where it cannot be read or lacks a column.
    """
    columns = ("LineId", "Content", "EventId", "EventTemplate")
    try:
        table = pl.read_csv(path, infer_schema=False).fill_null("")
        missing = [name for name in columns if name not in table.columns]
        if missing:
            raise DataError(f"{path} has no column {missing[0]!r}; a ground truth needs {', '.join(columns)}")
        line = table["LineId"].cast(pl.Int64).to_numpy() - 1
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot read the ground truth {path}: {error}") from error
    if not len(line):
        raise DataError(f"{path} holds no lines")
    if line.min() < 0 or len(np.unique(line)) < len(line):
        raise DataError(f"{path}: LineId must count from 1, each at most once")
    return Truth(line, *(table[name].to_list() for name in columns[1:]))


def accuracy(ids: Int64, texts: Sequence[str], truth: Truth) -> Accuracy:
    """Compare template ids int64 [n] and texts of n lines with the truth of some of them.

    Raises DataError where the truth is of lines that there are not.
    """
    last = int(truth.line.max())
    if last >= len(ids):
        raise DataError(f"the ground truth names line {last + 1}, but the log has {len(ids)}: is it of another log?")
    judged = ids[truth.line].tolist()
    return Accuracy(
        grouping(judged, truth.event),
        parsing_accuracy([texts[line] for line in truth.line.tolist()], truth.template),
        len(judged),
        len(set(judged) - {UNPARSED}),
        len(set(truth.event)),
    )
