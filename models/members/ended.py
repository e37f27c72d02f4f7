"""Members that judge closed sessions: by their counts, or by their keys in order.

Owns what is picked of a session's state and remembered of it. Does not know weights, thresholds or the other members.
"""

from collections.abc import Container, Sequence
from typing import Any, Protocol

import numpy as np

from models.detector import CountDetector, NearestCounts, SequenceDetector
from models.lesson import Seen
from models.members.cache import CACHE_ROWS, REASONS_KEPT, OutputCache, Remembered
from models.rules import Clause, digest
from models.sessions import Float64, SessionState
from models.windows import FullSegment

SEQUENCES_KEPT = CACHE_ROWS // 20
"""Sequences are long: some kilobytes each."""


class EndMember(Protocol):
    """A member of the ensemble that judges closed sessions."""

    @property
    def name(self) -> str:
        """Of the detector."""

    @property
    def place(self) -> int:
        """Under which sessions remember its peaks, 0..255."""

    @property
    def sequences(self) -> bool:
        """Whether it reads a session's keys in order, in segments."""

    def score(self, states: Sequence[SessionState]) -> Float64:
        """Raw outputs float64 [k] of k closed sessions (of their last segment)."""

    def score_segments(self, segments: Sequence[FullSegment]) -> Float64:
        """Raw outputs float64 [k] of full segments of sessions that live on."""

    def score_without(self, state: SessionState, templates: Container[int]) -> float:
        """Raw output of a closed session as if it had no event of ``templates``; NaN where it has no other."""

    def explain(self, state: SessionState) -> dict[str, Any]:
        """Why one session is strange."""

    def clauses(self, state: SessionState, known: Container[int]) -> list[Clause]:
        """What a session may have in common with another one for both to be the same alarm: the first makes them one
        cause."""

    def seen(self, state: SessionState) -> dict[str, Any]:
        """What it read of a closed session, plain JSON (``models.lesson``)."""

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        """Raw outputs float64 [k] of k sessions seen by this or another version."""


class CountMember:
    """Judges a session by how often each template came."""

    sequences = False

    def __init__(self, detector: CountDetector, place: int) -> None:
        self.detector = detector
        self.place = place
        self.name = detector.name
        # Asked once: looking through a protocol's members costs more than what is asked of them.
        self._nearest = detector if isinstance(detector, NearestCounts) else None
        self._reasons: Remembered[str, dict[str, Any]] = Remembered(REASONS_KEPT)

    def score(self, states: Sequence[SessionState]) -> Float64:
        return self.detector.score_counts([state.counts for state in states])

    def score_segments(self, segments: Sequence[FullSegment]) -> Float64:
        return np.full(len(segments), np.nan)

    def score_without(self, state: SessionState, templates: Container[int]) -> float:
        counts = {key: count for key, count in state.counts.items() if key not in templates}
        return float(self.detector.score_counts([counts])[0]) if counts else np.nan

    def explain(self, state: SessionState) -> dict[str, Any]:
        counts = ",".join(f"{key}:{count}" for key, count in sorted(state.counts.items()))
        return self._reasons.get(counts, lambda: self.detector.explain(state.counts))

    def clauses(self, state: SessionState, known: Container[int]) -> list[Clause]:
        counts = sorted(state.counts.items())
        unread = [Clause(self.name, "template", str(key)) for key, _ in counts if key not in known]
        if self._nearest is not None:
            departs, distance = self._nearest.departure(state.counts)
            return [Clause(self.name, "session", digest(*departs), distance, distance), *unread]
        return [Clause(self.name, "session", digest(*(f"{key}:{count}" for key, count in counts))), *unread]

    def seen(self, state: SessionState) -> dict[str, Any]:
        return {"counts": [list(pair) for pair in sorted(state.counts.items())]}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        return self.detector.score_counts([dict(one["counts"]) for one in seen])


class SequenceMember:
    """Judges a session by the order of its keys; a sequence seen before costs a lookup."""

    sequences = True

    def __init__(self, detector: SequenceDetector, place: int) -> None:
        self.detector = detector
        self.place = place
        self.name = detector.name
        self._cache: OutputCache[bytes] = OutputCache(SEQUENCES_KEPT)
        self._reasons: Remembered[bytes, dict[str, Any]] = Remembered(REASONS_KEPT)

    def score(self, states: Sequence[SessionState]) -> Float64:
        return self._score([state.segment for state in states])

    def score_segments(self, segments: Sequence[FullSegment]) -> Float64:
        return self._score([segment.keys for segment in segments])

    def score_without(self, state: SessionState, templates: Container[int]) -> float:
        keys = np.array([key for key in state.segment.tolist() if key not in templates], dtype=np.int64)
        return float(self._score([keys])[0]) if len(keys) else np.nan

    def explain(self, state: SessionState) -> dict[str, Any]:
        sequence = state.segment
        return self._reasons.get(sequence.tobytes(), lambda: self.detector.explain(sequence))

    def clauses(self, state: SessionState, known: Container[int]) -> list[Clause]:
        sequence = state.segment.tolist()
        unread = [Clause(self.name, "template", str(key)) for key in sorted(set(sequence)) if key not in known]
        return [Clause(self.name, "session", digest(*sequence)), *unread]

    def seen(self, state: SessionState) -> dict[str, Any]:
        return {"sequence": state.segment.tolist()}

    def score_seen(self, seen: Sequence[Seen]) -> Float64:
        return self._score([np.array(one["sequence"], dtype=np.int64) for one in seen])

    def _score(self, sequences: Sequence[np.ndarray[Any, np.dtype[np.int64]]]) -> Float64:
        names = [sequence.tobytes() for sequence in sequences]
        return self._cache.score(names, lambda at: self.detector.score_sequences([sequences[i] for i in at.tolist()]))
