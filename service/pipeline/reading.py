"""From requests to a batch and its records; those of the next batch while this one is still on its way.

Owns which kind of batch requests make, and when what was read ahead may be used. A batch's way is one chain, much of
which is waiting for Redis or for one thread: splitting the next batch meanwhile takes a tenth off the time of large
ones (docs/performance.md). Does not know what becomes of a batch.
"""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter

from models.parser import Parser
from models.record import Records
from models.source.config import Source
from service.metrics import Metrics
from service.pipeline.batch import AT_ONCE, Batch
from service.pipeline.keyed import KeyedBatch
from service.pipeline.live import LiveSource
from service.pipeline.queued import QueuedBatch
from service.pipeline.waiting import WaitingBatch
from service.pipeline.worker import Job


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A batch whose lines are being split by the configuration ``source``; the records, and seconds that it took."""

    batch: Batch
    source: Source
    found: "asyncio.Future[tuple[Records, float]]"


class Reading:
    """Reads the batches of one source, one after the other, and one ahead at most."""

    def __init__(self, live: LiveSource, executor: Executor, metrics: Metrics) -> None:
        self._live = live
        self._executor = executor
        self._seconds = metrics.stage_seconds.labels("split")
        self._ahead: _Ahead | None = None

    async def read(self, jobs: list[Job]) -> tuple[Batch, Records]:
        """The batch that ``jobs`` make and its records: those that were read ahead, unless the jobs are others or the
        source was configured anew since."""
        ahead, self._ahead = self._ahead, None
        source = self._live.source
        if ahead is not None and ahead.batch.jobs == jobs and ahead.source is source:
            batch = ahead.batch
            records, seconds = await ahead.found
        else:
            batch = batch_of(jobs, source)
            if len(batch.merged.lines) <= AT_ONCE:
                records, seconds = _split(batch, self._live.parser)
            else:
                records, seconds = await self._in_thread(batch)
        self._seconds.observe(seconds)
        return batch, records

    def read_ahead(self, jobs: list[Job] | None) -> None:
        """Begin with the next batch, where it is known."""
        if jobs is not None and self._ahead is None:
            source = self._live.source
            batch = batch_of(jobs, source)
            self._ahead = _Ahead(batch, source, self._in_thread(batch))

    def _in_thread(self, batch: Batch) -> "asyncio.Future[tuple[Records, float]]":
        return asyncio.get_running_loop().run_in_executor(self._executor, _split, batch, self._live.parser)


def batch_of(jobs: list[Job], source: Source) -> Batch:
    """The batch of jobs of one kind."""
    first = jobs[0].request
    if first.queued is not None:
        return QueuedBatch.of(jobs, source)
    return WaitingBatch.of(jobs, source) if first.batch_id is None else KeyedBatch.of(jobs, source)


def _split(batch: Batch, parser: Parser) -> tuple[Records, float]:
    began = perf_counter()
    return batch.split(parser), perf_counter() - began
