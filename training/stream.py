"""A log through the pipeline without a service: the same parser, session rule, judge and verdicts, sessions in memory.

``service/pipeline`` does these steps with Redis in the middle; a parity test holds the two equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.autolog.frames import Counting, Frame, FrameCounter
from models.bundle import Bundle
from models.judging import Judged, judge_batch, judge_frames, texts_of
from models.live import LiveSessions
from models.parser import End, Events, Parser
from models.record import Records, Rejection
from models.sessions import Closing, Rows, SessionSettings, watermarks
from models.template.tree import TemplateTree
from models.verdict import Verdict
from models.windows import Windows
from training.cores import cores


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of lines came to, for evaluation to look at; ``frames``: the timeframes that it closed, None
    where none are judged."""

    events: Events
    windows: Windows
    judged: Judged
    rejected: list[Rejection]
    frames: Judged | None = None
    texts: Sequence[str] = ()
    """Masked message of each of the windows' rows, where a member reads it."""

    @property
    def verdicts(self) -> list[Verdict]:
        """Of lines in order, then of sessions that closed, then of timeframes."""
        return [*self.judged.lines, *self.judged.ends, *(self.frames.ends if self.frames else ())]


class Stream:
    """One source's lines in order. ``settings`` overrides the bundle's session rule (whole sessions: idle_s = inf)."""

    def __init__(self, bundle: Bundle, settings: SessionSettings | None = None) -> None:
        self._source = bundle.source
        self._settings = settings or bundle.manifest.session
        self._parser = Parser(bundle.source, bundle.tree())
        self.judge = bundle.judge(threads=cores(), exemplar_of=self._exemplar_of)
        self._sessions = LiveSessions(self._settings)
        self._frames = bundle.frame_judge(threads=cores())
        if self._frames is not None:
            self._counting = Counting(self._frames.detector)
            self._counter = FrameCounter(self._frames.detector.chunk_s)
        self._largest = -np.inf

    @property
    def tree(self) -> TemplateTree:
        """The template tree as the lines so far made it."""
        return self._parser.tree

    @property
    def tail(self) -> int:
        """Keys that are kept of a session, the newest."""
        return self._settings.tail

    def activate(self, bundle: Bundle) -> None:
        """Judge by another version from the next batch on. What is remembered of sessions stays, as in the service;
        teaching changes what detectors know, not what they read."""
        self.judge = bundle.judge(threads=cores(), exemplar_of=self._exemplar_of)
        if self._frames is not None:
            self._frames = bundle.frame_judge(threads=cores())

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
        ids = self._parser.tree.assign(records.masked, None, records.distinct).ids
        return self.take(records, self._parser.events(records, ids, ends))

    def take(self, records: Records, events: Events) -> Batch:
        """One batch that was parsed before, by the bundle's tree."""
        tally = self._counting.tally(records, self._largest, self._settings.lateness_s) if self._frames else None
        marks = watermarks(events.time, self._largest, self._settings.lateness_s)
        self._largest = float(events.time.max(initial=self._largest))
        notes = self.judge.notes(records, events, self._tokens_of)
        rows = Rows(events.session, events.key, events.time, marks, events.ends, notes)
        windows, closed = self._sessions.append(rows)
        mark = self._largest - self._settings.lateness_s
        closed += self._sessions.sweep(mark)
        batch = self._judge_batch(records, events, windows, closed)
        if tally is None:
            return batch
        self._counter.count(tally)
        return replace(batch, frames=self._judge_frames(self._counter.close_due(mark)))

    def close(self) -> Batch:
        """Close every session that is still live, and every timeframe that holds a line: the last step of the
        whole-session protocol."""
        nothing, windows = Events.none(), Windows.none(self._settings.width)
        batch = self._judge_batch(None, nothing, windows, self._sessions.close_all())
        return batch if self._frames is None else replace(batch, frames=self._judge_frames(self._counter.close_all()))

    def _judge_frames(self, frames: list[Frame]) -> Judged:
        assert self._frames is not None
        return judge_frames(self._source.name, self._frames, frames)

    def _judge_batch(self, records: Records | None, events: Events, windows: Windows, closings: list[Closing]) -> Batch:
        judged = judge_batch(
            self._source.name, self.judge, self._settings, events, windows, closings, self._text_of, records
        )
        for peak in judged.peaks:
            self._sessions.raise_peak(peak.session, peak.started, peak.member, peak.raw)
        texts = texts_of(self.judge, records, events, windows)
        return Batch(events, windows, judged, [] if records is None else records.rejected, texts=texts)

    def _text_of(self, template_id: int) -> str:
        return self._parser.tree.template(template_id).text

    def _exemplar_of(self, template_id: int) -> str:
        return self._parser.tree.template(template_id).exemplar

    def _tokens_of(self, template_id: int) -> Sequence[str]:
        return self._parser.tree.template(template_id).tokens


def whole_sessions(settings: SessionSettings) -> SessionSettings:
    """The session rule of the whole-session protocol: no session ends by silence."""
    return replace(settings, idle_s=np.inf)
