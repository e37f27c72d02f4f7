"""The history window before each row of a batch.

Owns the columns: what came before a batch goes in (``Priors``), what stood before each of its events comes out. A batch
is worked out as a whole; only sessions of which an epoch may end within it are walked row by row, by the rule of
``models.sessions``. Does not know where state is stored, nor what a key means.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.groups import Groups
from models.notes import (
    Bool,
    CodeWindows,
    Float64,
    Int64,
    NoteSettings,
    SessionNotes,
    ValueWindows,
    code_windows,
    epochs_of,
    pauses,
    value_windows,
)
from models.sessions import BEFORE_SESSION, NO_KEY, SEGMENT, Rows, SessionSettings, SessionState, cut

FEW = 16
"""Rows up to which walking them costs less than their columns."""


@dataclass(frozen=True, slots=True)
class Priors:
    """What s sessions were before a batch.

    ``n`` int64 [s]: events so far, 0 of a session that was not live; ``started`` and ``last`` float64 [s]: seconds, 0
    there; ``keys`` int64 [t]: the newest keys of each session, one session after the other, the newest last;
    ``start`` int64 [s + 1]: where in ``keys`` those of each begin.
    """

    n: Int64
    started: Float64
    last: Float64
    keys: Int64
    start: Int64

    @classmethod
    def of(cls, states: Sequence[SessionState | None]) -> "Priors":
        """The columns of so many states; None of a session that was not live."""
        tails = [() if state is None else state.tail for state in states]
        start = np.zeros(len(states) + 1, dtype=np.int64)
        np.cumsum([len(tail) for tail in tails], out=start[1:])
        return cls(
            np.array([0 if state is None else state.n for state in states], dtype=np.int64),
            np.array([0.0 if state is None else state.started for state in states], dtype=np.float64),
            np.array([0.0 if state is None else state.last for state in states], dtype=np.float64),
            np.array([key for tail in tails for key in tail], dtype=np.int64),
            start,
        )

    def __len__(self) -> int:
        return len(self.n)

    def tail(self, number: int) -> Int64:
        """The newest keys of one session, int64."""
        return self.keys[self.start[number] : self.start[number + 1]]

    def before(self, which: Int64, width: int) -> Int64:
        """The last ``width`` keys of sessions ``which`` int64 [k]: int64 [k, width], ``BEFORE_SESSION`` on the left."""
        place = self.start[which + 1][:, None] + np.arange(-width, 0)
        known = place >= self.start[which][:, None]
        found = np.full(place.shape, BEFORE_SESSION, dtype=np.int64)
        found[known] = self.keys[place[known]]
        return found

    def chosen(self, which: Int64) -> "Priors":
        """Those of sessions ``which`` int64 [k], in that order."""
        sizes = np.diff(self.start)[which]
        start = np.zeros(len(which) + 1, dtype=np.int64)
        np.cumsum(sizes, out=start[1:])
        place = np.arange(start[-1]) + np.repeat(self.start[which] - start[:-1], sizes)
        return Priors(self.n[which], self.started[which], self.last[which], self.keys[place], start)

    @classmethod
    def joined(cls, parts: Sequence["Priors"]) -> "Priors":
        """One after the other; ``parts`` holds one at least."""
        shifts = np.cumsum([0, *(len(part.keys) for part in parts)]).tolist()
        starts = [part.start[:-1] + shift for part, shift in zip(parts, shifts[:-1], strict=True)]
        return cls(
            np.concatenate([part.n for part in parts]),
            np.concatenate([part.started for part in parts]),
            np.concatenate([part.last for part in parts]),
            np.concatenate([part.keys for part in parts]),
            np.concatenate([*starts, np.array([shifts[-1]], dtype=np.int64)]),
        )


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


def build_windows(
    rows: Rows,
    groups: Groups,
    priors: Priors,
    settings: SessionSettings,
    notes: Mapping[str, SessionNotes] | None = None,
) -> Windows:
    """The windows of every keyed row of a batch, given the state and ``notes`` of its sessions before the batch;
    ``groups`` are the rows by session, and ``priors`` of those sessions."""
    windows = (walked if len(rows.key) <= FEW else as_columns)(rows, groups, priors, settings)
    if settings.tail >= SEGMENT:
        windows = replace(windows, segments=tuple(_full_segments(rows, windows, groups, priors)))
    if settings.notes != NoteSettings():
        windows = _noted(rows, windows, groups, priors, settings.notes, notes or {})
    return windows


def as_columns(rows: Rows, groups: Groups, priors: Priors, settings: SessionSettings) -> Windows:
    """Windows of any number of rows, worked out together."""
    if not len(rows.key):
        return Windows.none(settings.width)
    h = settings.width
    begins, continues, started = _epochs(rows, groups, priors, settings.idle_s)
    # Only rows with a key from here on, epoch by epoch: of each, h cells of what came before and then its own keys, so
    # that every window is the h cells before its row's own.
    keyed = np.flatnonzero(rows.key[groups.order] != NO_KEY)
    row = groups.order[keyed]
    epoch = np.cumsum(begins)[keyed]
    first = np.flatnonzero(np.diff(epoch, prepend=-1))
    number = np.repeat(np.arange(len(first)), np.diff(first, append=len(row)))
    session = groups.of[row]
    before = np.where(continues[keyed], priors.n[session], 0)
    position = np.arange(len(row)) - first[number] + before
    flat = np.full(len(row) + h * len(first), BEFORE_SESSION, dtype=np.int64)
    cell = np.arange(len(row)) + h * (number + 1)
    flat[cell] = rows.key[row]
    older = np.flatnonzero(before[first])
    flat[(cell[first[older]] - h)[:, None] + np.arange(h)] = priors.before(session[first[older]], h)
    in_order = np.argsort(row)
    return Windows(
        history=flat[cell[in_order][:, None] + np.arange(-h, 0)],
        row=row[in_order],
        position=position[in_order],
        started=started[keyed][in_order],
    )


def walked(rows: Rows, groups: Groups, priors: Priors, settings: SessionSettings) -> Windows:
    """The same, row by row: what ``as_columns`` must come to, and quicker for a few."""
    h = settings.width
    key, time, mark, ends = rows.key.tolist(), rows.time.tolist(), rows.watermark.tolist(), rows.ends.tolist()
    found: list[tuple[int, list[int], int, float]] = []
    for at in range(len(groups)):
        numbers = groups.rows(at).tolist()
        n = int(priors.n[at])
        prior = (float(priors.started[at]), float(priors.last[at])) if n else None
        segments = cut(
            prior, [key[r] for r in numbers], [time[r] for r in numbers], [mark[r] for r in numbers],
            [ends[r] for r in numbers], settings.idle_s,
        )  # fmt: skip
        for segment in segments:
            history, position = [BEFORE_SESSION] * h, 0
            if segment.continues:
                history, position = priors.before(np.array([at]), h)[0].tolist(), n
            for row in numbers[segment.start : segment.stop]:
                if key[row] != NO_KEY:
                    found.append((row, history, position, segment.started))
                    history, position = [*history[1:], key[row]] if h else [], position + 1
    found.sort(key=lambda window: window[0])
    return Windows(
        history=np.array([window[1] for window in found], dtype=np.int64).reshape(len(found), h),
        row=np.array([window[0] for window in found], dtype=np.int64),
        position=np.array([window[2] for window in found], dtype=np.int64),
        started=np.array([window[3] for window in found], dtype=np.float64),
    )


def _epochs(rows: Rows, groups: Groups, priors: Priors, idle_s: float) -> tuple[Bool, Bool, Float64]:
    """Of each row in ``groups.order``: whether an epoch begins there, bool [m]; whether its epoch began before the
    batch, bool [m]; and when, float64 [m] seconds."""
    order, first, final = groups.order, groups.start[:-1], groups.start[1:] - 1
    of = groups.of[order]
    time = rows.time[order]
    live = priors.n > 0
    started = np.where(live, priors.started, time[first])
    begins = np.zeros(len(order), dtype=np.bool_)
    begins[first] = True
    continues, began = live[of], started[of]
    # ``last`` only grows and the watermark is largest at the final row, so what holds for the first ``last`` and the
    # final mark holds between: most sessions are of one epoch.
    last = np.where(live, priors.last, started)
    odd = rows.ends[order] | (rows.key[order] == NO_KEY)
    for at in np.flatnonzero((last + idle_s < rows.watermark[order[final]]) | np.logical_or.reduceat(odd, first)):
        own = slice(first[at], final[at] + 1)
        numbers = order[own]
        prior = (float(priors.started[at]), float(priors.last[at])) if live[at] else None
        marks, ends = rows.watermark[numbers].tolist(), rows.ends[numbers].tolist()
        for segment in cut(prior, rows.key[numbers].tolist(), time[own].tolist(), marks, ends, idle_s):
            if segment.start < segment.stop:
                span = slice(own.start + segment.start, own.start + segment.stop)
                begins[span.start], continues[span], began[span] = True, segment.continues, segment.started
    return begins, continues, began


def _full_segments(rows: Rows, windows: Windows, groups: Groups, priors: Priors) -> Iterable[FullSegment]:
    for at in np.flatnonzero(windows.position % SEGMENT == SEGMENT - 1).tolist():
        row, position = int(windows.row[at]), int(windows.position[at])
        session = int(groups.of[row])
        numbers = groups.rows(session)
        own = rows.key[numbers[numbers <= row]]
        own = own[own != NO_KEY][-(position + 1) :]
        earlier = priors.tail(session) if position >= len(own) else own[:0]
        yield FullSegment(at, np.concatenate([earlier, own])[-SEGMENT:])


def _noted(
    rows: Rows,
    windows: Windows,
    groups: Groups,
    priors: Priors,
    settings: NoteSettings,
    before: Mapping[str, SessionNotes],
) -> Windows:
    """``windows`` with pauses, values and codes."""
    epochs = epochs_of(rows.session, windows.row, windows.position)
    last = dict(zip(groups.names, priors.last.tolist(), strict=True))
    elapsed = pauses(epochs, rows.time[windows.row], last)
    values = codes = None
    if rows.notes is not None and settings.values:
        vectors = np.column_stack([elapsed, rows.notes.values[windows.row]])
        valued = rows.notes.valued[windows.row]
        values = value_windows(epochs, rows.key[windows.row], valued, vectors, before, settings.values)
    if rows.notes is not None and settings.codes:
        codes = code_windows(epochs, rows.notes.codes[windows.row], before, settings.codes)
    return replace(windows, elapsed=elapsed, values=values, codes=codes)
