"""One batch's way: parse, windows, score, judge, report.

Owns the order of the steps and what a failure leaves behind: nothing is answered that was not appended and judged, and
a retry under the same batch id repeats no effect. Each step is somebody else's; CPU work runs in worker threads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import ParamSpec, TypeVar

import numpy as np
from redis.asyncio import Redis

from models.judging import Judged, judge_batch
from models.notes import Notes
from models.parser import Events
from models.record import Records
from models.rules import Rules
from models.sessions import NO_KEY, Rows, build_windows, watermarks
from models.template.change import NO_TEMPLATE
from service.drift.watch import DriftWatch
from service.incidents.causes import in_every_scope
from service.metrics import Metrics
from service.pipeline.answer import Answer, encode
from service.pipeline.frames import FrameCounting
from service.pipeline.learning import Learning
from service.pipeline.live import LiveSource
from service.pipeline.merge import Merged, merge
from service.pipeline.rates import RateCounting
from service.pipeline.report import Reporter
from service.pipeline.request import LineError
from service.pipeline.seen import Seen, Watch, nobody, observed
from service.pipeline.templates import Templates
from service.pipeline.worker import Job
from service.state import watermark
from service.state.watermark import Began
from service.state.windows import Appended, StoredSessions

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 8
"""Lines that are read and judged without a worker thread, which takes about as long to wake as their work takes. A
network that reads texts takes far longer, and has its thread."""

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

    async def run(self, jobs: list[Job]) -> list[Answer]:
        """Answers of the jobs of one batch, in order. Raises StateError where Redis is away: then none is answered."""
        async with self.live.lock:
            return await self._run(jobs)

    async def _run(self, jobs: list[Job]) -> list[Answer]:
        live, arrival = self.live, jobs[-1].arrival
        merged = merge([job.request for job in jobs], live.source)
        batch_id = jobs[0].request.batch_id
        self._metrics.batch_lines.labels(live.name).observe(len(merged.lines))
        at_once = len(merged.lines) <= AT_ONCE
        records = await self._stage("split", at_once, self._split, merged, arrival)
        newest = float(records.time.max()) if len(records) else -np.inf
        stored_to = live.stored_to
        began = await watermark.begin(self._redis, live.name, batch_id, newest, arrival, live.given, stored_to)
        live.told(stored_to)
        await self._follow(live, began)
        rules = live.rules_of(began.rules)
        ids = await self._stage("match", at_once, live.parser.match, records)
        unmatched, known = int((ids == NO_TEMPLATE).sum()), len(live.tree)
        ids = await self._templates.learn(live, records, ids, arrival)
        events = live.parser.events(records, ids, merged.ends)
        notes = None
        if live.judge is not None and live.settings.notes.stored:
            notes = await self._stage("notes", at_once, live.judge.notes, records, events, live.tokens_of)
        appended, rows = await self._append(events, notes, began, batch_id)
        self._metrics.late.labels(live.name).inc(await self._frames.count(records, began.prior_max, batch_id))
        await self._rates.count(records.time, ids, began.prior_max, batch_id)
        # Encoded together, before it is known whether the report is stored: without that nothing is sent.
        given = (jobs, merged, records, events, rows, appended, rules)
        if at_once and not (live.judge is not None and live.judge.reads_texts):
            judged, answers, seen = self._judge_and_answer(*given)
        else:
            judged, answers, seen = await self._thread(self._judge_and_answer, *given)
        began_report = perf_counter()

        def line_of(row: int) -> str | None:
            record = int(events.record[row])
            return None if record < 0 else str(records.message[record])

        history = jobs[0].request.backfill
        await self._reporter.report(live, judged, line_of, batch_id, arrival, newest, backfill=history)
        self._metrics.stage_seconds.labels("report").observe(perf_counter() - began_report)
        self._count(jobs, merged, records, events, rows)
        self._drift.add_lines(live, events.key, len(records), unmatched, arrival)
        self._drift.add_ends(live, judged, arrival)
        if seen is not None:
            self._watch(seen)
        elif live.judge is None:
            taken = len(merged.lines) - len(records.rejected)
            await self._learning.take(live, records, ids, merged.ends, taken, len(live.tree) > known, arrival)
        return answers

    def _split(self, merged: Merged, arrival: float) -> Records:
        records = self.live.parser.split(merged.lines, arrival, merged.sessions, merged.times)
        if merged.place and merged.place[-1] == len(merged.lines) - 1 and not merged.strays:
            return records
        place = np.array(merged.place, dtype=np.int64)
        rejected = [replace(rejection, index=int(place[rejection.index])) for rejection in records.rejected]
        if merged.strays:
            alone = self.live.parser.split([line for _, line in merged.strays], arrival).rejected
            rejected += [replace(rejection, index=merged.strays[rejection.index][0]) for rejection in alone]
        return replace(records, index=place[records.index], rejected=rejected)

    async def _append(
        self, events: Events, notes: Notes | None, began: Began, batch_id: str | None
    ) -> tuple[Appended, Rows]:
        settings = self.live.settings
        marks = watermarks(events.time, began.prior_max, settings.lateness_s)
        rows = Rows(events.session, events.key, events.time, marks, events.ends, notes)
        began_append = perf_counter()
        final = float(marks[-1]) if len(marks) else -np.inf
        appended = await self._sessions.append(self.live.name, settings, rows, final, batch_id)
        self._metrics.stage_seconds.labels("windows").observe(perf_counter() - began_append)
        return appended, rows

    def _judge_and_answer(
        self,
        jobs: list[Job],
        merged: Merged,
        records: Records,
        events: Events,
        rows: Rows,
        appended: Appended,
        rules: Rules,
    ) -> tuple[Judged, list[Answer], Seen | None]:
        live = self.live
        began = perf_counter()
        windows = build_windows(rows, appended.by_session, appended.priors, live.settings, appended.notes)
        judged = judge_batch(
            live.name, live.judge, live.settings, events, windows, appended.closings, live.text_of, records, rules,
            jobs[-1].arrival,
        )  # fmt: skip
        seen = None
        if live.judge is not None:
            judged = in_every_scope(judged, live.judge, events, windows, records)
            rows_read = observed(live.judge, events, windows, records)
            seen = live.seen(live.judge, rows_read, judged, rules, jobs[-1].arrival)
        between = perf_counter()
        answers = self._answers(jobs, merged, records, events, judged)
        self._metrics.stage_seconds.labels("judge").observe(between - began)
        self._metrics.stage_seconds.labels("answer").observe(perf_counter() - between)
        return judged, answers, seen

    def _answers(
        self, jobs: list[Job], merged: Merged, records: Records, events: Events, judged: Judged
    ) -> list[Answer]:
        """Each request's own verdicts and errors in its own numbering; an end goes to the request that caused it."""
        live = self.live
        versions = {"bundle": live.version, "tree": live.tree.tree_id, "tree_version": live.tree.version}
        errors = [list(job.request.rejected) for job in jobs]
        for rejection in records.rejected:
            at, index = merged.request_of(rejection.index)
            errors[at].append(LineError(index, rejection.error))
        if len(jobs) == 1:
            verdicts = [judged.lines + judged.ends]
        else:
            verdicts = [[] for _ in jobs]
            for verdict in judged.lines:
                assert verdict["index"] is not None
                at, verdict["index"] = merged.request_of(verdict["index"])
                verdicts[at].append(verdict)
            last = len(jobs) - 1
            for verdict, closing in zip(judged.ends, judged.closings, strict=True):
                at = last if closing.row is None else merged.request_of(int(events.index[closing.row]))[0]
                verdicts[at].append(verdict)
        return [
            encode(live.name, job.request.received, sorted(error, key=lambda e: e.index), own, versions, job.wanted)
            for job, error, own in zip(jobs, errors, verdicts, strict=True)
        ]

    def _count(self, jobs: list[Job], merged: Merged, records: Records, events: Events, rows: Rows) -> None:
        name = self.live.name
        undecoded = sum(len(job.request.rejected) for job in jobs)
        late = (events.time < rows.watermark) & (events.key != NO_KEY)
        self._metrics.lines.labels(name).inc(len(merged.lines) + len(merged.strays) + undecoded)
        self._metrics.rejected.labels(name).inc(len(records.rejected) + undecoded)
        self._metrics.late.labels(name).inc(len(np.unique(events.index[late])))
        self._metrics.templates.labels(name).set(len(self.live.tree))

    async def _stage(self, name: str, at_once: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run CPU work, in a worker thread unless it is over ``at_once``, and note how long it took."""
        began = perf_counter()
        result = work(*args, **kwargs) if at_once else await self._thread(work, *args, **kwargs)
        self._metrics.stage_seconds.labels(name).observe(perf_counter() - began)
        return result

    async def _thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))
