"""The later part of the recorded sample: what is sent, which sessions count, and what grep would have found in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import training.sample
from models.errors import DataError
from models.record import Records
from models.source.config import Source
from service.replay.batches import session_lines
from training.corpus import split_log, split_sessions
from training.logs import Labels, read_labels, read_lines

FOLDER = Path(training.sample.__file__).parent
LOG = FOLDER / "postgres.log.gz"
LABELS = FOLDER / "labels.csv"
SOURCE = "postgres"

GREP = re.compile("ERROR|FATAL")


@dataclass(frozen=True, slots=True)
class LaterPart:
    """Lines from the first line of the first session that was not trained on.

    ``counted`` are the sessions that begin in it. ``straddling`` sessions began before: their lines are sent, as a real
    stream would have them, and not counted.
    """

    lines: list[str]
    records: Records
    counted: list[str]
    straddling: int
    labels: Labels
    grep: frozenset[str]
    """Sessions with a line that ``grep -E 'ERROR|FATAL'`` prints."""


def later_part(source: Source, train_share: float, now: float) -> LaterPart:
    """The sample after the first ``train_share`` of its sessions, sent at ``now`` (seconds since the epoch).

    Raises DataError where none is left.
    """
    lines = read_lines([LOG])
    whole = split_log(source, lines, now)
    split = split_sessions(whole, train_share)
    if not split.test:
        raise DataError(
            "the shipped bundle was trained on the whole sample, so there is nothing to show; train it again"
        )
    rest = lines[int(whole.index[split.first_test_record]) :]
    records = split_log(source, rest, now)
    return LaterPart(
        lines=rest,
        records=records,
        counted=split.test,
        straddling=len(set(records.session.to_list()) - set(split.test)),
        labels=read_labels(LABELS),
        grep=grepped(records, rest),
    )


def grepped(records: Records, lines: Sequence[str]) -> frozenset[str]:
    """Sessions with a line that grep prints, further lines of a record included."""
    hits = [GREP.search(line) is not None for line in lines]
    found = session_lines(records, len(lines)).items()
    return frozenset(session for session, ranges in found if any(hits[at] for own in ranges for at in own))
