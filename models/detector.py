"""What a detector is to the rest of Tocsin: the shapes that the judge knows, by what each reads.

The same everywhere: a raw output is a float64, larger is stranger, NaN says "no judgement"; scoring changes nothing
that another call could see; ``explain`` gives template ids and plain numbers, JSON-able. A detector of events judges
while a session lives, and the largest of its outputs stands for the session; the others judge what has ended.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import polars as pl

from models.sessions import Bool, Float64, Int64


class Detector(Protocol):
    """Every detector."""

    @property
    def name(self) -> str:
        """Member name in the ensemble, in verdicts and in metrics."""


class EventDetector(Detector, Protocol):
    """Judges one event from the keys before it."""

    @property
    def window(self) -> int:
        """How many keys of history it needs; 0 for none."""

    @property
    def judges_end(self) -> bool:
        """Whether the end of a session is an event to it (key ``END``)."""

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs, float64 [k], of ``keys`` int64 [k] after ``history`` int64 [k, window]: template ids,
        ``BEFORE_SESSION`` on the left, the key ``END`` for the end of the session."""

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        """Why one event is strange; ``history`` int64 [window]."""


class TimingDetector(Detector, Protocol):
    """Judges the pause before an event."""

    def score_pauses(self, previous: Int64, keys: Int64, elapsed: Float64) -> Float64:
        """Raw outputs, float64 [k], of ``keys`` int64 [k] that came ``elapsed`` float64 [k] seconds after the events
        ``previous`` int64 [k] of their sessions (``BEFORE_SESSION`` and NaN for a first event)."""

    def explain(self, previous: int, key: int, elapsed: float) -> dict[str, Any]:
        """Why one pause is strange."""


class ValueDetector(Detector, Protocol):
    """Judges an event's numeric parameters from those of the same template before it in the session."""

    @property
    def window(self) -> int:
        """How many earlier events of the same template it needs."""

    @property
    def width(self) -> int:
        """Cells of a value vector: seconds since the session's previous event, then the most parameters that a
        template has."""

    def reads(self, keys: Int64) -> Bool:
        """Which of ``keys`` int64 [k] have a model."""

    def read(self, key: int, tokens: Sequence[str], message: str) -> Float64:
        """The parameters of a raw message of template ``key`` (its ``tokens`` as they are now), float64 [width - 1]:
        NaN where one is missing, no finite number, or there is none."""

    def score_values(self, keys: Int64, history: Float64, values: Float64) -> Float64:
        """Raw outputs, float64 [k], of ``values`` float64 [k, width] after ``history`` float64 [k, window, width],
        oldest first, NaN where there is nothing; NaN for a key without a model."""

    def explain(self, key: int, history: Float64, values: Float64) -> dict[str, Any]:
        """Which value broke and its normal range; ``history`` float64 [window, width], ``values`` float64 [width]."""


class FieldDetector(Detector, Protocol):
    """Judges the last events of a session from their keys and header fields together."""

    @property
    def window(self) -> int:
        """How many events before the one judged it needs."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the header fields that it reads."""

    def codes(self, fields: pl.DataFrame) -> Int64:
        """Codes of n records' header fields, int64 [n, fields], 0..65534; 0 for a value training did not see."""

    def score_fields(self, history: Int64, keys: Int64, earlier: Int64, codes: Int64) -> Float64:
        """Raw outputs, float64 [k], of ``keys`` int64 [k] with ``codes`` int64 [k, fields] after ``history`` int64
        [k, window] with ``earlier`` int64 [k, window, fields] (-1 where the session had not begun)."""

    def explain(self, history: Int64, key: int, earlier: Int64, codes: Int64) -> dict[str, Any]:
        """Why the last events are strange."""


class TextDetector(Detector, Protocol):
    """Judges one masked message by its words."""

    def prepare(self, masked: Sequence[str]) -> list[str]:
        """What is left of masked messages for the network: equal texts have equal outputs."""

    def score_texts(self, texts: Sequence[str]) -> Float64:
        """Raw outputs, float64 [k], of k prepared texts."""

    def explain(self, text: str) -> dict[str, Any]:
        """Why one text is strange."""


class CountDetector(Detector, Protocol):
    """Judges a closed session from its event counts."""

    def score_counts(self, counts: Sequence[Mapping[int, int]]) -> Float64:
        """Raw outputs, float64 [k], of sessions given as ``{template id: count}``."""

    def explain(self, counts: Mapping[int, int]) -> dict[str, Any]:
        """Why one session is strange."""


@runtime_checkable
class NearestCounts(CountDetector, Protocol):
    """Judges a closed session by the normal one that it is nearest to."""

    def departure(self, counts: Mapping[int, int]) -> tuple[tuple[str, ...], float]:
        """Which templates are new, gone, more or fewer than there, and how far that is; nothing and 0.0 of nothing."""


class SequenceDetector(Detector, Protocol):
    """Judges a closed session from its keys in order; one of more than ``SEGMENT`` events in segments."""

    def score_sequences(self, sequences: Sequence[Int64]) -> Float64:
        """Raw outputs, float64 [k], of k sequences, each int64 [1..SEGMENT] of template ids."""

    def explain(self, sequence: Int64) -> dict[str, Any]:
        """Why one sequence, int64 [n], is strange."""


class TimeframeDetector(Detector, Protocol):
    """Judges a chunk of time from the terms that each logging entity wrote in it."""

    @property
    def chunk_s(self) -> float:
        """Length of a timeframe in seconds; frame ``i`` is ``[i * chunk_s, (i + 1) * chunk_s)`` since the epoch."""

    def entity(self, fields: pl.DataFrame) -> pl.Series:
        """Each record's logging entity, String [n]."""

    def terms(self, masked: str) -> dict[str, int]:
        """Terms of one masked message and how often each comes in it."""

    def score_frames(self, frames: Sequence[Mapping[str, Mapping[str, int]]]) -> Float64:
        """Raw outputs, float64 [k], of k frames given as ``{entity: {term: count}}``; a silent entity is absent."""

    def explain(self, frame: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        """Which entities, and which of their terms, make one frame strange."""
