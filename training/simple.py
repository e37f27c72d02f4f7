"""Fits the simple detectors: those without a network, each in one pass over the normal sessions.

Owns the table of them, and that their held-out outputs come from five random folds of whole sessions while what is
served is fitted on all. Does not know how a detector judges.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import orjson

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.count_vector_idf import CountVectorIdf
from models.baselines.edit_distance import CAP, CAP_EVENTS, EditDistance
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.detector import CountDetector, SequenceDetector
from models.errors import DataError
from models.registry import state_file
from models.sessions import SEGMENT, Float64, Int64
from training.member import Corpus, FittedMember, alone, held_out, require
from training.progress import Progress, silent

FOLDS = 5
ORDER = 2
"""n of the n-grams served. On the HDFS keys 3-grams find 17 of 6,000 anomalies more at five times the false alarms."""


class Stateful(Protocol):
    """A detector whose learned state is plain JSON."""

    def to_dict(self) -> dict[str, Any]: ...


D = TypeVar("D", bound=Stateful)


@dataclass(frozen=True, slots=True)
class Simple(Generic[D]):
    """One simple detector: ``fit`` on normal sessions (each int64 [length]) by a seed, ``raws`` float64 [n] of n
    sessions, and the ``settings`` that the manifest names."""

    fit: Callable[[Sequence[Int64], int], D]
    raws: Callable[[D, Sequence[Int64]], Float64]
    settings: Mapping[str, Any] = field(default_factory=dict)


def segments(session: Int64) -> list[Int64]:
    """A session as it is judged online: int64 [1..SEGMENT] each, all but the last full."""
    cuts = [*range(0, len(session), SEGMENT), len(session)]
    return [session[begin:end] for begin, end in pairwise(cuts)]


def event_raws(member: NewEvent, sessions: Sequence[Int64]) -> Float64:
    """The largest raw output of each session's events, float64 [n]."""
    nothing = np.empty((0, 0), dtype=np.int64)
    return np.array([float(member.score(nothing, session).max()) for session in sessions], dtype=np.float64)


def count_raws(member: CountDetector, sessions: Sequence[Int64]) -> Float64:
    """Raw output of each session by its counts, float64 [n]."""
    return member.score_counts([count_keys(session) for session in sessions])


def sequence_raws(member: SequenceDetector, sessions: Sequence[Int64]) -> Float64:
    """The largest raw output of each session's segments, float64 [n]."""
    parts = [segments(session) for session in sessions]
    raws = member.score_sequences([part for session in parts for part in session])
    starts = np.cumsum([0, *(len(session) for session in parts)])[:-1]
    return np.maximum.reduceat(raws, starts)


def _segmented(sessions: Sequence[Int64]) -> list[Int64]:
    return [part for session in sessions for part in segments(session)]


SIMPLE: dict[str, Simple[Any]] = {
    "new_event": Simple(lambda sessions, _: NewEvent.fit(sessions), event_raws),
    "length": Simple(lambda sessions, _: Length.fit(sessions), count_raws),
    "count_vector": Simple(lambda sessions, _: CountVector.fit(sessions), count_raws),
    "count_vector_idf": Simple(lambda sessions, _: CountVectorIdf.fit(sessions), count_raws),
    "ngram": Simple(
        lambda sessions, _: Ngram.fit(_segmented(sessions), ORDER), sequence_raws, {"training": {"order": ORDER}}
    ),
    "edit_distance": Simple(
        lambda sessions, seed: EditDistance.fit(_segmented(sessions), seed),
        sequence_raws,
        {"training": {"cap": CAP, "cap_events": CAP_EVENTS}},
    ),
}
"""Name -> how it is fitted."""


def fit_simple(name: str, corpus: Corpus, seed: int, progress: Progress = silent) -> FittedMember:
    """Fit one simple detector on all normal sessions, with held-out raw outputs from ``FOLDS`` folds.

    Raises DataError for a name outside ``SIMPLE`` and where there are fewer sessions than folds.
    """
    if name not in SIMPLE:
        raise DataError(f"no simple detector {name!r}; there are {', '.join(SIMPLE)}")
    simple, sessions = SIMPLE[name], corpus.keys
    require(len(sessions), FOLDS, name)

    def raws_of(fit: Int64, test: Int64) -> Float64:
        member = simple.fit([sessions[i] for i in fit.tolist()], seed)
        return simple.raws(member, [sessions[i] for i in test.tolist()])

    raws = held_out(len(sessions), FOLDS, seed, raws_of, name, progress)
    state = simple.fit(sessions, seed).to_dict()
    return FittedMember(name, raws, alone(raws), dict(simple.settings), {state_file(name): orjson.dumps(state)})
