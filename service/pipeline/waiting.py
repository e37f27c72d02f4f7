"""A batch of requests whose callers wait: one under an Idempotency-Key, or as many without as came together.

Owns that all of it happens under one batch id, or none, and that an end is told to the request whose line caused it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.judging import Judged
from models.parser import Events, Parser
from models.record import Records
from models.sessions import Float64, Int64, Rows, watermarks
from models.source.config import Source
from service.pipeline.batch import Count
from service.pipeline.merge import Merged, merge
from service.pipeline.report import Own
from service.pipeline.worker import Job
from service.state.windows import Appended, Part


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """Requests of callers who wait for their verdicts; a ``Batch``."""

    jobs: list[Job]
    merged: Merged
    batch_id: str | None
    arrival: float
    secondary: Int64
    gone_after: bool = False

    @classmethod
    def of(cls, jobs: list[Job], source: Source) -> "WaitingBatch":
        """The batch of ``jobs``: a batch id has one for itself."""
        merged = merge([job.request for job in jobs], source)
        return cls(jobs, merged, jobs[0].request.batch_id, jobs[-1].arrival, np.empty(0, dtype=np.int64))

    def split(self, parser: Parser) -> Records:
        """Its records."""
        return self.merged.split(parser, self.arrival)

    def marks(self, events: Events, prior_max: float, lateness_s: float) -> Float64:
        """The source's watermark as these rows move it on."""
        return watermarks(events.time, prior_max, lateness_s)

    def parts(self, events: Events, rows: Rows) -> list[Part]:
        """All of it."""
        return [Part(rows, float(rows.watermark[-1]) if len(events) else -np.inf, self.batch_id)]

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the append found; what its sweep ended is the last request's."""
        [appended] = found
        last = len(self.jobs) - 1
        if not last:
            return appended, [0] * len(appended.closings)
        rows = [closing.row for closing in appended.closings]
        return appended, [last if row is None else self.merged.request_of(int(events.index[row]))[0] for row in rows]

    def counts(self, records: Records, ids: Int64, prior_max: float) -> list[Count]:
        """All of it."""
        return [Count(records, ids, prior_max, self.batch_id)]

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """All of it."""
        return [Own.whole(self.batch_id, judged)]
