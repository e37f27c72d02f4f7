"""Session length: fewer or more events than any training session had.

Owns the range. Session granularity, judged when a session closes. Knows nothing of which events came.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import Float64, Int64


class Length:
    """Raw output 0.0 inside [shortest, longest], outside it the excess relative to the bound that was passed."""

    name = "length"

    def __init__(self, shortest: int, longest: int) -> None:
        """Bounds in events, both inclusive."""
        self.shortest = shortest
        self.longest = longest

    @classmethod
    def fit(cls, sessions: Sequence[Int64]) -> Self:
        """Learn the range from normal sessions. Raises DataError where no session holds an event."""
        lengths = [len(session) for session in sessions if len(session)]
        if not lengths:
            raise DataError("length detector: no event in the training sessions; give it at least one session")
        return cls(min(lengths), max(lengths))

    def score_lengths(self, lengths: Int64) -> Float64:
        """Raw output float64 [n] for session lengths int64 [n], in events."""
        below = (self.shortest - lengths) / self.shortest
        above = (lengths - self.longest) / self.longest
        return np.maximum(0.0, np.maximum(below, above)).astype(np.float64)

    def score_counts(self, counts: Sequence[Mapping[int, int]]) -> Float64:
        """Raw output float64 [n] for sessions given as {template id: count}."""
        return self.score_lengths(np.array([sum(session.values()) for session in counts], dtype=np.int64))

    def explain(self, counts: Mapping[int, int]) -> dict[str, Any]:
        """The session's length beside the range seen in training, in events."""
        return {"length": sum(counts.values()), "shortest": self.shortest, "longest": self.longest}

    def to_dict(self) -> dict[str, Any]:
        return {"shortest": self.shortest, "longest": self.longest}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(int(state["shortest"]), int(state["longest"]))
