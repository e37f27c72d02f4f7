"""A batch of requests under Idempotency-Keys: what came together is judged together, each under its own batch id.

Owns when that may be. A request that was begun before keeps the versions, the rules and the sessions of that time, so
it is judged alone; so are requests between which the version or the rules changed. Requests of which one waits for the
other's answer are never in one batch, and the order of those that overlap is nobody's (``docs/reliability.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.judging import Judged
from models.parser import Events, Parser
from models.record import Records
from models.sessions import Float64, Int64, Rows, watermarks
from models.source.config import Source
from service.pipeline.apart import Apart, piece
from service.pipeline.batch import Count
from service.pipeline.merge import Merged, merge
from service.pipeline.report import Own
from service.pipeline.worker import Job
from service.state import keys
from service.state.watermark import Began, Beginning
from service.state.windows import Appended, Part


@dataclass(frozen=True, slots=True)
class KeyedBatch:
    """Requests of callers who wait and may come again; a ``Batch``."""

    jobs: list[Job]
    merged: Merged
    apart: Apart
    secondary: Int64
    gone_after: bool = False

    @classmethod
    def of(cls, jobs: list[Job], source: Source) -> "KeyedBatch":
        """The batch of ``jobs``, each with a batch id of its own."""
        merged = merge([job.request for job in jobs], source)
        return cls(jobs, merged, Apart.of(jobs, merged.offsets), np.empty(0, dtype=np.int64))

    def split(self, parser: Parser) -> Records:
        """Its records; each came when its request came first."""
        if len(self.jobs) == 1:
            return self.merged.split(parser, self.jobs[0].arrival)
        place = self.apart.jobs_of(np.array(self.merged.place, dtype=np.int64))
        return self.merged.split(parser, np.array([job.arrival for job in self.jobs])[place].tolist())

    def begins(self, records: Records) -> list[Beginning]:
        """One of each request."""
        job_of = self.apart.jobs_of(records.index)
        return [
            Beginning.of(records.time[job_of == number], job.arrival, job.request.batch_id)
            for number, job in enumerate(self.jobs)
        ]

    def is_one(self, begun: Sequence[Began]) -> bool:
        """Whether none was begun before, and all are to be judged by the same."""
        if len(begun) == 1:
            return True
        first = begun[0].judged_by
        return not any(one.repeated or one.judged_by != first for one in begun) and all(
            one.prior_max <= other.prior_max for one, other in pairwise(begun)
        )

    def marks(self, events: Events, begun: Sequence[Began], lateness_s: float) -> Float64:
        """The watermark as each request found it and its rows move it on."""
        prior = np.array([one.prior_max for one in begun])[self.apart.jobs_of(events.index)]
        return watermarks(events.time, prior, lateness_s)

    def parts(self, events: Events, rows: Rows) -> list[Part]:
        """The rows of each request that has any. Only the first one's append sweeps: another's might close a session of
        the first's, which a retry of that other alone would then judge without what the first one's lines said of
        it."""
        return [
            Part(
                piece(rows, own),
                -np.inf if at else float(rows.watermark[own.stop - 1]),
                self.apart.batch_ids[number],
                keys.drawer(self.jobs[number].arrival),
            )
            for at, (number, own) in enumerate(self.apart.rows_of(events))
        ]

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the requests' appends found."""
        return self.apart.joined(events, found)

    def counts(self, records: Records, ids: Int64, begun: Sequence[Began]) -> list[Count]:
        """All of each request."""
        everything = np.ones(len(records), dtype=np.bool_)
        return self.apart.counts(records, ids, [one.prior_max for one in begun], everything)

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """What each request leaves behind."""
        return self.apart.own(events, judged, owners)
