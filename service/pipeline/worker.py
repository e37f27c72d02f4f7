"""One source's queue and its worker: requests that arrive together become one batch, batches keep their order.

Owns coalescing, the bounded queue and draining. What happens to a batch is ``Process``'s.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from service.errors import QueueFull, Unavailable
from service.pipeline.answer import Answer, Wanted
from service.pipeline.request import IngestRequest

Upcoming = Callable[[], list["Job"] | None]
"""The batch after the one in hand, once ``AHEAD_LINES`` wait; it is then the next one, whatever comes meanwhile."""

Process = Callable[[list["Job"], Upcoming], Awaitable[list[Answer]]]
"""Answers of the jobs of one batch, in order."""

AHEAD_LINES = 2_000
"""Lines that make a batch that more company would make little cheaper."""

BUSY_RETRY_AFTER_S = 1
ROOM_AGAIN = 0.9
"""Share of the limit to which a full queue must fall before requests are decoded again: refusing one that was took
longer than judging its lines."""


@dataclass(slots=True, eq=False)
class Job:
    """A request that waits for its answer. ``arrival`` in seconds since the epoch."""

    request: IngestRequest
    wanted: Wanted
    arrival: float
    answer: "asyncio.Future[Answer]"


class Worker:
    """Takes what waits, up to ``batch_lines`` at a time, as soon as the last batch is done: none waits for company."""

    def __init__(self, process: Process, batch_lines: int, queue_lines: int, on_queue: Callable[[int], None]) -> None:
        self._process = process
        self._batch_lines = batch_lines
        self._queue_lines = queue_lines
        self._on_queue = on_queue
        self._waiting: deque[Job] = deque()
        self._lines = 0
        self._next: list[Job] | None = None
        self._full = False
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    async def submit(self, request: IngestRequest, wanted: Wanted, arrival: float) -> Answer:
        """The answer to a request. Raises QueueFull where too much waits, Unavailable while stopping."""
        if self._stopping:
            raise Unavailable("Tocsin is stopping; send this to another replica or try again", BUSY_RETRY_AFTER_S)
        if self._waiting and self._lines + _size(request) > self._queue_lines:
            self._full = True
            raise self._no_room(request.source)
        return await self._wait_in_line(request, wanted, arrival).answer

    def check_room(self, source: str) -> None:
        """Raises QueueFull from when a request found no room until a tenth of the queue is free."""
        self._full = self._full and self._lines > ROOM_AGAIN * self._queue_lines
        if self._full:
            raise self._no_room(source)

    async def submit_run(self, requests: Sequence[tuple[IngestRequest, Wanted]], arrival: float) -> list[Answer]:
        """The answers to requests out of the durable queue that are one run: one batch, whatever waits, as they were
        accepted long ago. Raises Unavailable while stopping, and what went wrong with the batch."""
        if self._stopping:
            raise Unavailable("Tocsin is stopping", BUSY_RETRY_AFTER_S)
        jobs = [self._wait_in_line(request, wanted, arrival) for request, wanted in requests]
        answers = await asyncio.gather(*(job.answer for job in jobs), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Answer)]

    async def drain(self) -> None:
        """Take nothing more, and return once everything accepted is answered."""
        self._stopping = True
        self._arrived.set()
        await self._task

    def cancel(self) -> None:
        """Give up what waits: those callers get Unavailable."""
        self._task.cancel()
        left = [*(self._next or ()), *self._waiting]
        self._fail(left, Unavailable("Tocsin stopped before this was processed; try again", 1))
        self._next = None
        self._waiting.clear()

    def _no_room(self, source: str) -> QueueFull:
        waiting = f"{self._lines} lines wait for source {source!r} (limit {self._queue_lines}); slow down"
        return QueueFull(waiting, BUSY_RETRY_AFTER_S)

    def _wait_in_line(self, request: IngestRequest, wanted: Wanted, arrival: float) -> Job:
        job = Job(request, wanted, arrival, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._count(_size(request))
        self._arrived.set()
        return job

    async def _run(self) -> None:
        while True:
            if not self._waiting and self._next is None:
                if self._stopping:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch, self._next = self._next or self._take(), None
            try:
                answers = await self._process(batch, self._upcoming)
            except asyncio.CancelledError:
                self._fail(batch, Unavailable("Tocsin stopped in the middle of this batch; try again", 1))
                raise
            except Exception as error:  # whatever went wrong is these callers' answer, and the worker goes on
                self._fail(batch, error)
                continue
            for job, answer in zip(batch, answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)

    def _upcoming(self) -> list[Job] | None:
        if self._next is None and self._lines >= AHEAD_LINES:
            self._next = self._take()
        return self._next

    def _take(self) -> list[Job]:
        """The next batch: a run out of the durable queue, or as many as fit of those that are alike in having an
        Idempotency-Key or none; history is not mixed with news, and no request with another that is the same."""
        first = self._waiting.popleft()
        batch, lines = [first], _size(first.request)
        ids = {first.request.batch_id}
        while self._waiting:
            following = self._waiting[0].request
            if first.request.queued is not None or following.queued is not None:
                fits = _run(following) is not None and _run(following) == _run(first.request)
            else:
                alike = following.backfill == first.request.backfill
                if first.request.batch_id is None:
                    alike = alike and following.batch_id is None
                else:
                    alike = alike and following.batch_id is not None and following.batch_id not in ids
                fits = alike and lines + _size(following) <= self._batch_lines
            if not fits:
                break
            batch.append(self._waiting.popleft())
            ids.add(following.batch_id)
            lines += _size(following)
        self._count(-lines)
        return batch

    def _count(self, lines: int) -> None:
        self._lines += lines
        self._on_queue(self._lines)

    @staticmethod
    def _fail(batch: list[Job], error: Exception) -> None:
        for job in batch:
            if not job.answer.done():
                job.answer.set_exception(error)


def _run(request: IngestRequest) -> str | None:
    return None if request.queued is None else request.queued.run


def _size(request: IngestRequest) -> int:
    return max(1, request.received if request.queued is None else len(request.lines))
