"""From labelled sessions to what the network learns from: each distinct window once, with how often it was what.

Owns windowing, labelling and deduplication. Does not know how much a repetition weighs (``fit``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.keyvalue.places import Places
from models.notes import NO_CODE
from models.rows import unique_rows
from models.sessions import BEFORE_SESSION, Int64
from training.corpus import CutSession


@dataclass(frozen=True, slots=True)
class Events:
    """m events of some sessions as a detector is given them: ``history`` int64 [m, window], ``keys`` int64 [m],
    ``earlier`` int64 [m, window, fields], ``codes`` int64 [m, fields]; ``session`` int64 [m], which session."""

    history: Int64
    keys: Int64
    earlier: Int64
    codes: Int64
    session: Int64


@dataclass(frozen=True, slots=True)
class Examples:
    """``windows`` int64 [u, length, 1 + fields] of places, distinct; in how many events of normal and of anomalous
    sessions each was seen, ``normal`` and ``anomalous`` int64 [u]."""

    windows: Int64
    normal: Int64
    anomalous: Int64


def events(sessions: Sequence[CutSession], codes: Int64, window: int) -> Events:
    """Every event of ``sessions`` after ``window`` others, given the ``codes`` int64 [n, fields] of all records."""
    lengths = np.array([len(session.keys) for session in sessions], dtype=np.int64)
    session = np.repeat(np.arange(len(sessions)), lengths)
    # In the flat arrays every session is preceded by its own padding.
    cell = np.arange(len(session)) + window * (session + 1)
    key = np.full(len(session) + window * len(sessions), BEFORE_SESSION, dtype=np.int64)
    code = np.full((len(key), codes.shape[1]), NO_CODE, dtype=np.int64)
    if len(cell):
        key[cell] = np.concatenate([session.keys for session in sessions])
        code[cell] = codes[np.concatenate([session.records for session in sessions])]
    before = cell[:, None] + np.arange(-window, 0)
    return Events(key[before], key[cell], code[before], code[cell], session)


def examples(normal: Events, anomalous: Events, places: Places) -> Examples:
    """Distinct windows of both. The label of an event is that of its session: many events of an anomalous session are
    such as normal ones have too, so a window is told by how often it was which."""
    windows = np.concatenate([places.windows(e.history, e.keys, e.earlier, e.codes) for e in (normal, anomalous)])
    first, inverse = unique_rows(windows.reshape(len(windows), -1))
    split = len(normal.keys)
    counts = [np.bincount(part, minlength=len(first)) for part in (inverse[:split], inverse[split:])]
    return Examples(windows[first], counts[0].astype(np.int64), counts[1].astype(np.int64))
