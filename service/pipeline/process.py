"""One batch's way: parse, windows, score, judge, report.

Owns the steps, their order and what a failure leaves behind: nothing is answered that was not appended and judged, and
a retry under the same batch id repeats no effect. Each step is somebody else's; CPU work runs in worker threads.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import ParamSpec, TypeVar

import numpy as np
from redis.asyncio import Redis

from models.judging import Judged, judge_batch
from models.parser import Events
from models.record import Records
from models.rules import Rules
from models.sessions import NO_KEY, Int64, Rows
from models.template.change import NO_TEMPLATE
from models.verdict import Verdict
from models.windows import build_windows
from service.drift.watch import DriftWatch
from service.incidents.causes import in_every_scope
from service.metrics import Metrics
from service.pipeline.answer import Answer, OwnLines, encode
from service.pipeline.batch import AT_ONCE, Batch
from service.pipeline.frames import FrameCounting
from service.pipeline.learning import Learning
from service.pipeline.live import LiveSource
from service.pipeline.rates import RateCounting
from service.pipeline.reading import Reading
from service.pipeline.report import Reporter
from service.pipeline.request import LineError
from service.pipeline.seen import Seen, Watch, nobody, observed
from service.pipeline.templates import Templates
from service.pipeline.worker import Job, Upcoming
from service.state import watermark
from service.state.watermark import Began
from service.state.windows import Appended, StoredSessions

P = ParamSpec("P")
T = TypeVar("T")

AT_A_TIME = 8
"""Batch ids whose rates are counted side by side: each takes a round trip."""

Follow = Callable[[LiveSource, Began], Awaitable[None]]
"""Brings a source's replica to the versions that a batch was told to use."""


class BatchProcess:
    """Processes the batches of one source, one after the other."""

    def __init__(
        self,
        live: LiveSource,
        *,
        redis: Redis,
        sessions: StoredSessions,
        templates: Templates,
        reporter: Reporter,
        follow: Follow,
        frames: FrameCounting,
        rates: RateCounting,
        drift: DriftWatch,
        learning: Learning,
        metrics: Metrics,
        executor: Executor,
        watch: Watch = nobody,
    ) -> None:
        self.live = live
        self._watch = watch
        self._frames = frames
        self._rates = rates
        self._drift = drift
        self._learning = learning
        self._redis = redis
        self._sessions = sessions
        self._templates = templates
        self._reporter = reporter
        self._follow = follow
        self._metrics = metrics
        self._executor = executor
        self._reading = Reading(live, executor, metrics)

    async def run(self, jobs: list[Job], upcoming: Upcoming) -> list[Answer]:
        """Answers of the jobs of one batch, in order. Raises StateError where Redis is away: then none is answered."""
        async with self.live.lock:
            return await self._run(jobs, upcoming)

    async def _run(self, jobs: list[Job], upcoming: Upcoming) -> list[Answer]:
        batch, records = await self._reading.read(jobs)
        live, merged, now = self.live, batch.merged, batch.jobs[-1].arrival
        self._metrics.batch_lines.labels(live.name).observe(len(merged.lines))
        at_once = len(merged.lines) <= AT_ONCE
        newest = float(records.time.max()) if len(records) else -np.inf
        stored_to = live.stored_to
        begun = await watermark.begin_each(self._redis, live.name, batch.begins(records), live.given, stored_to)
        live.told(stored_to)
        if not batch.is_one(begun):
            return [answer for job in jobs for answer in await self._run([job], _unknown)]
        began = begun[0]
        await self._follow(live, began)
        rules = live.rules_of(began.rules)
        ids = await self._stage("match", at_once, live.parser.match, records)
        unmatched, known = int((ids == NO_TEMPLATE).sum()), len(live.tree)
        ids = await self._templates.learn(live, records, ids, now)
        events = live.parser.events(records, ids, merged.ends)
        notes = None
        if live.judge is not None and live.settings.notes.stored:
            notes = await self._stage("notes", at_once, live.judge.notes, records, events, live.tokens_of)
        marks = batch.marks(events, begun, live.settings.lateness_s)
        rows = Rows(events.session, events.key, events.time, marks, events.ends, notes)
        self._reading.read_ahead(upcoming())
        appended, owners = await self._append(batch, events, rows)
        await self._count_times(batch, records, ids, begun)
        # Encoded together, before it is known whether the report is stored: without that nothing is sent.
        given = (batch, records, events, rows, appended, owners, rules)
        if at_once and not (live.judge is not None and live.judge.reads_texts):
            judged, answers, seen = self._judge_and_answer(*given)
        else:
            judged, answers, seen = await self._thread(self._judge_and_answer, *given)
        began_report = perf_counter()

        def line_of(row: int) -> str | None:
            record = int(events.record[row])
            return None if record < 0 else str(records.message[record])

        own, history = batch.own(events, judged, owners), batch.jobs[0].request.backfill
        await self._reporter.report_each(live, judged, own, line_of, now, newest, backfill=history)
        if batch.gone_after:
            stored_to = live.stored_to
            await watermark.advance(self._redis, live.name, stored_to)
            live.told(stored_to)
        self._metrics.stage_seconds.labels("report").observe(perf_counter() - began_report)
        self._count(batch, records, events, rows)
        self._drift.add_lines(live, events.key, len(records), unmatched, now)
        self._drift.add_ends(live, judged, now)
        if seen is not None:
            self._watch(seen)
        elif live.judge is None:
            await self._learn(batch, records, ids, len(live.tree) > known, now)
        return answers

    async def _append(self, batch: Batch, events: Events, rows: Rows) -> tuple[Appended, list[int]]:
        began = perf_counter()
        found = await self._sessions.append_each(self.live.name, self.live.settings, batch.parts(events, rows))
        joined = batch.joined(events, found)
        self._metrics.stage_seconds.labels("windows").observe(perf_counter() - began)
        return joined

    async def _count_times(self, batch: Batch, records: Records, ids: Int64, begun: Sequence[Began]) -> None:
        """Timeframes and rates."""
        live = self.live
        if live.frame_judge is None and live.rate_judge is None:
            return
        counts = batch.counts(records, ids, begun)
        for one in counts:
            late = await self._frames.count(one.records, one.prior_max, one.batch_id)
            self._metrics.late.labels(live.name).inc(late)
        for at in range(0, len(counts), AT_A_TIME):
            await asyncio.gather(
                *(
                    self._rates.count(one.records.time, one.ids, one.prior_max, one.batch_id)
                    for one in counts[at : at + AT_A_TIME]
                )
            )

    def _judge_and_answer(
        self,
        batch: Batch,
        records: Records,
        events: Events,
        rows: Rows,
        appended: Appended,
        owners: Sequence[int],
        rules: Rules,
    ) -> tuple[Judged, list[Answer], Seen | None]:
        live, now = self.live, batch.jobs[-1].arrival
        began = perf_counter()
        windows = build_windows(rows, appended.groups, appended.priors, live.settings, appended.notes)
        judged = judge_batch(
            live.name, live.judge, live.settings, events, windows, appended.closings, live.text_of, records, rules, now
        )
        seen = None
        if live.judge is not None:
            judged = in_every_scope(judged, live.judge, events, windows, records)
            rows_read = observed(live.judge, events, windows, records)
            seen = live.seen(live.judge, rows_read, judged, rules, now)
        between = perf_counter()
        answers = self._answers(batch, records, judged, owners)
        self._metrics.stage_seconds.labels("judge").observe(between - began)
        self._metrics.stage_seconds.labels("answer").observe(perf_counter() - between)
        return judged, answers, seen

    def _answers(self, batch: Batch, records: Records, judged: Judged, owners: Sequence[int]) -> list[Answer]:
        """Each request's own verdicts and errors in its own numbering."""
        live, jobs, merged = self.live, batch.jobs, batch.merged
        versions = {"bundle": live.version, "tree": live.tree.tree_id, "tree_version": live.tree.version}
        errors = [list(job.request.rejected) for job in jobs]
        for rejection in records.rejected:
            at, index = merged.request_of(rejection.index)
            errors[at].append(LineError(index, rejection.error))
        ends: list[list[Verdict]] = [[] for _ in jobs]
        for verdict, owner in zip(judged.ends, owners, strict=True):
            ends[owner].append(verdict)
        lines = [
            OwnLines(judged.lines, judged.lines.of_places(start, stop), start)
            for start, stop in pairwise([*merged.offsets, sys.maxsize])
        ]
        return [
            encode(
                live.name, job.request.received, sorted(error, key=lambda e: e.index), line, end, versions, job.wanted
            )
            for job, error, line, end in zip(jobs, errors, lines, ends, strict=True)
        ]  # fmt: skip

    async def _learn(self, batch: Batch, records: Records, ids: Int64, new: bool, now: float) -> None:
        taken = len(batch.merged.lines) - len(records.rejected) - len(batch.secondary)
        if len(batch.secondary):
            counted = ~np.isin(records.index, batch.secondary)
            records, ids = records.only(counted), ids[counted]
        await self._learning.take(self.live, records, ids, batch.merged.ends, taken, new, now)

    def _count(self, batch: Batch, records: Records, events: Events, rows: Rows) -> None:
        name, merged = self.live.name, batch.merged
        undecoded = sum(len(job.request.rejected) for job in batch.jobs)
        late = np.unique(events.index[(events.time < rows.watermark) & (events.key != NO_KEY)])
        if len(batch.secondary):
            late = np.setdiff1d(late, batch.secondary, assume_unique=True)
        lines = len(merged.lines) + len(merged.strays) + undecoded - len(batch.secondary)
        self._metrics.lines.labels(name).inc(max(0, lines))
        self._metrics.rejected.labels(name).inc(len(records.rejected) + undecoded)
        self._metrics.late.labels(name).inc(len(late))
        self._metrics.templates.labels(name).set(len(self.live.tree))

    async def _stage(self, name: str, at_once: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU work, in a worker thread unless it is over ``at_once``, and note how long it took."""
        began = perf_counter()
        result = work(*args, **kwargs) if at_once else await self._thread(work, *args, **kwargs)
        self._metrics.stage_seconds.labels(name).observe(perf_counter() - began)
        return result

    async def _thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))


def _unknown() -> None:
    """What comes after requests that are judged apart."""
