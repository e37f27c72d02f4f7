"""Batches judged again event by event, by an operator's rules as they are when each event comes.

Owns the order of events and answers. Does not know who answers (``operators``), how rules match (``models.rules``) nor
how evidence is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from models.explainer import Reason
from models.judge import Judge
from models.judgement import Judgement
from models.lesson import Lesson
from models.members.event import Observed
from models.rules import Clause, joined, widened
from models.sessions import Closing
from models.windows import Windows
from training.operators import Alarm, Operator
from training.stream import Batch

_Found = tuple[Reason, Sequence[Clause], Lesson | None]
"""One detector's part in an alarm: why, its clauses, and what it saw."""


@dataclass(slots=True)
class Heard:
    """What an operator's rules left of a batch: which rows and which of its ``closings`` rang, by place, and which a
    rule silenced. ``closings`` are the batch's, with the peaks that those rules left of their events."""

    closings: list[Closing]
    rang: set[int] = field(default_factory=set)
    silenced: set[int] = field(default_factory=set)
    ends_rang: set[int] = field(default_factory=set)
    ends_silenced: set[int] = field(default_factory=set)


class Player:
    """Judges batches again event by event, by an operator's rules; only what could count is looked at."""

    def __init__(self, judge: Judge, alarms: set[str]) -> None:
        self._judge = judge
        self._alarms = alarms
        self._peaks: dict[tuple[str, float], dict[int, float]] = {}

    def follow(self, judge: Judge) -> None:
        """Judge by another version from the next batch on; what is remembered of sessions stays, as in the service."""
        self._judge = judge

    def play(self, batch: Batch, operator: Operator, start: int, stop: int) -> Heard:
        """One batch, judged by the same version, whose lines are ``start`` to ``stop`` of the log."""
        windows, events = batch.windows, batch.events
        heard = Heard(list(batch.judged.closings))
        strange: set[int] = set()
        rows = batch.judged.rows
        if rows is not None:
            for member in self._judge.events:
                counting = self._judge.ensemble.counts(member.name, rows.raws[member.name])
                strange |= set(np.flatnonzero(counting).tolist())
        # (row, 0: a line or 1: an end, place): an end after the line of the same row.
        order = [(int(windows.row[at]), 0, at) for at in strange]
        order += [
            (len(events.session) if closing.row is None else closing.row, 1, at)
            for at, closing in enumerate(batch.judged.closings)
        ]
        for row, kind, at in sorted(order):
            line = start + int(events.index[row]) if row < len(events.session) else stop
            operator.read(line)
            if kind == 0:
                judgement = self._row(batch, at, operator, line)
                _tell(judgement, at, heard.rang, heard.silenced)
            else:
                heard.closings[at], judgement = self._closing(batch.judged.closings[at], operator, line)
                _tell(judgement, at, heard.ends_rang, heard.ends_silenced)
        operator.desk.settle()
        return heard

    def _row(self, batch: Batch, at: int, operator: Operator, line: int) -> Judgement:
        event = _one(batch, at)
        judgement = self._judge.rows(event, operator.rules, 0.0)
        for rule in judgement.silenced.values():
            operator.silenced(rule, line)
        session, started = batch.events.session[int(batch.windows.row[at])], float(batch.windows.started[at])
        peaks = self._peaks.setdefault((session, started), {})
        for peak in self._judge.peaks(judgement):
            peaks[peak.member] = max(peak.raw, peaks.get(peak.member, -np.inf))
        if judgement.anomalous[0]:
            reasons = self._judge.explainer.row_reasons(judgement, 0, event)
            found: list[_Found] = []
            for reason in reasons:
                clauses = self._judge.explainer.row_clauses(reason.detector, event, 0)
                found.append((reason, clauses, self._judge.explainer.row_lesson(reason.detector, event, 0)))
            self._ring(session, started, found, operator, line, float(batch.events.time[int(batch.windows.row[at])]))
        return judgement

    def _closing(self, closing: Closing, operator: Operator, line: int) -> tuple[Closing, Judgement]:
        own = self._peaks.pop((closing.session, closing.state.started), {})
        # Peaks that segments of long sequences left do not come from lines; the stream has them.
        places = {member.place for member in self._judge.events}
        kept = {place: raw for place, raw in closing.peaks.items() if place not in places}
        judged = replace(closing, peaks={**kept, **own})
        judgement = self._judge.closings([judged], operator.rules, 0.0)
        for rule in judgement.silenced.values():
            operator.silenced(rule, line)
        if judgement.anomalous[0]:
            reasons = self._judge.explainer.closing_reasons(judgement, 0, judged)
            found: list[_Found] = []
            for reason in reasons:
                clauses = self._judge.explainer.closing_clauses(reason.detector, judged)
                # Of an end that is silent already the event before it rang, when no rule was in force yet.
                if operator.rules.silencing(clauses, 0.0) is None:
                    found.append((reason, clauses, self._judge.explainer.closing_lesson(reason.detector, judged)))
            self._ring(closing.session, closing.state.started, found, operator, line, closing.state.last)
        return judged, judgement

    def _ring(
        self,
        session: str,
        started: float,
        found: Sequence[_Found],
        operator: Operator,
        line: int,
        time: float,
    ) -> None:
        self._alarms.add(session)
        causes, silencing = [], []
        for reason, clauses, _ in found:
            rule = widened(clauses[0], reason.because.get("normal")) if clauses else None
            if rule is not None:
                causes.append(clauses[0])
                silencing.append(rule)
        if causes:
            incident = repr((session, started, causes))
            lessons = tuple(lesson for _, _, lesson in found if lesson is not None)
            operator.see(Alarm(session, incident, tuple(causes), joined(silencing), lessons, line, time))


def _tell(judgement: Judgement, at: int, rang: set[int], silenced: set[int]) -> None:
    """What became of row or end ``at``, which was judged alone."""
    if judgement.anomalous[0]:
        rang.add(at)
    elif judgement.silenced:
        silenced.add(at)


def _one(batch: Batch, at: int) -> Observed:
    """Event ``at`` of a batch alone."""
    windows = batch.windows
    values, codes = windows.values, windows.codes
    if values is not None:
        own = np.flatnonzero(values.at == at)
        first = np.zeros(len(own), dtype=np.int64)
        values = replace(values, at=first, history=values.history[own], values=values.values[own])
    if codes is not None:
        codes = replace(codes, earlier=codes.earlier[at : at + 1], codes=codes.codes[at : at + 1])
    part = slice(at, at + 1)
    alone = Windows(
        windows.history[part], windows.row[part], windows.position[part], windows.started[part],
        None if windows.elapsed is None else windows.elapsed[part], values, codes,
    )  # fmt: skip
    texts = [batch.texts[at]] if batch.texts else []
    return Observed(alone, batch.events.key[windows.row[part]], texts)
