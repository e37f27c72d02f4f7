"""A batch out of the durable queue: what was settled when its lines were accepted.

Owns what differs. Each request is one entry of the queue, and every effect is the entry's own, under its batch id: it
happens once, whatever it is taken together with. A line's watermark is that of its acceptance and not of what other
partitions have been read to; only those of a line's sessions count here that lie in the entry's partition, and a line
that several partitions have is counted where its first session lies. Versions and rules are those of now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from models.groups import Groups
from models.judging import Judged
from models.notes import Notes, SessionNotes
from models.parser import Events, Parser
from models.record import Records
from models.sessions import NO_KEY, Bool, Closing, Float64, Int64, Rows, watermarks
from models.source.config import Source
from models.windows import Priors
from service.pipeline.batch import Count
from service.pipeline.merge import Merged, merge
from service.pipeline.report import Own
from service.pipeline.request import Queued
from service.pipeline.worker import Job
from service.state import keys
from service.state.windows import Appended, Part


@dataclass(frozen=True, slots=True)
class QueuedBatch:
    """Entries of the durable queue that are judged together, those of a partition one after the other; a ``Batch``.

    ``queued`` is what each brings besides; ``offsets`` int64 [jobs] the first place of each, ``partitions`` int64
    [jobs] where each comes from.
    """

    jobs: list[Job]
    queued: list[Queued]
    merged: Merged
    offsets: Int64
    partitions: Int64
    secondary: Int64
    arrival: float
    batch_id: str | None = None
    gone_after: bool = True

    @classmethod
    def of(cls, jobs: list[Job], source: Source) -> "QueuedBatch":
        """The batch of ``jobs``, all of which come out of the queue."""
        queued = [job.request.queued for job in jobs if job.request.queued is not None]
        merged = merge([job.request for job in jobs], source)
        pairs = list(zip(merged.offsets, queued, strict=True))
        return cls(
            jobs, queued, merged,
            np.array(merged.offsets, dtype=np.int64),
            np.array([one.fence.partition for one in queued], dtype=np.int64),
            np.array([offset + index for offset, one in pairs for index in one.secondary], dtype=np.int64),
            max(one.arrival for one in queued),
        )  # fmt: skip

    def split(self, parser: Parser) -> Records:
        """Its records, with their sessions of the entry's partition only; each came when it was accepted."""
        merged = self.merged
        arrival = np.array([queued.arrival for queued in self.queued])[self._jobs_of(np.array(merged.place, np.int64))]
        records = merged.split(parser, arrival.tolist())
        names = records.session.to_list()
        partition = np.array([keys.partition_of(name.encode()) for name in names], dtype=np.int64)
        here = partition == self.partitions[self._jobs_of(records.index)][records.session_record]
        some = np.zeros(len(records), dtype=np.bool_)
        some[records.session_record[here]] = True
        # The rule of sessions has changed since: the line is judged here all the same.
        here |= (~some & self._counted(records))[records.session_record]
        if here.all():
            return records
        kept = pl.Series(here)
        return replace(records, session_record=records.session_record[here], session=records.session.filter(kept))

    def marks(self, events: Events, prior_max: float, lateness_s: float) -> Float64:
        """The watermark as each entry's acceptance found it, and as the rows of its partition move it on."""
        job_of = self._jobs_of(events.index)
        prior = np.array([queued.prior for queued in self.queued])[job_of]
        marks = np.empty(len(events), dtype=np.float64)
        # Of each partition by itself: with which others it is read depends on who reads.
        for p in np.unique(self.partitions).tolist():
            own = self.partitions[job_of] == p
            marks[own] = watermarks(events.time[own], prior[own], lateness_s)
        return marks

    def parts(self, events: Events, rows: Rows) -> list[Part]:
        """The rows of each entry that has any, with the right to its partition."""
        return [
            Part(
                _slice(rows, own), float(rows.watermark[own.stop - 1]), self.jobs[number].request.batch_id,
                self.queued[number].fence,
            )
            for number, own in self._rows_of(events)
        ]  # fmt: skip

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the entries' appends found, as if their rows had been appended at once; an end is the entry's whose
        append ended it. What a sweep after one entry's rows closed, the next one's first row closed."""
        notes: dict[str, SessionNotes] = {}
        closings: list[Closing] = []
        owners: list[int] = []
        rows = self._rows_of(events)
        starts = [own.start for _, own in rows]
        for at, ((number, _), own) in enumerate(zip(rows, found, strict=True)):
            notes = {**own.notes, **notes}
            swept = starts[at + 1] if at + 1 < len(rows) else None
            for closing in own.closings:
                closings.append(replace(closing, row=swept if closing.row is None else starts[at] + closing.row))
                owners.append(number)
        groups = Groups.by(events.session)
        # Of a session that several have, the first one's: the others' rows follow on it.
        names = [name for own in found for name in own.groups.names]
        place = {name: at for at, name in reversed(list(enumerate(names)))}
        first = np.array([place[name] for name in groups.names], dtype=np.int64)
        priors = Priors.joined([own.priors for own in found]).chosen(first) if found else Priors.of([])
        return Appended(groups, priors, closings, notes), owners

    def counts(self, records: Records, ids: Int64, prior_max: float) -> list[Count]:
        """Of each entry what is counted here, if anything is."""
        job_of, counted = self._jobs_of(records.index), self._counted(records)
        counts = []
        for number, (job, queued) in enumerate(zip(self.jobs, self.queued, strict=True)):
            own = counted & (job_of == number)
            if own.any():
                counts.append(Count(records.only(own), ids[own], queued.prior, job.request.batch_id))
        return counts

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """What each entry leaves behind of what all came to."""
        own = [Own(job.request.batch_id) for job in self.jobs]
        for closing, owner in enumerate(owners):
            own[owner].ends.append(closing)
        if judged.rows is None or judged.closed is None:
            return own
        rows = self._jobs_of(events.index)
        # Findings are in this order: of the rows that rang, then of the sessions.
        rang = iter(judged.closed.anomalous.nonzero()[0].tolist())
        for finding in judged.findings:
            of_line = finding.verdict["kind"] == "line" and finding.row is not None
            own[rows[finding.row] if of_line else owners[next(rang)]].findings.append(finding)
        keyed = np.flatnonzero(events.key != NO_KEY)
        for at, rule in judged.rows.silenced.items():
            own[rows[keyed[at]]].silenced[rule] += 1
        for at, rule in judged.closed.silenced.items():
            own[owners[at]].silenced[rule] += 1
        return own

    def _jobs_of(self, places: Int64) -> Int64:
        """Which job each place belongs to, int64 [n]."""
        found: Int64 = np.searchsorted(self.offsets, places, side="right") - 1
        return found

    def _rows_of(self, events: Events) -> list[tuple[int, slice]]:
        """Number and rows of each job that has any: they are in order of their places."""
        stops = np.searchsorted(events.index, [*self.offsets[1:].tolist(), np.iinfo(np.int64).max]).tolist()
        starts = [0, *stops[:-1]]
        return [
            (n, slice(start, stop)) for n, (start, stop) in enumerate(zip(starts, stops, strict=True)) if start < stop
        ]

    def _counted(self, records: Records) -> Bool:
        """Which records are counted here, bool [n]."""
        counted: Bool = ~np.isin(records.index, self.secondary)
        return counted


def _slice(rows: Rows, own: slice) -> Rows:
    notes = rows.notes
    if notes is not None:
        notes = Notes(notes.values[own], notes.valued[own], notes.codes[own])
    return Rows(rows.session[own], rows.key[own], rows.time[own], rows.watermark[own], rows.ends[own], notes)
