"""What a source keeps of a session's events beside their keys: pauses, numeric parameters, codes of header fields.

Owns the shapes, and the histories before each event. Only sources with a detector that reads these keep any. Does not
know what the numbers mean, nor where they are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NO_CODE = -1
"""Stands in a history of codes for "before the session began"."""


@dataclass(frozen=True, slots=True)
class NoteSettings:
    """What is kept.

    ``pauses``: whether the seconds since the session's previous event are wanted; ``values``: how many earlier value
    vectors of each template, of ``width`` cells each, the pause first; ``codes``: of how many earlier events the codes
    of ``fields`` header fields.
    """

    pauses: bool = False
    values: int = 0
    width: int = 0
    codes: int = 0
    fields: int = 0

    @property
    def stored(self) -> bool:
        """Whether anything has to be remembered from one batch to the next."""
        return self.values > 0 or self.codes > 0


@dataclass(frozen=True, slots=True)
class Notes:
    """Notes of m rows. ``values`` float64 [m, width - 1], parameters without the pause; ``valued`` bool [m], whether
    the row's template has a model of its values; ``codes`` int64 [m, fields]. All zeros for a row without a key."""

    values: Float64
    valued: Bool
    codes: Int64


@dataclass(frozen=True, slots=True)
class SessionNotes:
    """What is kept of one live session: the newest vectors float64 [width] of each template, and the newest codes int64
    [fields], oldest first."""

    values: dict[int, list[Float64]] = field(default_factory=dict)
    codes: list[Int64] = field(default_factory=list)

    def extended(self, keys: Iterable[tuple[int, Float64 | None, Int64 | None]], settings: NoteSettings) -> Self:
        """With further events: (key, its vector or None, its codes or None)."""
        values = {key: list(vectors) for key, vectors in self.values.items()}
        codes = list(self.codes)
        for key, vector, own in keys:
            if settings.values and vector is not None:
                values[key] = [*values.get(key, ()), vector][-settings.values :]
            if settings.codes and own is not None:
                codes = [*codes, own][-settings.codes :]
        return type(self)(values, codes)


@dataclass(frozen=True, slots=True)
class ValueWindows:
    """v events with a model of their values: ``at`` int64 [v], which of the k events; ``history`` float64 [v, values,
    width], the same template's earlier vectors in the session, oldest first, NaN before the first; ``values`` float64
    [v, width]."""

    at: Int64
    history: Float64
    values: Float64


@dataclass(frozen=True, slots=True)
class CodeWindows:
    """``earlier`` int64 [k, codes, fields], codes of the events before each of k, ``NO_CODE`` before the session;
    ``codes`` int64 [k, fields], its own."""

    earlier: Int64
    codes: Int64


@dataclass(frozen=True, slots=True)
class Epochs:
    """k events in the order of their sessions' epochs: ``order`` int64 [k], which event; ``epoch`` int64 [k],
    nondecreasing; ``first`` int64 [e], where in the order each epoch begins; ``session`` its session's name, where it
    continues from before the batch, else None."""

    order: Int64
    epoch: Int64
    first: Int64
    session: list[str | None]


def epochs_of(session: Sequence[str], row: Int64, position: Int64) -> Epochs:
    """Epochs of k events given the ``session`` of every row, and ``row`` and ``position`` int64 [k] of a batch's
    windows."""
    names: dict[str, int] = {}
    own = [session[r] for r in row.tolist()]
    code = np.fromiter((names.setdefault(name, len(names)) for name in own), dtype=np.int64, count=len(own))
    order = np.lexsort((row, code))
    begins = position[order] == 0
    begins[1:] |= np.diff(code[order]) != 0
    if len(begins):
        begins[0] = True
    first = np.flatnonzero(begins)
    continued = [None if position[at] == 0 else own[at] for at in order[first].tolist()]
    return Epochs(order, np.cumsum(begins) - 1, first, continued)


def pauses(epochs: Epochs, time: Float64, last: Mapping[str, float]) -> Float64:
    """Seconds since the latest earlier event of the same session, float64 [k]; NaN for its first.

    ``time`` float64 [k]; ``last`` the latest time of each session that was live before the batch.
    """
    ordered = time[epochs.order]
    before = np.array([np.nan if name is None else last[name] for name in epochs.session], dtype=np.float64)
    raised = ordered.copy()
    raised[epochs.first] = np.fmax(ordered[epochs.first], before)
    latest = (
        pl.DataFrame({"epoch": epochs.epoch, "time": raised})
        .select(pl.col("time").cum_max().shift(1).over("epoch"))["time"]
        .to_numpy()
    )
    latest = latest.astype(np.float64)
    latest[epochs.first] = before
    found = np.empty(len(time), dtype=np.float64)
    found[epochs.order] = ordered - latest
    return found


def value_windows(
    epochs: Epochs, key: Int64, valued: Bool, vectors: Float64, before: Mapping[str, SessionNotes], depth: int
) -> ValueWindows:
    """Histories of the events that are ``valued`` bool [k], given their ``vectors`` float64 [k, width]."""
    chosen = np.flatnonzero(valued[epochs.order])
    at, epoch = epochs.order[chosen], epochs.epoch[chosen]
    # By epoch and template, in the order of events.
    within = np.lexsort((np.arange(len(at)), key[at], epoch))
    at, epoch = at[within], epoch[within]
    prior: list[Sequence[Float64]] = []
    changes = np.ones(len(at), dtype=np.bool_)
    changes[1:] = (np.diff(epoch) != 0) | (np.diff(key[at]) != 0)
    group = np.cumsum(changes) - 1
    for start in np.flatnonzero(changes).tolist():
        session = epochs.session[int(epoch[start])]
        notes = None if session is None else before.get(session)
        prior.append(() if notes is None else notes.values.get(int(key[at[start]]), ()))
    flat, cell = _laid_out(group, prior, vectors[at], depth, np.nan)
    return ValueWindows(at, flat[cell[:, None] + np.arange(-depth, 0)], vectors[at])


def code_windows(epochs: Epochs, codes: Int64, before: Mapping[str, SessionNotes], depth: int) -> CodeWindows:
    """Codes of the events before each of k, given each one's own, ``codes`` int64 [k, fields]."""
    prior: list[Sequence[Int64]] = []
    for session in epochs.session:
        notes = None if session is None else before.get(session)
        prior.append(() if notes is None else notes.codes)
    flat, cell = _laid_out(epochs.epoch, prior, codes[epochs.order], depth, NO_CODE)
    earlier = np.empty((len(codes), depth, codes.shape[1]), dtype=np.int64)
    earlier[epochs.order] = flat[cell[:, None] + np.arange(-depth, 0)]
    return CodeWindows(earlier, codes)


def _laid_out(
    group: Int64, prior: Sequence[Sequence[NDArray[np.generic]]], rows: NDArray[np.generic], depth: int, filler: float
) -> tuple[NDArray[np.generic], Int64]:
    """One flat array in which each group's rows follow ``depth`` cells of what came before; where each row lies."""
    cell = np.arange(len(group)) + depth * (group + 1)
    flat = np.full((len(group) + depth * len(prior), rows.shape[1]), filler, dtype=rows.dtype)
    flat[cell] = rows
    starts = cell[np.searchsorted(group, np.arange(len(prior)))] if len(prior) else cell
    for start, vectors in zip(starts.tolist(), prior, strict=True):
        known = vectors[-depth:] if depth else ()
        if len(known):
            flat[start - len(known) : start] = np.stack(known)
    return flat, cell
