"""Why a row or a session rang: members, their parts, what would silence it, and where it left the workflow.

Owns the order of reasons and what is remembered of them. Does not know thresholds, nor templates' texts
(``models.finding``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.ensemble import Ensemble
from models.judgement import Judgement, end_histories
from models.lesson import Lesson
from models.members.cache import REASONS_KEPT, Remembered
from models.members.ended import EndMember
from models.members.event import EventMember, Observed
from models.rules import Clause
from models.sessions import BEFORE_SESSION, Closing, Int64
from models.vocabulary import END
from models.workflow.diagnosis import Diagnostician


@dataclass(frozen=True, slots=True)
class Reason:
    """One member's part in an anomalous verdict: its raw output, calibrated score, share of the evidence, and why."""

    detector: str
    raw: float
    score: float
    share: float
    because: dict[str, Any]


class Explainer:
    """Explains the alarms of one bundle version."""

    def __init__(
        self,
        events: Sequence[EventMember],
        sessions: Sequence[EndMember],
        ensemble: Ensemble,
        known: frozenset[int],
        width: int,
        workflow: Diagnostician | None = None,
    ) -> None:
        """``known`` holds the template ids of the vocabulary; ``width`` keys of history are read before an event;
        ``workflow`` tells where in a session's course an alarm lies, where training built one."""
        self._events = {member.name: member for member in events}
        self._sessions = {member.name: member for member in sessions}
        self._ensemble = ensemble
        self._known = known
        self._width = width
        self._workflow = workflow
        self._diagnoses: Remembered[tuple[object, ...], dict[str, Any]] = Remembered(REASONS_KEPT)

    def row_reasons(self, judgement: Judgement, at: int, events: Observed) -> list[Reason]:
        """Why row ``at`` rang, the strongest member first."""
        return [
            Reason(name, raw, score, share, self._events[name].explain(events, at))
            for name, raw, score, share in self._parts(judgement, at)
        ]

    def row_clauses(self, detector: str, events: Observed, at: int) -> list[Clause]:
        """What makes the alarm of one member on row ``at`` the same as another, under each scope that it knows."""
        return self._events[detector].clauses(events, at, self._known)

    def row_lesson(self, detector: str, events: Observed, at: int) -> Lesson:
        """What one member saw of row ``at``."""
        return Lesson(detector, self._events[detector].seen(events, at))

    def row_diagnosis(self, events: Observed, at: int) -> dict[str, Any] | None:
        """Where in its session's course row ``at`` departs from the workflow; None without a workflow."""
        elapsed = events.windows.elapsed
        pause = None if elapsed is None else float(elapsed[at])
        return self._diagnose(events.windows.history[at].tolist(), int(events.key[at]), None, pause)

    def closing_reasons(self, judgement: Judgement, at: int, closing: Closing) -> list[Reason]:
        """Why closed session ``at`` rang, the strongest member first."""
        return [
            Reason(name, raw, score, share, self._explain_closing(name, raw, closing))
            for name, raw, score, share in self._parts(judgement, at)
        ]

    def closing_clauses(self, detector: str, closing: Closing) -> list[Clause]:
        """What makes the alarm of one member on a closed session the same as another; nothing where an event before its
        end rang."""
        if detector in self._sessions:
            return self._sessions[detector].clauses(closing.state, self._known)
        history, raw = self._end(detector, closing)
        if not self._ensemble.counts(detector, raw):
            return []
        return self._events[detector].end_clauses(history, closing.state.counts, self._known)

    def closing_lesson(self, detector: str, closing: Closing) -> Lesson | None:
        """What one member saw of a closed session; None where an event before its end rang."""
        if detector in self._sessions:
            return Lesson(detector, self._sessions[detector].seen(closing.state))
        history, raw = self._end(detector, closing)
        if not self._ensemble.counts(detector, raw):
            return None
        return Lesson(detector, self._events[detector].end_seen(history))

    def closing_diagnosis(self, closing: Closing) -> dict[str, Any] | None:
        """Where in its course a closed session departs from the workflow; None without a workflow."""
        history = end_histories([closing], self._width)[0].tolist()
        return self._diagnose(history, END, closing.state.counts, None)

    def _explain_closing(self, name: str, raw: float, closing: Closing) -> dict[str, Any]:
        """A member's part at a session's end: the end itself, or the strangest event or segment before it."""
        whole = self._sessions.get(name)
        if whole is not None:
            if closing.peaks.get(whole.place, -np.inf) >= raw and whole.sequences:
                return {"at": "an earlier segment of this session"}
            return whole.explain(closing.state)
        history, at_end = self._end(name, closing)
        return self._events[name].explain_end(history) if at_end >= raw else {"at": "an earlier event of this session"}

    def _end(self, name: str, closing: Closing) -> tuple[Int64, float]:
        """The keys before a session's end as an event member reads them, int64 [width], and its raw output there; NaN
        where it does not judge ends."""
        history = end_histories([closing], self._width)
        ends = self._events[name].score_ends(history)
        return history[0], np.nan if ends is None else float(ends[0])

    def _diagnose(
        self, history: list[int], key: int, counts: Mapping[int, int] | None, elapsed: float | None
    ) -> dict[str, Any] | None:
        workflow = self._workflow
        if workflow is None:
            return None
        # One mark says that the start was seen; a window holds one for each place before it.
        first = next((at for at, k in enumerate(history) if k != BEFORE_SESSION), len(history))
        keys = [*([BEFORE_SESSION] if first else ()), *history[first:]]
        about = (*keys, key, elapsed, *(sorted(counts.items()) if counts else ()))
        return self._diagnoses.get(
            about, lambda: workflow.diagnose(keys, key, counts=counts, elapsed_s=elapsed).to_dict()
        )

    def _parts(self, judgement: Judgement, at: int) -> list[tuple[str, float, float, float]]:
        """(member, raw, calibrated score, share of evidence) of the members that took part, the strongest first."""
        raws: Mapping[str, float] = {name: float(raw[at]) for name, raw in judgement.raws.items()}
        parts = self._ensemble.contributions(raws)
        whole = sum(part.evidence for part in parts) or 1.0
        taking = sorted((p for p in parts if p.evidence > 0), key=lambda p: (-p.evidence, p.name))
        return [(part.name, raws[part.name], part.score, part.evidence / whole) for part in taking]
