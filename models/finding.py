"""Findings, from which incidents are made, and the verdicts that say so.

Owns the wording: ids become template texts here, and only for what rang. Training's evaluation and the service build
their verdicts with these functions and no others, so the two cannot drift apart.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.autolog.frames import Frame, frame_name
from models.autolog.judge import FrameJudgement
from models.explainer import Reason
from models.judge import Judge
from models.judgement import Judgement
from models.lesson import Lesson
from models.members.event import Observed
from models.parser import Events
from models.rules import Clause, digest
from models.sessions import BEFORE_SESSION, Closing
from models.verdict import LineVerdicts, Verdict
from models.vocabulary import END

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Finding:
    """An anomalous verdict with what an incident keeps of it. ``time`` and ``started`` in seconds since the epoch.

    ``window`` holds the template ids before the event, oldest first (for a closed session: its last ones); ``clauses``
    what to silence should it be called a false alarm: of each detector that took part, its narrowest; ``diagnosis``
    where it departs from the source's workflow (``models.workflow``), None where there is none; ``lessons`` what those
    detectors saw; ``events`` how many events the session had before it (its end: in all), None of a timeframe.
    """

    verdict: Verdict
    cause: str
    started: float
    time: float
    window: tuple[int, ...]
    row: int | None
    clauses: tuple[Clause, ...] = ()
    diagnosis: dict[str, Any] | None = None
    lessons: tuple[Lesson, ...] = ()
    events: int | None = None


def wording(text_of: Callable[[int], str]) -> Callable[[int], str]:
    """``text_of`` with words for the two marks that are no templates."""

    def words(template_id: int) -> str:
        if template_id == BEFORE_SESSION:
            return "(session begins)"
        if template_id == END:
            return "(session ends)"
        return text_of(template_id)

    return words


def explain_lines(
    source: str,
    verdicts: LineVerdicts,
    events: Events,
    observed: Observed,
    judgement: Judgement,
    judge: Judge,
    known: Callable[[int], bool],
    text_of: Callable[[int], str],
) -> list[Finding]:
    """Add reasons and incident ids to the line verdicts that rang; returns a finding for each."""
    words = wording(text_of)
    windows = observed.windows
    findings = []
    for at in judgement.anomalous.nonzero()[0].tolist():
        verdict, row = verdicts[at], int(windows.row[at])
        history, key = windows.history[at], int(events.key[row])
        reasons = judge.explainer.row_reasons(judgement, at, observed)
        window = tuple(k for k in history.tolist() if k != BEFORE_SESSION)
        started = float(windows.started[at])
        leading = reasons[0].detector
        new = [k for k in (*window, key) if not known(k)]
        verdict["incident"] = _incident(source, verdict["session"], started, _about(leading, new[-1:]))
        verdict["reasons"] = _in_reasons(reasons, words)
        clauses = _first(judge.explainer.row_clauses(reason.detector, observed, at) for reason in reasons)
        diagnosis = _in_words(judge.explainer.row_diagnosis(observed, at), words)
        time = float(events.time[row])
        before = int(windows.position[at])
        findings.append(
            Finding(verdict, _cause(clauses), started, time, window, row, clauses, diagnosis, events=before)
        )
    return findings


def session_verdicts(
    source: str,
    closings: Sequence[Closing],
    judgement: Judgement | None,
    judge: Judge | None,
    width: int,
    known: Callable[[int], bool],
    text_of: Callable[[int], str],
) -> tuple[list[Verdict], list[Finding]]:
    """A verdict for each closed session, with reasons where it rang, and a finding for each that rang: ``width`` keys
    before its end go into it."""
    words = wording(text_of)
    verdicts: list[Verdict] = []
    findings = []
    # When much goes wrong at once, much of it goes wrong in the same way: each way is explained once a batch.
    courses: dict[tuple[object, ...], _Told] = {}
    for at, closing in enumerate(closings):
        verdict: Verdict = {
            "index": None, "kind": "session", "session": closing.session, "template_id": None, "template": None,
            "novel": False, "anomalous": False, "score": 0.0, "state": "learning", "incident": None, "reasons": [],
        }  # fmt: skip
        verdicts.append(verdict)
        if judgement is None or judge is None:
            continue
        verdict["state"] = "scored"
        verdict["score"] = float(judgement.score[at])
        verdict["anomalous"] = bool(judgement.anomalous[at])
        if verdict["anomalous"]:
            state = closing.state
            alike = closing.course, np.array([raw[at] for raw in judgement.raws.values()]).tobytes()
            told = courses.get(alike)
            if told is None:
                told = courses[alike] = _told(judgement, at, judge, closing, width, known, words)
            verdict["incident"] = _incident(source, closing.session, state.started, told.about)
            verdict["reasons"] = told.reasons
            findings.append(
                Finding(
                    verdict, told.cause, state.started, state.last, told.window, closing.row, told.clauses,
                    told.diagnosis, events=state.n,
                )
            )  # fmt: skip
    _silence(verdicts, judgement)
    return verdicts, findings


@dataclass(frozen=True, slots=True)
class _Told:
    """What is said of every anomalous session of one course."""

    about: str
    reasons: list[dict[str, Any]]
    cause: str
    window: tuple[int, ...]
    clauses: tuple[Clause, ...]
    diagnosis: dict[str, Any] | None


def _told(
    judgement: Judgement,
    at: int,
    judge: Judge,
    closing: Closing,
    width: int,
    known: Callable[[int], bool],
    words: Callable[[int], str],
) -> _Told:
    reasons, state = judge.explainer.closing_reasons(judgement, at, closing), closing.state
    leading = reasons[0].detector
    new = sorted(key for key in state.counts if not known(key))
    clauses = _first(judge.explainer.closing_clauses(reason.detector, closing) for reason in reasons)
    led = [clause for clause in clauses if clause.detector == leading]
    counts = ",".join(f"{key}:{count}" for key, count in sorted(state.counts.items()))
    return _Told(
        about=_about(leading, new[:1]),
        reasons=_in_reasons(reasons, words),
        cause=_cause(led) if led else digest(leading, counts),
        window=state.tail[-width:] if width else (),
        clauses=clauses,
        diagnosis=_in_words(judge.explainer.closing_diagnosis(closing), words),
    )


def _first(found: Iterable[Sequence[Clause]]) -> tuple[Clause, ...]:
    """The narrowest clause of each detector that has any."""
    return tuple(clauses[0] for clauses in found if clauses)


def _cause(clauses: Sequence[Clause]) -> str:
    """A fingerprint: equal for alarms that the same detector leads for the same reason."""
    return digest(*(word for clause in clauses[:1] for word in (clause.detector, clause.match)))


def _silence(verdicts: Sequence[Verdict], judgement: Judgement | None) -> None:
    """Say which verdicts were silenced, and by which rule."""
    for at, rule in () if judgement is None else judgement.silenced.items():
        verdicts[at]["state"] = "silenced"
        verdicts[at]["rule"] = rule


def _about(leading: str, new: Sequence[int]) -> str:
    """What an incident of one session is about: the new event in sight, if there is one, else the leading detector.

    A new event makes the windows after it and the session's counts strange as well: one incident, not three.
    """
    return _new_event(new[0]) if new else leading


def _new_event(key: int) -> str:
    """Cause of a new event: the same whatever came before it."""
    return digest("new_event", key)


def _incident(source: str, session: str, started: float, about: str) -> str:
    """The incident of a verdict: those of one session that are about one thing."""
    return digest(source, session, repr(started), about)


def _in_reasons(reasons: Sequence[Reason], words: Callable[[int], str]) -> list[dict[str, Any]]:
    """Reasons as a verdict has them."""
    return [
        {
            "detector": reason.detector,
            "raw": reason.raw,
            "score": reason.score,
            "share": reason.share,
            **_in_words(reason.because, words),
        }
        for reason in reasons
    ]


def _in_words(value: Any, words: Callable[[int], str]) -> Any:
    """A copy in which every mapping with a ``template_id`` has its ``template`` beside it."""
    if isinstance(value, dict):
        plain = {name: _in_words(part, words) if isinstance(part, _NESTED) else part for name, part in value.items()}
        key = plain.get("template_id")
        if isinstance(key, int):
            plain["template"] = words(key)
        return plain
    if isinstance(value, list | tuple):
        return [_in_words(part, words) if isinstance(part, _NESTED) else part for part in value]
    return value


_NESTED = (dict, list, tuple)


def frame_verdicts(
    source: str, frames: Sequence[Frame], chunk_s: float, judgement: FrameJudgement | None, detector: str
) -> tuple[list[Verdict], list[Finding]]:
    """A verdict for each closed timeframe of ``chunk_s`` seconds, with reasons where it rang, and a finding for each
    that rang. ``judgement`` by the member ``detector`` is None while the source has no model.

    Frames of one day (UTC) that the same entities make strange are one incident: what broke an entity rings in every
    frame until it is mended.
    """
    verdicts: list[Verdict] = []
    findings = []
    for at, frame in enumerate(frames):
        verdict: Verdict = {
            "index": None, "kind": "timeframe", "session": frame_name(frame.chunk, chunk_s), "template_id": None,
            "template": None, "novel": False, "anomalous": False, "score": 0.0, "state": "learning", "incident": None,
            "reasons": [],
        }  # fmt: skip
        verdicts.append(verdict)
        if judgement is None:
            continue
        verdict["state"] = "silenced" if at in judgement.silenced else "scored"
        verdict["score"] = float(judgement.score[at])
        verdict["anomalous"] = bool(judgement.anomalous[at])
        if at in judgement.silenced:
            verdict["rule"] = judgement.silenced[at]
        if at in judgement.ringing:
            ringing = judgement.ringing[at]
            started = frame.chunk * chunk_s
            cause = _cause([ringing.clause])
            reason = {"detector": detector, "raw": float(judgement.raw[at]), "score": verdict["score"], "share": 1.0}
            verdict["reasons"] = [{**reason, **ringing.because}]
            verdict["incident"] = digest(source, "timeframe", cause, int(started // DAY_S))
            lessons = () if ringing.lesson is None else (ringing.lesson,)
            findings.append(
                Finding(verdict, cause, started, started + chunk_s, (), None, (ringing.clause,), None, lessons)
            )
    return verdicts, findings
