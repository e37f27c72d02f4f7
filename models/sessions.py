"""The rule by which rows become sessions.

Owns when a session opens, continues and closes, and what is remembered of it. The service keeps the same state in
Redis and applies the same rule in Lua (``service/state/windows.py``); a property test holds the two equal. Does not
know where state is stored, nor what a key means.

The rule, for the rows of one source in order:

* the watermark at row i is the largest time of all rows up to and including i, minus ``lateness_s``;
* a session whose ``last + idle_s`` lies before the watermark at row i is closed before row i is appended, the row's own
  session too: the row then opens that session's next epoch;
* a row that ``ends`` its session closes it after it was appended; a row without a key (an end record) appends nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from models.notes import Bool, Float64, Int64, Notes, NoteSettings

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

    @property
    def course(self) -> tuple[object, ...]:
        """All that is judged of it: sessions of one course differ in name and times only."""
        state = self.state
        return state.n, state.tail, tuple(state.counts.items()), tuple(self.peaks.items())


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


def watermarks(time: Float64, prior_max: float | Float64, lateness_s: float) -> Float64:
    """Watermark at each row, float64 [m]; ``prior_max`` is the largest time before these rows (-inf for none), or
    before each, float64 [m], where they are of several batches."""
    if len(time) == 0:
        return np.empty(0, dtype=np.float64)
    largest: Float64 = np.maximum.accumulate(np.maximum(time, prior_max))
    return largest - lateness_s


def cut(
    prior: tuple[float, float] | None,
    key: Sequence[int],
    time: Sequence[float],
    watermark: Sequence[float],
    ends: Sequence[bool],
    idle_s: float,
) -> list[Segment]:
    """Cut one session's rows of a batch into epochs. An epoch closed by its first row alone has ``start == stop``.

    ``prior``: when the epoch before the batch began and when it was last heard of, seconds; None where none was live.
    """
    segments: list[Segment] = []
    alive = prior is not None
    started, last = prior or (0.0, 0.0)
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


def with_peak(closing: Closing, member: int, raw: float) -> Closing:
    """The closing with a member's peak raised: for peaks found in the batch that also closed the session."""
    peaks = {**closing.peaks, member: max(raw, closing.peaks.get(member, raw))}
    return Closing(closing.session, closing.state, peaks, closing.row)
