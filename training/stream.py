"""A log through the pipeline without a service: the same parser, session rule, judge and verdicts, sessions in memory.

``service/pipeline`` does these steps with Redis in the middle; a parity test holds the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.bundle import Bundle
from models.judging import Judged, judge_batch
from models.parser import End, Events, Parser
from models.record import Rejection
from models.sessions import Closing, LiveSessions, Rows, SessionSettings, Windows, watermarks
from models.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of lines came to, for evaluation to look at."""

    events: Events
    windows: Windows
    judged: Judged
    rejected: list[Rejection]

    @property
    def verdicts(self) -> list[Verdict]:
        """Of lines in order, then of sessions that closed."""
        return self.judged.lines + self.judged.ends


class Stream:
    """One source's lines in order. ``settings`` overrides the bundle's session rule (whole sessions: idle_s = inf)."""

    def __init__(self, bundle: Bundle, settings: SessionSettings | None = None) -> None:
        self._source = bundle.source
        self._settings = settings or bundle.manifest.session
        self._parser = Parser(bundle.source, bundle.tree())
        self._judge = bundle.judge()
        self._sessions = LiveSessions(self._settings)
        self._largest = -np.inf

    @property
    def members(self) -> list[str]:
        """Names of the event members and then of the session members."""
        return [d.name for d in self._judge.events] + [d.name for d in self._judge.sessions]

    def feed(
        self,
        lines: Sequence[str],
        arrival: float,
        sessions: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
        ends: Sequence[End] = (),
    ) -> Batch:
        """One batch of lines through every step; ``arrival`` in seconds since the epoch."""
        records = self._parser.split(lines, arrival, sessions, times)
        ids = self._parser.tree.assign(records.masked, None).ids
        events = self._parser.events(records, ids, ends)
        marks = watermarks(events.time, self._largest, self._settings.lateness_s)
        self._largest = float(events.time.max(initial=self._largest))
        windows, closed = self._sessions.append(Rows(events.session, events.key, events.time, marks, events.ends))
        closed += self._sessions.sweep(self._largest - self._settings.lateness_s)
        return self._judge_batch(events, windows, closed, records.rejected)

    def close(self) -> Batch:
        """Close every session that is still live: the last step of the whole-session protocol."""
        nothing, windows = Events.none(), Windows.none(self._settings.tail)
        return self._judge_batch(nothing, windows, self._sessions.close_all(), [])

    def _judge_batch(
        self, events: Events, windows: Windows, closings: list[Closing], rejected: list[Rejection]
    ) -> Batch:
        judged = judge_batch(self._source.name, self._judge, self._settings, events, windows, closings, self._text_of)
        for peak in judged.peaks:
            self._sessions.raise_peak(peak.session, peak.started, peak.member, peak.raw)
        return Batch(events, windows, judged, rejected)

    def _text_of(self, template_id: int) -> str:
        return self._parser.tree.template(template_id).text


def whole_sessions(settings: SessionSettings) -> SessionSettings:
    """The session rule of the whole-session protocol: no session ends by silence."""
    return replace(settings, idle_s=np.inf)
