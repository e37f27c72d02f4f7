"""What a finding has in common with others like it, and what would silence those: kept with its incident.

Owns the form in which an incident keeps its causes, and the wording. Does not know what makes two alarms the same
(``models.members``), how far a rule reaches beyond what rang (``models.rules``), nor where rules are stored.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from models.errors import TemplateError
from models.finding import Finding
from models.judge import Judge
from models.judgement import end_histories
from models.judging import Judged
from models.lesson import Lesson
from models.members.event import KeyMember, Observed
from models.parser import Events
from models.rate.detector import NAME as RATE
from models.record import Records
from models.rules import SCOPES, Clause, Scope, joined, widened
from models.sessions import BEFORE_SESSION, Closing, SessionState
from models.windows import Windows

OF_ONE_DETECTOR = 32
"""Clauses of one detector that are kept of a finding: a session may hold thousands of templates that nobody knows."""
SHOWN_TEMPLATE = 200
"""Characters of a template that a rule's wording shows."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One detector's part in an incident under one scope: ``alarm`` as it rang, ``rule`` what would silence it, and
    whether it is the detector's ``narrowest``."""

    alarm: Clause
    rule: Clause
    narrowest: bool

    def encode(self) -> bytes:
        """One line of JSON."""
        rule = None if self.rule == self.alarm else self.rule.to_dict()
        return orjson.dumps([self.alarm.to_dict(), rule, self.narrowest])

    @classmethod
    def decode(cls, line: bytes) -> "Cause":
        """Read back ``encode``."""
        alarm, rule, narrowest = orjson.loads(line)
        rang = Clause.from_dict(alarm)
        return cls(rang, rang if rule is None else Clause.from_dict(rule), narrowest)


def in_every_scope(
    judged: Judged, judge: Judge, events: Events, windows: Windows, records: Records | None = None
) -> Judged:
    """``judged`` by ``judge`` with the clauses of every scope in its findings, each detector's narrowest first, and
    what those detectors saw."""
    if not judged.findings or judged.rows is None or judged.closed is None:
        return judged
    texts: Sequence[str] = ()
    if judge.reads_texts and records is not None:
        texts = records.masked.gather(events.record[windows.row]).to_list()
    observed = Observed(windows, events.key[windows.row], texts)
    # Findings are in this order: of the rows that rang, then of the sessions.
    found = iter(judged.findings)
    wide: list[Finding] = []
    for at in judged.rows.anomalous.nonzero()[0].tolist():
        finding = next(found)
        clauses = [judge.explainer.row_clauses(name, observed, at) for name in _detectors(finding)]
        lessons = [judge.explainer.row_lesson(name, observed, at) for name in _detectors(finding)]
        wide.append(_with(finding, clauses, lessons, judge))
    courses: dict[tuple[object, ...], tuple[list[list[Clause]], list[Lesson]]] = {}
    for at in judged.closed.anomalous.nonzero()[0].tolist():
        finding, closing = next(found), judged.closings[at]
        names = _detectors(finding)
        alike = closing.course, *names
        told = courses.get(alike)
        if told is None:
            seen = [judge.explainer.closing_lesson(name, closing) for name in names]
            lessons = [lesson for lesson in seen if lesson is not None]
            told = courses[alike] = [judge.explainer.closing_clauses(name, closing) for name in names], lessons
        wide.append(_with(finding, *told, judge))
    return replace(judged, findings=wide)


def causes(finding: Finding) -> list[Cause]:
    """What an incident keeps of a finding whose clauses are those of every scope."""
    because = {reason["detector"]: reason for reason in finding.verdict["reasons"]}
    found: list[Cause] = []
    met: Counter[str] = Counter()
    for clause in finding.clauses:
        rule = widened(clause, because.get(clause.detector, {}).get("normal"))
        if rule is not None and met[clause.detector] < OF_ONE_DETECTOR:
            found.append(Cause(clause, rule, not met[clause.detector]))
            met[clause.detector] += 1
    return found


def scopes(found: Iterable[Cause]) -> list[Scope]:
    """Scopes under which an incident can be silenced, from the narrowest."""
    known = {cause.rule.scope for cause in found}
    return [scope for scope in SCOPES if scope in known]


def to_silence(found: Sequence[Cause], scope: str | None) -> tuple[Clause, ...]:
    """What a rule holds that silences an incident under one scope (None: under the narrowest of each detector); ranges
    of the same value are joined."""
    return joined(cause.rule for cause in found if (cause.narrowest if scope is None else cause.rule.scope == scope))


def in_words(clauses: Iterable[Clause], text_of: Callable[[int], str]) -> list[str]:
    """What a rule silences, a sentence for each detector and scope."""
    told: dict[tuple[str, str], list[str]] = {}
    for clause in clauses:
        if clause.detector == RATE:
            told.setdefault((RATE, _OF_RATE), []).append(f" {clause.match}")
            continue
        said = _DEPARTURE if clause.scope == "session" and clause.high is not None else _SAID[clause.scope]
        told.setdefault((clause.detector, said), []).append(_words(clause, text_of))
    return [f"{detector} {said}{_few(words)}" for (detector, said), words in told.items()]


def of_session(judge: Judge, session: str, state: SessionState) -> list[Clause]:
    """Clauses that any alarm on the events or the end of a session could have, as far as its kept keys tell."""
    found = [clause for m in judge.sessions for clause in m.clauses(state, judge.known)]
    closing = end_histories([Closing(session, state)], judge.width)
    keys = np.array(state.tail, dtype=np.int64)
    padded = np.concatenate([np.full(judge.width, BEFORE_SESSION), keys])
    history = padded[np.arange(len(keys))[:, None] + np.arange(judge.width)]
    nothing = np.arange(len(keys))
    observed = Observed(Windows(history, nothing, nothing, np.zeros(len(keys))), keys)
    whole = state.n == len(keys)
    for member in judge.events:
        found += member.end_clauses(closing[0], state.counts, judge.known)
        if isinstance(member, KeyMember):
            # What came before the oldest keys is forgotten.
            for at in range(0 if whole else min(member.window, len(keys)), len(keys)):
                found += member.clauses(observed, at, judge.known)
    return list(dict.fromkeys(found))


_SAID: dict[Scope, str] = {
    "window": "is silent after the same events",
    "template": "is silent on",
    "parameter": "is silent on the same value",
    "text": "is silent on the same words",
    "session": "is silent on sessions with the same events",
    "timeframe": "is silent on the same entities",
}
_OF_RATE = "is silent on the"
_DEPARTURE = "is silent on sessions with the same departure from a normal one"


def _words(clause: Clause, text_of: Callable[[int], str]) -> str:
    if clause.scope == "template":
        return f" “{_template(clause.match, text_of)}”"
    if clause.low is None or clause.high is None:
        return ""
    if clause.scope in ("session", "timeframe"):
        return f" up to {clause.high:g}"
    return f" from {clause.low:g} to {clause.high:g}"


def _few(words: Sequence[str], shown: int = 5) -> str:
    if not any(words):
        return "" if len(words) == 1 else f" ({len(words)} of them)"
    more = "" if len(words) <= shown else f" and {len(words) - shown} more"
    return ",".join(words[:shown]) + more


def _template(match: str, text_of: Callable[[int], str]) -> str:
    try:
        return text_of(int(match))[:SHOWN_TEMPLATE]
    except TemplateError:  # another replica learned it, and this one has met no line since
        return f"template {match}"


def _with(finding: Finding, clauses: Iterable[Sequence[Clause]], lessons: Sequence[Lesson], judge: Judge) -> Finding:
    every = tuple(clause for own in clauses for clause in _ranked(own, judge))
    return replace(finding, clauses=every, lessons=tuple(lessons))


def _ranked(clauses: Sequence[Clause], judge: Judge) -> list[Clause]:
    """Clauses of one detector's alarm: those about a template that training knew are the widest of all, and must not be
    taken for the narrowest where a new template beside it is what could not be read."""
    return sorted(clauses, key=lambda clause: clause.scope == "template" and int(clause.match) in judge.known)


def _detectors(finding: Finding) -> list[str]:
    return [reason["detector"] for reason in finding.verdict["reasons"]]
