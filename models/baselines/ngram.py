"""n-grams with boundary tokens: runs of n keys that training never saw in a row (STIDE; Forrest et al., 1996).

Owns the set of training n-grams. A sequence is padded by n-1 tokens of its beginning in front and one of its end
behind, so its first events and its stop are judged too. Session granularity. The plain yardstick beside networks that
read order.

The published code of the FSE 2024 review stops at a sequence's first mismatch, so that its score is one of length; here
the score is the share itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import BEFORE_SESSION, Bool, Float64, Int64
from models.vocabulary import END

EXPLAINED = 20
"""Unseen n-grams that an explanation lists; it tells their number too."""


class Ngram:
    """Raw output: the share of a padded sequence's n-grams that training did not hold, 0.0 to 1.0."""

    name = "ngram"

    def __init__(self, order: int, known: Int64) -> None:
        """``order`` n of at least 2; ``known`` int64 [k, n], the n-grams of training: template ids,
        ``BEFORE_SESSION`` in front and ``END`` behind. Raises DataError for another order or shape."""
        if order < 2:
            raise DataError(f"n-gram detector: order must be at least 2, not {order}")
        grams = np.asarray(known, dtype=np.int64)
        if grams.ndim != 2 or grams.shape[1] != order or not len(grams):
            raise DataError(f"n-gram detector: {grams.shape} is no list of n-grams of order {order}")
        self.order = order
        self._known = np.unique(grams, axis=0)
        self._keys = np.unique(grams)
        # One sorted array for each prefix length from 2 on: codes of (number of the shorter prefix, next key). A
        # prefix has as many numbers as it has been seen, so no code overflows however long n is.
        self._prefixes: list[Int64] = []
        number = np.searchsorted(self._keys, grams[:, 0])
        for column in grams.T[1:]:
            code = number * len(self._keys) + np.searchsorted(self._keys, column)
            self._prefixes.append(np.unique(code))
            number = np.searchsorted(self._prefixes[-1], code)

    def __len__(self) -> int:
        return len(self._known)

    @classmethod
    def fit(cls, sequences: Sequence[Int64], order: int = 2) -> Self:
        """Learn from normal sequences (each int64 [length] of template ids). Raises DataError without any event."""
        filled = [sequence for sequence in sequences if len(sequence)]
        if not filled:
            raise DataError("n-gram detector: no event in the training sessions; give it at least one session")
        return cls(order, _grams(filled, order)[0])

    def score_sequences(self, sequences: Sequence[Int64]) -> Float64:
        """Share of unseen n-grams, float64 [k], of k sequences (each int64 [length]); an empty one gets 0.0."""
        filled = np.array([len(sequence) > 0 for sequence in sequences], dtype=bool)
        grams, owner = _grams([sequence for sequence in sequences if len(sequence)], self.order)
        scores = np.zeros(len(sequences), dtype=np.float64)
        unseen = np.bincount(owner, weights=self._unseen(grams))
        scores[filled] = unseen / np.bincount(owner)
        return scores

    def explain(self, sequence: Int64) -> dict[str, Any]:
        """Unseen n-grams, the first ``EXPLAINED`` of them each with the place ``at`` of the event that ends it, from
        0 on, which is the sequence's length at its end. ``BEFORE_SESSION`` and ``END`` stand for the boundaries."""
        grams, _ = _grams([sequence] if len(sequence) else [], self.order)
        unseen = np.flatnonzero(self._unseen(grams))
        return {
            "order": self.order,
            "ngrams": len(grams),
            "unseen": len(unseen),
            "first": [{"at": at, "ngram": grams[at].tolist()} for at in unseen[:EXPLAINED].tolist()],
        }

    def _unseen(self, grams: Int64) -> Bool:
        """Which of ``grams`` int64 [m, n] are not in training, bool [m]."""
        number, seen = _places(self._keys, grams[:, 0])
        for column, codes in zip(grams.T[1:], self._prefixes, strict=True):
            key, known = _places(self._keys, column)
            number, found = _places(codes, number * len(self._keys) + key)
            seen &= known & found
        return ~seen

    def to_dict(self) -> dict[str, Any]:
        return {"order": self.order, "known": self._known.tolist()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(int(state["order"]), np.array(state["known"], dtype=np.int64))


def _grams(sequences: Sequence[Int64], order: int) -> tuple[Int64, Int64]:
    """All n-grams of padded sequences, none of them empty, int64 [m, n], and whose each is, int64 [m]."""
    before = np.full(order - 1, BEFORE_SESSION, dtype=np.int64)
    end = np.array([END], dtype=np.int64)
    parts = [part for sequence in sequences for part in (before, sequence, end)]
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    owner = np.repeat(np.arange(len(sequences)), [len(sequence) + 1 for sequence in sequences])
    # Every sequence is preceded by its own padding: n - 1 cells for each sequence up to this one.
    last = np.arange(len(owner)) + (order - 1) * (owner + 1)
    return flat[last[:, None] + np.arange(1 - order, 1)], owner


def _places(ordered: Int64, values: Int64) -> tuple[Int64, Bool]:
    """Where each of ``values`` stands in the sorted, non-empty ``ordered`` (anywhere where it does not), and whether
    it does."""
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return at, ordered[at] == values
