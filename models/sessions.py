"""The rule by which rows become sessions, and sessions become windows.

Owns: when a session opens, continues and closes; what is remembered of it; the history window before each row. The
service keeps the same state in Redis and applies the same rule in Lua (``service/state/windows.py``); a property test
holds the two equal. Does not know where state is stored, nor what a key means.

The rule, for the rows of one source in order:

* the watermark at row i is the largest time of all rows up to and including i, minus ``lateness_s``;
* a session whose ``last + idle_s`` lies before the watermark at row i is closed before row i is appended, the row's own
  session too: the row then opens that session's next epoch;
* a row that ``ends`` its session closes it after it was appended; a row without a key (an end record) appends nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from models.notes import (
    Bool,
    CodeWindows,
    Float64,
    Int64,
    Notes,
    NoteSettings,
    SessionNotes,
    ValueWindows,
    code_windows,
    epochs_of,
    pauses,
    value_windows,
)

__all__ = ["Bool", "Float64", "Int64"]

BEFORE_SESSION = -1
"""Stands in a window for "before the session began"."""
NO_KEY = -1
"""The key of a pure end record."""
SEGMENT = 512
"""Events that are judged as one sequence: a longer session is judged in segments of so many."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a source keeps of each session.

    ``tail`` keys, the newest; ``idle_s`` the silence in seconds after which a session is over; ``lateness_s`` how far
    the watermark stays behind the largest time seen; ``window`` keys of history before each row, at most ``tail``
    (None: all of it); ``notes`` what is kept of events beside their keys.
    """

    tail: int
    idle_s: float
    lateness_s: float = 60.0
    window: int | None = None
    notes: NoteSettings = field(default_factory=NoteSettings)

    @property
    def width(self) -> int:
        """Keys of history before each row."""
        return self.tail if self.window is None else self.window

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back what ``dataclasses.asdict`` made. Raises TypeError where a field is missing or unknown."""
        return cls(**{**state, "notes": NoteSettings(**state.get("notes", {}))})


@dataclass(frozen=True, slots=True)
class Rows:
    """One row per (record, session) in line order, all columns of length m.

    ``key`` is a template id or ``NO_KEY``; ``time`` is in seconds since the epoch, or -inf for an end record (it moves
    no watermark); ``watermark`` is nondecreasing; ``ends`` marks rows after which their session
    closes; ``notes`` where the source keeps any.
    """

    session: list[str]
    key: Int64
    time: Float64
    watermark: Float64
    ends: Bool
    notes: Notes | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """What is remembered of a live session: times in seconds, ``tail`` the newest keys with the newest last."""

    started: float
    last: float
    n: int
    tail: tuple[int, ...]
    counts: Mapping[int, int]

    @property
    def segment(self) -> Int64:
        """Its keys since the last full segment, int64 [1..SEGMENT] (fewer where fewer were kept)."""
        return np.array(self.tail[-((self.n - 1) % SEGMENT + 1) :], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Closing:
    """A session that is over: its state, the peaks of its event members, and the row that closed it (None: a sweep)."""

    session: str
    state: SessionState
    peaks: Mapping[int, float] = field(default_factory=dict)
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of rows of one session within one epoch: positions ``start:stop`` of the session's rows in this batch.

    ``continues`` says that the epoch began in an earlier batch; ``closed_by`` is the position (in the session's rows)
    of the row that closed it, or None while it is live.
    """

    start: int
    stop: int
    started: float
    last: float
    continues: bool
    closed_by: int | None


@dataclass(frozen=True, slots=True)
class FullSegment:
    """A segment of a session that its event ``at`` (one of the k) made full: ``keys`` int64 [SEGMENT]."""

    at: int
    keys: Int64


@dataclass(frozen=True, slots=True)
class Windows:
    """What came before each of k keyed rows.

    ``history`` int64 [k, h]: template ids, oldest first, ``BEFORE_SESSION`` on the left; ``row`` int64 [k]: which row;
    ``position`` int64 [k]: 0-based place of the row in its session; ``started`` float64 [k]: when its session began.
    Where the source keeps them: ``elapsed`` float64 [k], seconds since the session's latest earlier event, NaN for its
    first; ``values`` and ``codes``; ``segments`` that became full.
    """

    history: Int64
    row: Int64
    position: Int64
    started: Float64
    elapsed: Float64 | None = None
    values: ValueWindows | None = None
    codes: CodeWindows | None = None
    segments: tuple[FullSegment, ...] = ()

    @classmethod
    def none(cls, tail: int) -> "Windows":
        """No windows."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(np.empty((0, tail), dtype=np.int64), nothing, nothing, np.empty(0, dtype=np.float64))


def watermarks(time: Float64, prior_max: float | Float64, lateness_s: float) -> Float64:
    """Watermark at each row, float64 [m]; ``prior_max`` is the largest time before these rows (-inf for none), or
    before each, float64 [m], where they are of several batches."""
    if len(time) == 0:
        return np.empty(0, dtype=np.float64)
    largest: Float64 = np.maximum.accumulate(np.maximum(time, prior_max))
    return largest - lateness_s


def group_by_session(session: Sequence[str]) -> dict[str, list[int]]:
    """Row numbers of each session, sessions in order of first appearance."""
    rows: dict[str, list[int]] = {}
    for number, name in enumerate(session):
        found = rows.get(name)
        if found is None:
            rows[name] = [number]
        else:
            found.append(number)
    return rows


def cut(
    prior: SessionState | None,
    key: Sequence[int],
    time: Sequence[float],
    watermark: Sequence[float],
    ends: Sequence[bool],
    idle_s: float,
) -> list[Segment]:
    """Cut one session's rows of a batch into epochs. An epoch closed by its first row alone has ``start == stop``."""
    segments: list[Segment] = []
    alive = prior is not None
    started = prior.started if prior else 0.0
    last = prior.last if prior else 0.0
    continues = alive
    start = 0
    for i in range(len(key)):
        if alive and last + idle_s < watermark[i]:
            segments.append(Segment(start, i, started, last, continues, i))
            alive = continues = False
            start = i
        if key[i] != NO_KEY:
            if alive:
                last = max(last, time[i])
            else:
                alive, continues = True, False
                started = last = time[i]
                start = i
        if ends[i]:
            if alive:
                segments.append(Segment(start, i + 1, started, last, continues, i))
            alive = continues = False
            start = i + 1
    if alive:
        segments.append(Segment(start, len(key), started, last, continues, None))
    return segments


def build_windows(
    rows: Rows,
    by_session: Mapping[str, Sequence[int]],
    priors: Mapping[str, SessionState],
    settings: SessionSettings,
    notes: Mapping[str, SessionNotes] | None = None,
) -> Windows:
    """The windows of every keyed row of a batch, given the state and ``notes`` of its session before the batch.

    One flat array holds, for each epoch, ``width`` cells of earlier history and then the new keys, so that every window
    is the slice that ends before its row's cell.
    """
    h = settings.width
    padding = [BEFORE_SESSION] * h
    keys, times, marks, ends = (
        rows.key.tolist(),
        rows.time.tolist(),
        rows.watermark.tolist(),
        rows.ends.tolist(),
    )
    flat: list[int] = []
    cells: list[int] = []
    row_of: list[int] = []
    position: list[int] = []
    started: list[float] = []
    plain = not (any(ends) or NO_KEY in keys)
    idle_s = settings.idle_s
    for session, numbers in by_session.items():
        prior = priors.get(session)
        first, final = numbers[0], numbers[-1]
        if plain and (times[first] if prior is None else prior.last) + idle_s >= marks[final]:
            # The usual case: no row of this session can close it. ``last`` only grows, the watermark is largest at the
            # final row, so what holds for the first ``last`` and the final mark holds for every row between.
            begun = times[first] if prior is None else prior.started
            segments = [Segment(0, len(numbers), begun, times[final], prior is not None, None)]
        else:
            own_rows = [(keys[r], times[r], marks[r], ends[r]) for r in numbers]
            own_keys, own_times, own_marks, own_ends = zip(*own_rows, strict=True)
            segments = cut(prior, own_keys, own_times, own_marks, own_ends, idle_s)
        for segment in segments:
            seen = 0
            if segment.continues and prior is not None:
                seen = prior.n
                known = prior.tail[-h:] if h else ()
                flat += padding[len(known) :]
                flat += known
            else:
                flat += padding
            own = numbers[segment.start : segment.stop]
            if not plain:
                own = [r for r in own if keys[r] != NO_KEY]
            count = len(own)
            cells += range(len(flat), len(flat) + count)
            flat += [keys[r] for r in own]
            row_of += own
            position += range(seen, seen + count)
            started += [segment.started] * count
    cell = np.asarray(cells, dtype=np.int64)
    history = (
        np.asarray(flat, dtype=np.int64)[cell[:, None] + np.arange(-h, 0)] if len(cell) else np.empty((0, h), np.int64)
    )
    row = np.asarray(row_of, dtype=np.int64)
    order = np.argsort(row, kind="stable")
    windows = Windows(
        history=history[order],
        row=row[order],
        position=np.asarray(position, dtype=np.int64)[order],
        started=np.asarray(started, dtype=np.float64)[order],
    )
    if settings.tail >= SEGMENT:
        windows = replace(windows, segments=tuple(_full_segments(rows, windows, by_session, priors)))
    if settings.notes != NoteSettings():
        windows = _noted(rows, windows, priors, settings.notes, notes or {})
    return windows


def _full_segments(
    rows: Rows, windows: Windows, by_session: Mapping[str, Sequence[int]], priors: Mapping[str, SessionState]
) -> Iterable[FullSegment]:
    for at in np.flatnonzero(windows.position % SEGMENT == SEGMENT - 1).tolist():
        row, position = int(windows.row[at]), int(windows.position[at])
        session = rows.session[row]
        own = [rows.key[r] for r in by_session[session] if r <= row and rows.key[r] != NO_KEY][-(position + 1) :]
        prior = priors.get(session)
        earlier = prior.tail if prior is not None and position >= len(own) else ()
        yield FullSegment(at, np.array([*earlier, *own], dtype=np.int64)[-SEGMENT:])


def _noted(
    rows: Rows,
    windows: Windows,
    priors: Mapping[str, SessionState],
    settings: NoteSettings,
    before: Mapping[str, SessionNotes],
) -> Windows:
    """``windows`` with pauses, values and codes."""
    epochs = epochs_of(rows.session, windows.row, windows.position)
    last = {name: state.last for name, state in priors.items()}
    elapsed = pauses(epochs, rows.time[windows.row], last)
    values = codes = None
    if rows.notes is not None and settings.values:
        vectors = np.column_stack([elapsed, rows.notes.values[windows.row]])
        valued = rows.notes.valued[windows.row]
        values = value_windows(epochs, rows.key[windows.row], valued, vectors, before, settings.values)
    if rows.notes is not None and settings.codes:
        codes = code_windows(epochs, rows.notes.codes[windows.row], before, settings.codes)
    return replace(windows, elapsed=elapsed, values=values, codes=codes)


def extend(state: SessionState | None, keys: Iterable[int], started: float, last: float, tail: int) -> SessionState:
    """The state after ``keys`` were appended (``state`` None: a new epoch that began at ``started``)."""
    counts = dict(state.counts) if state else {}
    recent = list(state.tail) if state else []
    n = state.n if state else 0
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
        recent.append(key)
        n += 1
    return SessionState(started, last, n, tuple(recent[-tail:] if tail else ()), counts)


class LiveSessions:
    """Sessions of one source in memory: the plain form of what the service keeps in Redis; used offline.

    Not safe for concurrent use.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self._states: dict[str, SessionState] = {}
        self._peaks: dict[str, dict[int, float]] = {}
        self._notes: dict[str, SessionNotes] = {}

    def __len__(self) -> int:
        return len(self._states)

    def state(self, session: str) -> SessionState | None:
        """State of a live session, None where there is none."""
        return self._states.get(session)

    def append(self, rows: Rows) -> tuple[Windows, list[Closing]]:
        """Append rows; returns the windows of the keyed rows, and the sessions that these rows closed, in row order."""
        by_session = group_by_session(rows.session)
        priors = {name: self._states[name] for name in by_session if name in self._states}
        windows = build_windows(rows, by_session, priors, self.settings, self._notes)
        keys = rows.key.tolist()
        own_notes = self._own_notes(rows, windows)
        closings: list[Closing] = []
        for session, numbers in by_session.items():
            segments = cut(
                priors.get(session), [keys[r] for r in numbers], rows.time[numbers].tolist(),
                rows.watermark[numbers].tolist(), rows.ends[numbers].tolist(), self.settings.idle_s,
            )  # fmt: skip
            self._states.pop(session, None)
            kept = self._notes.pop(session, None)
            for segment in segments:
                keyed = [numbers[i] for i in range(segment.start, segment.stop) if keys[numbers[i]] != NO_KEY]
                own = [keys[row] for row in keyed]
                prior = priors.get(session) if segment.continues else None
                state = extend(prior, own, segment.started, segment.last, self.settings.tail)
                if segment.closed_by is None:
                    self._states[session] = state
                    if self.settings.notes.stored:
                        before = kept if segment.continues and kept is not None else SessionNotes()
                        added = [(keys[row], *own_notes[row]) for row in keyed]
                        self._notes[session] = before.extended(added, self.settings.notes)
                else:
                    peaks = self._peaks.pop(session, {}) if segment.continues else {}
                    closings.append(Closing(session, state, peaks, numbers[segment.closed_by]))
        closings.sort(key=lambda closing: closing.row if closing.row is not None else -1)
        return windows, closings

    def sweep(self, watermark: float) -> list[Closing]:
        """Close every session whose silence the watermark has passed, the longest silent first."""
        due = [
            (state.last, name) for name, state in self._states.items() if state.last + self.settings.idle_s < watermark
        ]
        return [self._close(name) for _, name in sorted(due)]

    def close_all(self) -> list[Closing]:
        """Close every live session, the longest silent first: the whole-session protocol's last step."""
        return [self._close(name) for _, name in sorted((s.last, name) for name, s in self._states.items())]

    def raise_peak(self, session: str, started: float, member: int, raw: float) -> None:
        """Remember the largest raw output of an event member in a live session; ignored once that epoch is over."""
        state = self._states.get(session)
        if state is None or state.started != started:
            return
        peaks = self._peaks.setdefault(session, {})
        peaks[member] = max(raw, peaks.get(member, raw))

    def _own_notes(self, rows: Rows, windows: Windows) -> dict[int, tuple[Float64 | None, Int64 | None]]:
        """Vector and codes of each keyed row."""
        vectors = dict(zip(windows.values.at.tolist(), windows.values.values, strict=True)) if windows.values else {}
        codes = windows.codes.codes if windows.codes else None
        return {
            row: (vectors.get(at), None if codes is None else codes[at]) for at, row in enumerate(windows.row.tolist())
        }

    def _close(self, session: str) -> Closing:
        self._notes.pop(session, None)
        return Closing(session, self._states.pop(session), self._peaks.pop(session, {}), None)


def with_peak(closing: Closing, member: int, raw: float) -> Closing:
    """The closing with a member's peak raised: for peaks found in the batch that also closed the session."""
    return replace(closing, peaks={**closing.peaks, member: max(raw, closing.peaks.get(member, raw))})
