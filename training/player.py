"""Batches judged again event by event, by an operator's rules as they are when each event comes.

Owns the order of events and answers. Does not know who answers (``operators``), how rules match (``models.rules``) nor
how evidence is made.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.judge import Judge, Reason
from models.members.event import Observed
from models.rules import Clause, joined, widened
from models.sessions import Closing, Windows
from training.operators import Operator
from training.stream import Batch


class Player:
    """Judges batches again event by event, by an operator's rules; only what could count is looked at."""

    def __init__(self, judge: Judge, alarms: set[str]) -> None:
        self._judge = judge
        self._alarms = alarms
        self._peaks: dict[tuple[str, float], dict[int, float]] = {}

    def play(self, batch: Batch, operator: Operator, start: int, stop: int) -> None:
        """One batch, whose lines are ``start`` to ``stop`` of the log."""
        windows, events = batch.windows, batch.events
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
                self._row(batch, at, operator, line)
            else:
                self._closing(batch.judged.closings[at], operator, line)
        operator.desk.settle()

    def _row(self, batch: Batch, at: int, operator: Operator, line: int) -> None:
        event = _one(batch, at)
        judgement = self._judge.rows(event, operator.rules, 0.0)
        for rule in judgement.silenced.values():
            operator.silenced(rule, line)
        session, started = batch.events.session[int(batch.windows.row[at])], float(batch.windows.started[at])
        peaks = self._peaks.setdefault((session, started), {})
        for peak in self._judge.peaks(judgement):
            peaks[peak.member] = max(peak.raw, peaks.get(peak.member, -np.inf))
        if judgement.anomalous[0]:
            reasons = self._judge.row_reasons(judgement, 0, event)
            found = [(reason, self._judge.row_clauses(reason.detector, event, 0)) for reason in reasons]
            self._ring(session, started, found, operator, line, float(batch.events.time[int(batch.windows.row[at])]))

    def _closing(self, closing: Closing, operator: Operator, line: int) -> None:
        own = self._peaks.pop((closing.session, closing.state.started), {})
        # Peaks that segments of long sequences left do not come from lines; the stream has them.
        places = {member.place for member in self._judge.events}
        kept = {place: raw for place, raw in closing.peaks.items() if place not in places}
        judged = replace(closing, peaks={**kept, **own})
        judgement = self._judge.closings([judged], operator.rules, 0.0)
        for rule in judgement.silenced.values():
            operator.silenced(rule, line)
        if judgement.anomalous[0]:
            reasons = self._judge.closing_reasons(judgement, 0, judged)
            found = [(reason, self._judge.closing_clauses(reason.detector, judged)) for reason in reasons]
            # Of an end that is silent already the event before it rang, when no rule was in force yet.
            found = [(reason, own) for reason, own in found if operator.rules.silencing(own, 0.0) is None]
            self._ring(closing.session, closing.state.started, found, operator, line, closing.state.last)

    def _ring(
        self,
        session: str,
        started: float,
        found: Sequence[tuple[Reason, Sequence[Clause]]],
        operator: Operator,
        line: int,
        time: float,
    ) -> None:
        self._alarms.add(session)
        alarm, silencing = [], []
        for reason, clauses in found:
            rule = widened(clauses[0], reason.because.get("normal")) if clauses else None
            if rule is not None:
                alarm.append(clauses[0])
                silencing.append(rule)
        if alarm:
            operator.see(session, repr((session, started, alarm)), alarm, joined(silencing), line, time)


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
