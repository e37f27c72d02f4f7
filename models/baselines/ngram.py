"""n-grams with boundary tokens: a run of n keys that training never saw in a row (STIDE; Forrest et al., 1996).

Owns the set of training n-grams. A session is padded by n-1 tokens of its beginning in front and one of its end
behind, so its first events and its stop are judged too. Kept as the plain yardstick beside DeepLog.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import BEFORE_SESSION, Float64, Int64
from models.vocabulary import END


class Ngram:
    """Raw output of an event 1.0 where it ends an unseen n-gram, else 0.0; of a session the share of unseen ones."""

    name = "ngram"
    judges_end = True

    def __init__(self, order: int, known: Int64) -> None:
        """``order`` n of at least 2; ``known`` int64 [k, n], the n-grams of training."""
        if order < 2:
            raise DataError(f"n-gram detector: order must be at least 2, not {order}")
        self.order = order
        self.window = order - 1
        self._known = {tuple(gram) for gram in known.tolist()}

    @classmethod
    def fit(cls, sessions: Sequence[Int64], order: int = 2) -> Self:
        """Learn from normal sessions (each int64 [length] of template ids). Raises DataError without any event."""
        filled = [session for session in sessions if len(session)]
        if not filled:
            raise DataError("n-gram detector: no event in the training sessions; give it at least one session")
        return cls(order, np.unique(np.concatenate([_grams(session, order) for session in filled]), axis=0))

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs float64 [k] of ``keys`` int64 [k] (``END`` asks about the end of a session) after ``history``
        int64 [k, at least n - 1], with ``BEFORE_SESSION`` on the left."""
        grams = np.column_stack([history[:, history.shape[1] - self.window :], keys])
        return self._unseen(grams)

    def score_sequences(self, sessions: Sequence[Int64]) -> Float64:
        """Share of unseen n-grams, float64 [n], for whole sessions (each int64 [length]); an empty one gets 0.0."""
        shares = [float(self._unseen(_grams(s, self.order)).mean()) if len(s) else 0.0 for s in sessions]
        return np.array(shares, dtype=np.float64)

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        """The n-gram that the key ends, and whether training knew it."""
        gram = [*history[len(history) - self.window :].tolist(), key]
        return {"ngram": gram, "known": tuple(gram) in self._known}

    def _unseen(self, grams: Int64) -> Float64:
        return np.array([tuple(gram) not in self._known for gram in grams.tolist()], dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        return {"order": self.order, "known": sorted(list(gram) for gram in self._known)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(int(state["order"]), np.array(state["known"], dtype=np.int64))


def _grams(session: Int64, order: int) -> Int64:
    """All n-grams of one padded session, int64 [length + 1, n]."""
    padded = np.concatenate([np.full(order - 1, BEFORE_SESSION), np.asarray(session, dtype=np.int64), [END]])
    return np.lib.stride_tricks.sliding_window_view(padded, order)
