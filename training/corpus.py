"""A whole log as records and sessions: split by time first, mined second, so that nothing of the test part is learned.

Owns the chronological split and the cutting of sessions by the rule that they will be served with. Does not know any
detector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.errors import DataError
from models.groups import Groups
from models.parser import Events
from models.record import Records
from models.sessions import NO_KEY, Float64, Int64, cut, watermarks
from models.source.config import Source
from models.splitter import Splitter

CHUNK_LINES = 20_000
"""Lines split at a time: progress moves, memory stays small."""
GAP_QUANTILE = 0.995
SHORTEST_IDLE_S = 60.0
"""A source whose sessions never pause would otherwise close them at the first hiccup."""

Progress = Callable[[int, int], None]
"""Called with (done, in all)."""


def silent(_done: int, _total: int) -> None:
    """Progress that shows nothing."""


@dataclass(frozen=True, slots=True)
class CutSession:
    """One epoch of a session: template ids int64 [n] in line order, its first and last time in seconds, the time of
    each event float64 [n], and each one's position among the log's records int64 [n]."""

    session: str
    keys: Int64
    started: float
    last: float
    times: Float64
    records: Int64


@dataclass(frozen=True, slots=True)
class Split:
    """A chronological split by session: sessions in order of their first line, the earlier ones to train on.

    ``first_test_record`` is the position of the first record of the first test session (the number of records where
    there is no test part).
    """

    train: list[str]
    test: list[str]
    first_test_record: int


def split_log(source: Source, lines: Sequence[str], arrival: float, progress: Progress = silent) -> Records:
    """Header, time, session ids and masks of every line, by the splitter that the service uses.

    Raises DataError where hardly any line can be read, with the first errors.
    """
    parts: list[Records] = []
    splitter = Splitter(source)
    for begin, end in chunks(source, lines):
        part = splitter.split(lines[begin:end], arrival)
        parts.append(_shifted(part, begin))
        progress(end, len(lines))
    records = _joined(parts)
    if len(records.index) < len(lines) / 2 and len(records.rejected) > len(lines) / 2:
        shown = "; ".join(f"line {r.index + 1}: {r.error}" for r in records.rejected[:3])
        raise DataError(
            f"{len(records.rejected)} of {len(lines)} lines do not fit source {source.name!r} ({shown}); "
            "choose the preset of this log or adapt the source's header and session rule"
        )
    return records


def split_sessions(records: Records, train_share: float) -> Split:
    """The first ``train_share`` of the sessions, by first line, to train on; the rest to test on."""
    if not 0.0 < train_share <= 1.0:
        raise DataError(f"train share {train_share} must be above 0 and at most 1")
    first = (
        pl.DataFrame({"session": records.session, "record": records.session_record})
        .group_by("session", maintain_order=True)
        .agg(pl.col("record").min())
        .sort("record", maintain_order=True)
    )
    names: list[str] = first["session"].to_list()
    count = int(len(names) * train_share)
    if count == 0:
        raise DataError(f"{len(names)} sessions and a train share of {train_share}: nothing to train on")
    boundary = int(first["record"][count]) if count < len(names) else len(records.index)
    return Split(names[:count], names[count:], boundary)


def upto(records: Records, stop: int) -> Records:
    """The first ``stop`` records of a split log."""
    rows = int(np.searchsorted(records.session_record, stop))
    return Records(
        index=records.index[:stop],
        message=records.message[:stop],
        masked=records.masked[:stop],
        time=records.time[:stop],
        fields=records.fields[:stop],
        session_record=records.session_record[:rows],
        session=records.session[:rows],
        rejected=records.rejected,
    )


def cut_sessions(events: Events, idle_s: float, lateness_s: float) -> list[CutSession]:
    """Sessions of a log in order of their start, cut as the service would (``idle_s`` inf: only at ends)."""
    marks = watermarks(events.time, -np.inf, lateness_s)
    found: list[tuple[int, CutSession]] = []
    groups = Groups.by(events.session)
    for number, session in enumerate(groups.names):
        rows = groups.rows(number)
        keys = events.key[rows]
        segments = cut(
            None, keys.tolist(), events.time[rows].tolist(), marks[rows].tolist(), events.ends[rows].tolist(), idle_s
        )
        for segment in segments:
            own = rows[segment.start : segment.stop]
            own = own[events.key[own] != NO_KEY]
            if len(own):
                cut_session = CutSession(
                    session, events.key[own], segment.started, segment.last, events.time[own], events.record[own]
                )
                found.append((int(rows[segment.start]), cut_session))
    return [session for _, session in sorted(found, key=lambda item: item[0])]


def measured_idle_s(events: Events) -> float:
    """The 99.5th percentile of the pauses inside sessions, seconds: silence beyond it is an end."""
    groups = Groups.by(events.session)
    gaps = [np.diff(np.sort(events.time[groups.rows(number)])) for number in range(len(groups))]
    if not any(len(own) for own in gaps):
        return SHORTEST_IDLE_S
    return max(SHORTEST_IDLE_S, float(np.quantile(np.concatenate(gaps), GAP_QUANTILE)))


def chunks(source: Source, lines: Sequence[str], size: int = CHUNK_LINES) -> list[tuple[int, int]]:
    """Where chunks of about ``size`` lines begin and end; with multi-line records, only at lines that start one."""
    starts = list(range(0, len(lines), size))
    if source.starts_with is not None:
        begins = pl.Series(list(lines), dtype=pl.String).str.contains(source.starts_with).to_numpy().nonzero()[0]
        starts = sorted({0, *(int(begins[at]) for at in np.searchsorted(begins, starts) if at < len(begins))})
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def _shifted(records: Records, lines: int) -> Records:
    rejected = [type(r)(r.index + lines, r.error) for r in records.rejected]
    return Records(
        records.index + lines, records.message, records.masked, records.time, records.fields,
        records.session_record, records.session, rejected,
    )  # fmt: skip


def _joined(parts: Sequence[Records]) -> Records:
    counts = np.cumsum([0, *(len(part.index) for part in parts)])
    return Records(
        index=np.concatenate([part.index for part in parts]),
        message=pl.concat([part.message for part in parts]),
        masked=pl.concat([part.masked for part in parts]),
        time=np.concatenate([part.time for part in parts]),
        fields=pl.concat([part.fields for part in parts], how="diagonal"),
        session_record=np.concatenate([part.session_record + c for part, c in zip(parts, counts, strict=False)]),
        session=pl.concat([part.session for part in parts]),
        rejected=[rejection for part in parts for rejection in part.rejected],
    )
