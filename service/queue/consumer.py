"""The consumer of one source's durable queue in this process: takes runs to the source's worker, keeps what they came
to, and lets them go.

Owns the order of these three, which makes a run's effects happen once whoever is killed when, and what is done with a
run that fails. Does not know how a batch is processed, nor which partitions are its own (``shares``).
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from time import monotonic
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from models.errors import StateError
from service.errors import Unavailable
from service.metrics import Metrics
from service.pipeline.answer import Answer, Wanted
from service.pipeline.request import IngestRequest
from service.queue.content import Content, UnreadableEntry
from service.queue.shares import Shares
from service.state import dead, queue, replicas, results
from service.state.compression import pack
from service.state.leases import Fence, Fenced
from service.state.queue import Entry, Run
from service.state.results import Result

log = logging.getLogger("tocsin")

IDLE_S = 0.1
"""How often the bell is looked at while nothing comes."""
LOOK_EVERY_S = 5.0
"""How often the queue itself is, as a process may end between adding and ringing."""
PAUSE_S = 0.5
"""While Redis is away, and between a failed run and its next try, where it doubles."""
LONGEST_PAUSE_S = 5.0

Submit = Callable[[Sequence[tuple[IngestRequest, Wanted]]], Awaitable[list[Answer]]]
"""Has a run judged as one batch."""
Settled = Callable[[Sequence[str]], Awaitable[None]]
"""Forgets what made the effects of batch ids happen once: they will not be tried again."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A run and what its entries hold."""

    run: Run
    contents: list[Content]


class Consumer:
    """Consumes one source's queue until it is stopped."""

    def __init__(
        self,
        source: str,
        *,
        redis: Redis,
        submit: Submit,
        settled: Settled,
        metrics: Metrics,
        clock: Callable[[], float],
        run_lines: int,
        results_bytes: int,
        tries: int,
        copies: int,
    ) -> None:
        """``run_lines`` are taken together at most; after ``tries`` in vain an entry goes to the dead; ``copies`` of
        a result must lie with Redis' replicas before its entries go."""
        self._source = source
        self._redis = redis
        self._submit = submit
        self._settled = settled
        self._metrics = metrics
        metrics.redelivered.labels(source)
        self._run_lines = run_lines
        self._results_bytes = results_bytes
        self._tries = tries
        self._copies = copies
        self._clock = clock
        self._name = uuid4().hex
        self._shares = Shares(redis, source, self._name)
        self._bell = asyncio.Event()
        self._stopping = False
        self._resting: dict[int, float] = {}
        """Until when a partition is left alone, as its next run failed, by the monotonic clock."""
        self._keeping: asyncio.Task[None] | None = None
        self._consuming = asyncio.create_task(self._keep_consuming())

    @property
    def held(self) -> Collection[int]:
        """Partitions that are consumed here now."""
        return self._shares.held

    def ring(self) -> None:
        """Something was accepted here: look at once."""
        self._bell.set()

    async def stop(self) -> None:
        """Finish the run at work, take no more, and give the partitions back."""
        self._stopping = True
        self._bell.set()
        await asyncio.wait({self._consuming})
        if self._keeping is None:
            return
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        try:
            await self._shares.give_back()
        except StateError as error:
            log.debug("partitions of the durable queue are not given back: %s", error)

    def cancel(self) -> None:
        """Give up at once; what was not finished is done by whoever comes next."""
        for task in (self._consuming, self._keeping):
            if task is not None:
                task.cancel()

    async def _keep_consuming(self) -> None:
        heard, held, looked = 0, set[int](), -LOOK_EVERY_S
        while not self._stopping:
            self._bell.clear()
            pause_s = IDLE_S
            try:
                rung = await queue.bell(self._redis, self._source)
                if rung and self._keeping is None:
                    await self._shares.balance()
                    self._keeping = asyncio.create_task(self._shares.keep())
                if rung and (rung != heard or held != set(self._shares.held) or monotonic() - looked > LOOK_EVERY_S):
                    # As it was before the look: what comes during it is looked for again.
                    before = set(self._shares.held)
                    if await self._round():
                        continue
                    heard, held, looked = rung, before, monotonic()
            except (StateError, Unavailable) as error:
                log.debug("the durable queue of %s is not consumed: %s", self._source, error)
                pause_s = PAUSE_S
            except Exception:  # whatever went wrong, nobody would consume these partitions while it lives
                log.exception("consuming the durable queue of %s failed", self._source)
                pause_s = LONGEST_PAUSE_S
            if self._stopping:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._bell.wait()

    async def _round(self) -> bool:
        """One run of each partition that has any and is not resting; whether there is more to do."""
        depths = await queue.depths(self._redis, self._source)
        waiting = [p for p in sorted(self._shares.held) if depths[p].entries]
        awake = [p for p in waiting if self._resting.get(p, 0.0) <= monotonic()]
        if waiting and not awake:
            await asyncio.sleep(IDLE_S)
        try:
            fences = self._shares.begin(awake)
            if fences:
                await self._work(fences)
        except Fenced as error:
            self._shares.lost(error.partition)
        finally:
            self._shares.end()
        return bool(waiting)

    async def _work(self, fences: Sequence[Fence]) -> None:
        """Have a run of each partition judged, all as one batch; where that fails, one by one."""
        share = max(1, self._run_lines // len(fences))
        work: list[_Work] = []
        for run in await queue.take_each(self._redis, self._source, fences, self._name, share):
            if run.tries:
                self._metrics.redelivered.labels(self._source).inc(len(run.entries))
            if run.tries >= self._tries and len(run.entries) == 1:
                await self._bury(run.entries[0], run.fence, "every process that took it ended over it")
                continue
            try:
                contents = [Content.decode(entry.data) for entry in run.entries]
            except UnreadableEntry as error:
                await self._fail(run, error)
                continue
            if run.entries:
                work.append(_Work(run, contents))
        # History is not mixed with news, and what failed before is not mixed with anything.
        usual = [one for one in work if not one.run.tries and not any(content.backfill for content in one.contents)]
        if usual:
            try:
                await self._finish(usual, await self._judge(usual))
            except Exception as error:
                if not _blames_entries(error):
                    raise
                for one in usual:
                    await self._alone(one)
        for one in work:
            if one not in usual:
                await self._alone(one)

    async def _alone(self, work: _Work) -> None:
        answers: list[Answer] = []
        try:
            pairs = zip(work.run.entries, work.contents, strict=True)
            for _, some in groupby(pairs, key=lambda pair: pair[1].backfill):
                entries, contents = zip(*some, strict=True)
                part = _Work(replace(work.run, entries=list(entries)), list(contents))
                answers += await self._judge([part])
        except Exception as error:
            if not _blames_entries(error):
                raise
            await self._fail(work.run, error)
        else:
            await self._finish([work], answers)

    async def _judge(self, work: Sequence[_Work]) -> list[Answer]:
        name = work[0].run.entries[0].batch_id
        return await self._submit(
            [
                (content.request(self._source, entry, one.run.fence, name), content.wanted)
                for one in work
                for entry, content in zip(one.run.entries, one.contents, strict=True)
            ]
        )

    async def _finish(self, work: Sequence[_Work], answers: Sequence[Answer]) -> None:
        """Keep what runs came to, and only then let them go."""
        given = iter(answers)
        kept = [
            Result(entry.batch, entry.partition, content.pieces, pack(next(given).body))
            for one in work
            for entry, content in zip(one.run.entries, one.contents, strict=True)
        ]
        await self._keep(kept)
        await queue.done(self._redis, self._source, [one.run for one in work])
        await self._settled([entry.batch_id for one in work for entry in one.run.entries])

    async def _keep(self, kept: Sequence[Result]) -> None:
        await results.keep(self._redis, self._source, kept, self._results_bytes)
        await replicas.confirm(self._redis, self._source, (), self._copies)

    async def _fail(self, run: Run, error: Exception) -> None:
        """One try more; past the last one, where it is known which entry is to blame, that goes to the dead."""
        fence = run.fence
        tries = await dead.fail(self._redis, self._source, fence)
        reason = f"{type(error).__name__}: {error}"
        last = len(run.entries) == 1 and tries >= self._tries
        self._resting[fence.partition] = monotonic() + min(2.0**tries * PAUSE_S, LONGEST_PAUSE_S)
        log.log(
            logging.ERROR if last else logging.WARNING,
            "%d entries of the durable queue of %s failed (try %d): %s", len(run.entries), self._source, tries, reason,
        )  # fmt: skip
        if last:
            await self._bury(run.entries[0], fence, reason)

    async def _bury(self, entry: Entry, fence: Fence, reason: str) -> None:
        head = await results.head(self._redis, self._source, entry.batch)
        pieces = 0 if head is None else len(orjson.loads(head)["lines"])
        body = pack(orjson.dumps({"failed": reason}))
        await self._keep([Result(entry.batch, entry.partition, pieces, body)])
        await dead.bury(self._redis, self._source, fence, entry, reason, self._clock())


def _blames_entries(error: Exception) -> bool:
    """Whether an error may be the entries' own fault: not while Redis is away, full or cannot write."""
    if isinstance(error, Unavailable | Fenced):
        return False
    return not isinstance(error, StateError) or "script" in str(error.__cause__)
