"""One appended batch judged: rows, closed sessions, verdicts and findings. Evaluation and the service both run this.

Owns the joining of the steps. Does not know where sessions are stored nor what becomes of a finding.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from models.autolog.frames import Frame, frame_name
from models.autolog.judge import FrameJudge
from models.finding import Finding, explain_lines, frame_verdicts, session_verdicts
from models.judge import NO_RULES, Judge
from models.judgement import Judgement
from models.members.event import Observed
from models.parser import Events
from models.record import Records
from models.rules import Rules
from models.sessions import Closing, SessionSettings, SessionState, with_peak
from models.verdict import NO_LINES, LineVerdicts, Verdict
from models.windows import Windows


@dataclass(frozen=True, slots=True)
class SessionPeak:
    """A raw output of event member ``member`` that may still count when ``session`` (begun at ``started``) closes."""

    session: str
    started: float
    member: int
    raw: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch came to.

    ``lines`` holds a verdict for each keyed row in line order, ``ends`` one for each of ``closings``; ``rows`` and
    ``closed`` are the columns behind them (None while the source has no model); ``findings`` those that rang; ``peaks``
    what has to be remembered of sessions that are still live.
    """

    lines: LineVerdicts
    ends: list[Verdict]
    findings: list[Finding]
    closings: list[Closing]
    rows: Judgement | None
    closed: Judgement | None
    peaks: list[SessionPeak]

    @classmethod
    def of_ends(cls, ends: list[Verdict], findings: list[Finding], closings: list[Closing]) -> Self:
        """Where nothing but what ended was judged, and not by an ensemble's columns."""
        return cls(NO_LINES, ends, findings, closings, None, None, [])


def judge_batch(
    source: str,
    judge: Judge | None,
    settings: SessionSettings,
    events: Events,
    windows: Windows,
    closings: Sequence[Closing],
    text_of: Callable[[int], str],
    records: Records | None = None,
    rules: Rules = NO_RULES,
    now: float = 0.0,
) -> Judged:
    """Judge the rows of a batch and the sessions that closed with it.

    ``windows`` are the rows' histories and ``records`` what they were made of (None: there are no rows); ``closings``
    as the store returned them, those of rows in row order and then those of the sweep: peaks of this very batch are
    added here. ``judge`` None: the source is learning, and every verdict says so. ``rules`` silence what people called
    false alarms, at ``now`` in seconds.
    """
    if judge is None:
        lines = LineVerdicts(events, windows, None, lambda _: True, text_of)
        ends, _ = session_verdicts(source, closings, None, None, settings.width, lambda _: True, text_of)
        return Judged(lines, ends, [], list(closings), None, None, [])
    known = judge.known.__contains__
    observed = Observed(windows, events.key[windows.row], texts_of(judge, records, events, windows))
    rows = judge.rows(observed, rules, now)
    raised, peaks = _peaks(judge, rows, events, windows, closings)
    lines = LineVerdicts(events, windows, rows, known, text_of)
    findings = explain_lines(source, lines, events, observed, rows, judge, known, text_of)
    closed = judge.closings(raised, rules, now)
    ends, more = session_verdicts(source, raised, closed, judge, settings.width, known, text_of)
    return Judged(lines, ends, findings + more, raised, rows, closed, peaks)


def judge_frames(
    source: str, judge: FrameJudge, frames: Sequence[Frame], rules: Rules = NO_RULES, now: float = 0.0
) -> Judged:
    """Closed frames judged, in the shape in which the ends of sessions are reported; ``now`` in seconds."""
    chunk_s = judge.detector.chunk_s
    judgement = judge.judge(frames, rules, now)
    ends, findings = frame_verdicts(source, frames, chunk_s, judgement, judge.detector.name)
    closings = [
        Closing(
            frame_name(frame.chunk, chunk_s),
            SessionState(frame.chunk * chunk_s, (frame.chunk + 1) * chunk_s, frame.lines, (), {}),
        )
        for frame in frames
    ]
    return Judged.of_ends(ends, findings, closings)


def texts_of(judge: Judge, records: Records | None, events: Events, windows: Windows) -> Sequence[str]:
    """Masked message of each of the windows' rows, where a member reads it."""
    if not judge.reads_texts or records is None:
        return ()
    texts: list[str] = records.masked.gather(events.record[windows.row]).to_list()
    return texts


def _peaks(
    judge: Judge, rows: Judgement, events: Events, windows: Windows, closings: Sequence[Closing]
) -> tuple[list[Closing], list[SessionPeak]]:
    """Closings with the peaks of this batch, and the peaks of sessions that live on."""
    raised = list(closings)
    own: dict[str, _Closed] = {}
    for number, closing in enumerate(raised):
        own.setdefault(closing.session, _Closed()).add(number, closing)
    peaks: list[SessionPeak] = []
    for peak in judge.peaks(rows, windows.segments):
        row = int(windows.row[peak.row])
        session = events.session[row]
        closed = own[session].by(row, bool(events.ends[row])) if session in own else None
        if closed is None:
            peaks.append(SessionPeak(session, float(windows.started[peak.row]), peak.member, peak.raw))
        else:
            raised[closed] = with_peak(raised[closed], peak.member, peak.raw)
    return raised, peaks


class _Closed:
    """The closings of one session in a batch: their numbers, and the rows that closed them, which only grow."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._rows: list[float] = []

    def add(self, number: int, closing: Closing) -> None:
        """The next one; those of a sweep come last."""
        self._numbers.append(number)
        self._rows.append(math.inf if closing.row is None else closing.row)

    def by(self, row: int, ends: bool) -> int | None:
        """Number of the closing that is of the epoch that a keyed row belongs to; None where it lives on.

        By rows and not by when the epoch began: a session that ends and returns within a second has two that began at
        once. One row may close an idle epoch and then its own, where it ``ends``: the later closing.
        """
        later = bisect_right(self._rows, row)
        if ends:
            assert self._rows[later - 1] == row
            return self._numbers[later - 1]
        return self._numbers[later] if later < len(self._numbers) else None
