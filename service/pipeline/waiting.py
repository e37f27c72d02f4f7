"""A batch of requests whose callers wait and brought no Idempotency-Key: as many as came together, under no batch id.

Owns that an end is told to the request whose line caused it.
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
from service.state.watermark import Began, Beginning
from service.state.windows import Appended, Part


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """Requests of callers who wait for their verdicts; a ``Batch``."""

    jobs: list[Job]
    merged: Merged
    arrival: float
    secondary: Int64
    gone_after: bool = False

    @classmethod
    def of(cls, jobs: list[Job], source: Source) -> "WaitingBatch":
        """The batch of ``jobs``, none of which has a batch id."""
        merged = merge([job.request for job in jobs], source)
        return cls(jobs, merged, jobs[-1].arrival, np.empty(0, dtype=np.int64))

    def split(self, parser: Parser) -> Records:
        """Its records."""
        return self.merged.split(parser, self.arrival)

    def begins(self, records: Records) -> list[Beginning]:
        """One."""
        return [Beginning.of(records.time, self.arrival)]

    def is_one(self, begun: Sequence[Began]) -> bool:
        """Always."""
        return True

    def marks(self, events: Events, begun: Sequence[Began], lateness_s: float) -> Float64:
        """The source's watermark as these rows move it on."""
        return watermarks(events.time, begun[0].prior_max, lateness_s)

    def parts(self, events: Events, rows: Rows) -> list[Part]:
        """All of it."""
        return [Part(rows, float(rows.watermark[-1]) if len(events) else -np.inf)]

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the append found; what its sweep ended is the last request's."""
        [appended] = found
        last = len(self.jobs) - 1
        if not last:
            return appended, [0] * len(appended.closings)
        rows = [closing.row for closing in appended.closings]
        return appended, [last if row is None else self.merged.request_of(int(events.index[row]))[0] for row in rows]

    def counts(self, records: Records, ids: Int64, begun: Sequence[Began]) -> list[Count]:
        """All of it."""
        return [Count(records, ids, begun[0].prior_max, None)]

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """All of it."""
        return [Own.whole(None, judged)]
