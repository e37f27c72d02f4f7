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

from models.judging import Judged
from models.parser import Events, Parser
from models.record import Records
from models.sessions import Bool, Float64, Int64, Rows, watermarks
from models.source.config import Source
from service.pipeline.apart import Apart, piece
from service.pipeline.batch import Count
from service.pipeline.merge import Merged, merge
from service.pipeline.report import Own
from service.pipeline.request import Queued
from service.pipeline.worker import Job
from service.state import keys
from service.state.watermark import Began, Beginning
from service.state.windows import Appended, Part


@dataclass(frozen=True, slots=True)
class QueuedBatch:
    """Entries of the durable queue that are judged together, those of a partition one after the other; a ``Batch``.

    ``queued`` is what each brings besides; ``partitions`` int64 [jobs] where each comes from.
    """

    jobs: list[Job]
    queued: list[Queued]
    merged: Merged
    apart: Apart
    partitions: Int64
    secondary: Int64
    gone_after: bool = True

    @classmethod
    def of(cls, jobs: list[Job], source: Source) -> "QueuedBatch":
        """The batch of ``jobs``, all of which come out of the queue."""
        queued = [job.request.queued for job in jobs if job.request.queued is not None]
        merged = merge([job.request for job in jobs], source)
        pairs = list(zip(merged.offsets, queued, strict=True))
        return cls(
            jobs, queued, merged, Apart.of(jobs, merged.offsets),
            np.array([one.fence.partition for one in queued], dtype=np.int64),
            np.array([offset + index for offset, one in pairs for index in one.secondary], dtype=np.int64),
        )  # fmt: skip

    def split(self, parser: Parser) -> Records:
        """Its records, with their sessions of the entry's partition only; each came when it was accepted."""
        merged = self.merged
        job_of = self.apart.jobs_of(np.array(merged.place, np.int64))
        arrival = np.array([queued.arrival for queued in self.queued])[job_of]
        records = merged.split(parser, arrival.tolist())
        names = records.session.to_list()
        partition = keys.partitions_of([name.encode() for name in names])
        here = partition == self.partitions[self.apart.jobs_of(records.index)][records.session_record]
        some = np.zeros(len(records), dtype=np.bool_)
        some[records.session_record[here]] = True
        # The rule of sessions has changed since: the line is judged here all the same.
        here |= (~some & self._counted(records))[records.session_record]
        if here.all():
            return records
        kept = pl.Series(here)
        return replace(records, session_record=records.session_record[here], session=records.session.filter(kept))

    def begins(self, records: Records) -> list[Beginning]:
        """One, under no id: versions and rules are those of now."""
        return [Beginning.of(records.time, max(one.arrival for one in self.queued))]

    def is_one(self, begun: Sequence[Began]) -> bool:
        """Always: who takes an entry again takes those that it was taken together with."""
        return True

    def marks(self, events: Events, begun: Sequence[Began], lateness_s: float) -> Float64:
        """The watermark as each entry's acceptance found it, and as the rows of its partition move it on."""
        job_of = self.apart.jobs_of(events.index)
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
                piece(rows, own), float(rows.watermark[own.stop - 1]), self.apart.batch_ids[number],
                fence=self.queued[number].fence,
            )
            for number, own in self.apart.rows_of(events)
        ]  # fmt: skip

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the entries' appends found."""
        return self.apart.joined(events, found)

    def counts(self, records: Records, ids: Int64, begun: Sequence[Began]) -> list[Count]:
        """Of each entry what is counted here, if anything is."""
        return self.apart.counts(records, ids, [queued.prior for queued in self.queued], self._counted(records))

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """What each entry leaves behind."""
        return self.apart.own(events, judged, owners)

    def _counted(self, records: Records) -> Bool:
        """Which records are counted here, bool [n]."""
        counted: Bool = ~np.isin(records.index, self.secondary)
        return counted
