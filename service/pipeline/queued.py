"""A batch out of the durable queue: the way of any batch, with what was settled when its lines were accepted.

Owns what differs. Each request is one entry of the queue, and every effect is the entry's own, under its batch id: it
happens once, whatever it is taken together with. A line's watermark is that of its acceptance and not of what other
partitions have been read to; only those of a line's sessions count here that lie in the entry's partition, and a line
that several partitions have is counted where its first session lies.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
import polars as pl

from models.judging import Judged
from models.notes import Notes, SessionNotes
from models.parser import Events
from models.record import Records
from models.sessions import NO_KEY, Bool, Closing, Int64, Rows, SessionState, watermarks
from models.template.change import NO_TEMPLATE
from models.verdict import Verdict
from service.pipeline.answer import Answer, encode
from service.pipeline.batch import AT_ONCE, BatchProcess
from service.pipeline.merge import Merged, merge
from service.pipeline.report import Own
from service.pipeline.request import LineError, Queued
from service.pipeline.worker import Job
from service.state import keys, watermark
from service.state.windows import Appended, Part

AT_A_TIME = 8
"""Entries whose rates are counted side by side: each takes a round trip."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Jobs that are judged together, those of a partition one after the other. ``offsets`` int64 [jobs]: the first
    place of each."""

    jobs: list[Job]
    queued: list[Queued]
    merged: Merged
    offsets: Int64

    @classmethod
    def of(cls, jobs: list[Job], merged: Merged) -> "_Run":
        queued = [job.request.queued for job in jobs if job.request.queued is not None]
        return cls(jobs, queued, merged, np.array(merged.offsets, dtype=np.int64))

    @property
    def partitions(self) -> Int64:
        """Partition of each job, int64 [jobs]."""
        return np.array([queued.fence.partition for queued in self.queued], dtype=np.int64)

    def jobs_of(self, places: Int64) -> Int64:
        """Which job each place belongs to, int64 [n]."""
        found: Int64 = np.searchsorted(self.offsets, places, side="right") - 1
        return found

    def rows_of(self, events: Events) -> list[slice]:
        """Rows of each job: they are in order of their places."""
        stops = np.searchsorted(events.index, [*self.offsets[1:].tolist(), np.iinfo(np.int64).max]).tolist()
        return [slice(start, stop) for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


class QueuedProcess(BatchProcess):
    """Processes the batches of one source, those out of the durable queue among them."""

    _owners: Sequence[int] = ()
    """Of the batch at work, which one is: the job to which each closed session belongs."""

    async def _run(self, jobs: list[Job]) -> list[Answer]:
        if jobs[0].request.queued is None:
            return await super()._run(jobs)
        live, now = self.live, jobs[-1].arrival
        merged = merge([job.request for job in jobs], live.source)
        run = _Run.of(jobs, merged)
        self._metrics.batch_lines.labels(live.name).observe(len(merged.lines))
        at_once = len(merged.lines) <= AT_ONCE
        records, counted = await self._stage("split", at_once, self._split_run, run)
        newest = float(records.time.max()) if len(records) else -np.inf
        # Its prior maximum was settled long ago; versions and rules are those of now.
        stored_to, arrival = live.stored_to, max(queued.arrival for queued in run.queued)
        began = await watermark.begin(self._redis, live.name, None, newest, arrival, live.given, stored_to)
        live.told(stored_to)
        await self._follow(live, began)
        rules = live.rules_of(began.rules)
        ids = await self._stage("match", at_once, live.parser.match, records)
        unmatched, known = int((ids == NO_TEMPLATE).sum()), len(live.tree)
        ids = await self._templates.learn(live, records, ids, now)
        events = live.parser.events(records, ids, merged.ends)
        notes = None
        if live.judge is not None and live.settings.notes.stored:
            notes = await self._stage("notes", at_once, live.judge.notes, records, events, live.tokens_of)
        rows, parts = self._parts(run, events, notes)
        began_append = perf_counter()
        found = await self._sessions.append_each(live.name, live.settings, [part for _, part in parts])
        self._metrics.stage_seconds.labels("windows").observe(perf_counter() - began_append)
        appended, self._owners = _joined(run.rows_of(events), [job for job, _ in parts], found)
        await self._count_times(run, records, counted, ids)
        given = (jobs, merged, records, events, rows, appended, rules)
        if at_once and not (live.judge is not None and live.judge.reads_texts):
            judged, answers, seen = self._judge_and_answer(*given)
        else:
            judged, answers, seen = await self._thread(self._judge_and_answer, *given)
        began_report = perf_counter()

        def line_of(row: int) -> str | None:
            record = int(events.record[row])
            return None if record < 0 else str(records.message[record])

        own = self._own(run, events, judged)
        history = jobs[0].request.backfill
        await self._reporter.report_each(live, judged, own, line_of, now, newest, backfill=history)
        # At once, as the entries will be gone: nobody could tell it after this process.
        stored_to = live.stored_to
        await watermark.advance(self._redis, live.name, stored_to)
        live.told(stored_to)
        self._metrics.stage_seconds.labels("report").observe(perf_counter() - began_report)
        self._count_run(run, records, events, rows, counted)
        self._drift.add_lines(live, events.key, len(records), unmatched, now)
        self._drift.add_ends(live, judged, now)
        if seen is not None:
            self._watch(seen)
        elif live.judge is None:
            taken, new = int(counted.sum()), len(live.tree) > known
            await self._learning.take(live, _only(records, counted), ids[counted], merged.ends, taken, new, now)
        return answers

    def _split_run(self, run: _Run) -> tuple[Records, Bool]:
        """Records, with their sessions of the partition only, and which of them are counted here, bool [n]."""
        merged = run.merged
        place = np.array(merged.place, dtype=np.int64)
        arrival = np.array([queued.arrival for queued in run.queued])[run.jobs_of(place)]
        records = self.live.parser.split(merged.lines, arrival.tolist(), merged.sessions, merged.times)
        rejected = [replace(rejection, index=int(place[rejection.index])) for rejection in records.rejected]
        records = replace(records, index=place[records.index], rejected=rejected)
        secondary = [
            offset + index
            for offset, queued in zip(merged.offsets, run.queued, strict=True)
            for index in queued.secondary
        ]
        counted = ~np.isin(records.index, secondary)
        names = records.session.to_list()
        partition = np.array([keys.partition_of(name.encode()) for name in names], dtype=np.int64)
        here = partition == run.partitions[run.jobs_of(records.index)][records.session_record]
        some = np.zeros(len(records), dtype=np.bool_)
        some[records.session_record[here]] = True
        # The rule of sessions has changed since: the line is judged here all the same.
        here |= (~some & counted)[records.session_record]
        if here.all():
            return records, counted
        kept = pl.Series(here)
        return replace(
            records, session_record=records.session_record[here], session=records.session.filter(kept)
        ), counted

    def _parts(self, run: _Run, events: Events, notes: Notes | None) -> tuple[Rows, list[tuple[int, Part]]]:
        """All rows, and what each job that has any appends."""
        lateness_s = self.live.settings.lateness_s
        job_of = run.jobs_of(events.index)
        prior = np.array([queued.prior for queued in run.queued])[job_of]
        marks = np.empty(len(events), dtype=np.float64)
        # Of each partition by itself: with which others it is read depends on who reads.
        for p in np.unique(run.partitions).tolist():
            own_rows = run.partitions[job_of] == p
            marks[own_rows] = watermarks(events.time[own_rows], prior[own_rows], lateness_s)
        rows = Rows(events.session, events.key, events.time, marks, events.ends, notes)
        parts = [
            (number, Part(_slice(rows, own), float(marks[own.stop - 1]), job.request.batch_id, queued.fence))
            for number, (own, job, queued) in enumerate(zip(run.rows_of(events), run.jobs, run.queued, strict=True))
            if own.stop > own.start
        ]
        return rows, parts

    async def _count_times(self, run: _Run, records: Records, counted: Bool, ids: Int64) -> None:
        """Timeframes and rates, each job under its own batch id."""
        live = self.live
        if live.frame_judge is None and live.rate_judge is None:
            return
        job_of = run.jobs_of(records.index)
        rates = []
        for number, (job, queued) in enumerate(zip(run.jobs, run.queued, strict=True)):
            own = counted & (job_of == number)
            if not own.any():
                continue
            batch_id = job.request.batch_id
            if live.frame_judge is not None:
                late = await self._frames.count(_only(records, own), queued.prior, batch_id)
                self._metrics.late.labels(live.name).inc(late)
            rates.append(partial(self._rates.count, records.time[own], ids[own], queued.prior, batch_id))
        for at in range(0, len(rates), AT_A_TIME):
            await asyncio.gather(*(count() for count in rates[at : at + AT_A_TIME]))

    def _answers(
        self, jobs: list[Job], merged: Merged, records: Records, events: Events, judged: Judged
    ) -> list[Answer]:
        if jobs[0].request.queued is None:
            return super()._answers(jobs, merged, records, events, judged)
        live = self.live
        versions = {"bundle": live.version, "tree": live.tree.tree_id, "tree_version": live.tree.version}
        errors: list[list[LineError]] = [[] for _ in jobs]
        for rejection in records.rejected:
            at, index = merged.request_of(rejection.index)
            errors[at].append(LineError(index, rejection.error))
        verdicts: list[list[Verdict]] = [[] for _ in jobs]
        for verdict in judged.lines:
            assert verdict["index"] is not None
            at, verdict["index"] = merged.request_of(verdict["index"])
            verdicts[at].append(verdict)
        for verdict, owner in zip(judged.ends, self._owners, strict=True):
            verdicts[owner].append(verdict)
        return [
            encode(live.name, job.request.received, error, own, versions, job.wanted)
            for job, error, own in zip(jobs, errors, verdicts, strict=True)
        ]

    def _own(self, run: _Run, events: Events, judged: Judged) -> list[Own]:
        """What each job leaves behind of what all came to."""
        own = [Own(job.request.batch_id or "") for job in run.jobs]
        for closing, owner in enumerate(self._owners):
            own[owner].ends.append(closing)
        if judged.rows is None or judged.closed is None:
            return own
        rows = run.jobs_of(events.index)
        # Findings are in this order: of the rows that rang, then of the sessions.
        rang = iter(judged.closed.anomalous.nonzero()[0].tolist())
        for finding in judged.findings:
            of_line = finding.verdict["kind"] == "line" and finding.row is not None
            own[rows[finding.row] if of_line else self._owners[next(rang)]].findings.append(finding)
        keyed = np.flatnonzero(events.key != NO_KEY)
        for at, rule in judged.rows.silenced.items():
            own[rows[keyed[at]]].silenced[rule] += 1
        for at, rule in judged.closed.silenced.items():
            own[self._owners[at]].silenced[rule] += 1
        return own

    def _count_run(self, run: _Run, records: Records, events: Events, rows: Rows, counted: Bool) -> None:
        name = self.live.name
        late = events.time < rows.watermark
        late &= np.isin(events.index, records.index[counted])
        secondary = sum(len(queued.secondary) for queued in run.queued)
        self._metrics.lines.labels(name).inc(max(0, len(run.merged.lines) - secondary))
        self._metrics.rejected.labels(name).inc(len(records.rejected))
        self._metrics.late.labels(name).inc(len(np.unique(events.index[late])))
        self._metrics.templates.labels(name).set(len(self.live.tree))


def _only(records: Records, own: Bool) -> Records:
    """The records ``own`` bool [n], for those who count them and ask for no session."""
    if own.all():
        return records
    kept = pl.Series(own)
    return replace(
        records, index=records.index[own], message=records.message.filter(kept), masked=records.masked.filter(kept),
        time=records.time[own], fields=records.fields.filter(kept), session_record=np.empty(0, dtype=np.int64),
        session=records.session.head(0), rejected=[],
    )  # fmt: skip


def _slice(rows: Rows, own: slice) -> Rows:
    notes = rows.notes
    if notes is not None:
        notes = Notes(notes.values[own], notes.valued[own], notes.codes[own])
    return Rows(rows.session[own], rows.key[own], rows.time[own], rows.watermark[own], rows.ends[own], notes)


def _joined(rows: list[slice], numbers: Sequence[int], found: Sequence[Appended]) -> tuple[Appended, list[int]]:
    """What the jobs ``numbers`` found and ended, as if their rows had been appended at once; and the job of each
    closing. What a sweep after one job's rows closed, the next one's first row closed."""
    by_session: dict[str, list[int]] = {}
    priors: dict[str, SessionState] = {}
    notes: dict[str, SessionNotes] = {}
    closings: list[Closing] = []
    owners: list[int] = []
    starts = [rows[number].start for number in numbers]
    for at, (number, own) in enumerate(zip(numbers, found, strict=True)):
        fresh = own.by_session.keys() - by_session.keys()
        priors.update((name, state) for name, state in own.priors.items() if name in fresh)
        notes.update((name, kept) for name, kept in own.notes.items() if name in fresh)
        for name, places in own.by_session.items():
            by_session.setdefault(name, []).extend(starts[at] + place for place in places)
        swept = starts[at + 1] if at + 1 < len(numbers) else None
        for closing in own.closings:
            closings.append(replace(closing, row=swept if closing.row is None else starts[at] + closing.row))
            owners.append(number)
    return Appended(by_session, priors, closings, notes), owners
