"""New event: a template that training never saw.

Owns the set of known template ids. Event granularity. Knows nothing of histories or of how often a template came.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import Float64, Int64


class NewEvent:
    """Raw output 1.0 for a template outside the training set, the overflow template (0) included; else 0.0."""

    name = "new_event"
    window = 0
    judges_end = False

    def __init__(self, known: Int64) -> None:
        """``known``: int64 [k] template ids, in any order."""
        self.known = np.unique(np.asarray(known, dtype=np.int64))

    @classmethod
    def fit(cls, sessions: Sequence[Int64]) -> Self:
        """Learn from normal sessions (each int64 [length] of template ids). Raises DataError without any event."""
        if not any(len(session) for session in sessions):
            raise DataError("new-event detector: no event in the training sessions; give it at least one session")
        known = np.unique(np.concatenate([np.asarray(session, dtype=np.int64) for session in sessions]))
        return cls(known[known > 0])

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs float64 [k] of ``keys`` int64 [k]; ``history`` is there for the protocol and not read."""
        at = np.minimum(np.searchsorted(self.known, keys), len(self.known) - 1)
        return (self.known[at] != keys).astype(np.float64) if len(self.known) else np.ones(len(keys))

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        """The template, and whether training knew it."""
        return {"template_id": key, "known": bool(np.isin(key, self.known))}

    def to_dict(self) -> dict[str, Any]:
        return {"known": self.known.tolist()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(np.asarray(state["known"], dtype=np.int64))
