"""What a detector is to the rest of Tocsin: the two shapes that the judge knows.

Directions are the same everywhere: a raw output is a float64, larger is stranger, and scoring never changes state.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from models.sessions import Float64, Int64


class EventDetector(Protocol):
    """Judges one event from the history before it."""

    @property
    def name(self) -> str:
        """Member name in the ensemble, in verdicts and in metrics."""

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
        """Why one event is strange: template ids and plain numbers, JSON-able; ``history`` int64 [window]."""


class SessionDetector(Protocol):
    """Judges a closed session from its event counts."""

    @property
    def name(self) -> str:
        """Member name in the ensemble, in verdicts and in metrics."""

    def score_counts(self, counts: Sequence[Mapping[int, int]]) -> Float64:
        """Raw outputs, float64 [k], of sessions given as ``{template id: count}``."""

    def explain(self, counts: Mapping[int, int]) -> dict[str, Any]:
        """Why one session is strange: template ids and plain numbers, JSON-able."""
