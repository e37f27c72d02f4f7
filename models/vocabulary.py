"""The vocabulary of a network: which template id is which row of its embedding and which of its outputs.

Owns the special places and the mapping both ways. Does not know what a template says, nor how many a source may have.

Training data alone make it. An id outside it is read as ``UNK``, so a network always has an answer; that an unknown
*target* is an anomaly is for the detector to say.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import BEFORE_SESSION, Bool, Int64

PAD, BOS, UNK, EOS = 0, 1, 2, 3
"""Places of padding, before the session, an unknown key, and the end of the session."""
SPECIALS = 4

END = -2
"""The raw key that stands for the end of a session."""
OVERFLOW = 0
"""The raw id of the overflow template, which takes what exceeds a source's cap; to every network it is unknown."""

LARGEST_ID = 1_000_000
"""Bound of the lookup table, far above the templates that a source can have."""


class Vocabulary:
    """Places ``PAD, BOS, UNK, EOS`` and then the keys, in the order given."""

    def __init__(self, keys: Iterable[int]) -> None:
        """``keys``: template ids, positive and distinct. Raises DataError where they are not."""
        self.keys = tuple(int(key) for key in keys)
        if len(set(self.keys)) != len(self.keys):
            raise DataError("vocabulary: a key appears twice; give each template id once")
        if self.keys and not 0 < min(self.keys) <= max(self.keys) <= LARGEST_ID:
            raise DataError(f"vocabulary: template ids must lie in 1..{LARGEST_ID:,}")
        # Raw id i stands at i + 2, so that END and BEFORE_SESSION fit; the last place is for ids beyond the table.
        self._table = np.full(max(self.keys, default=0) + 4, UNK, dtype=np.int64)
        self._table[END + 2] = EOS
        self._table[BEFORE_SESSION + 2] = BOS
        self._table[np.asarray(self.keys, dtype=np.int64) + 2] = np.arange(SPECIALS, SPECIALS + len(self.keys))

    @classmethod
    def fit(cls, sessions: Sequence[Int64]) -> Self:
        """The keys of training sessions (each int64 [length]), ascending; the overflow template stays unknown."""
        if not any(len(session) for session in sessions):
            raise DataError("vocabulary: no event in the training sessions; give it at least one session")
        seen = np.unique(np.concatenate([np.asarray(session, dtype=np.int64) for session in sessions]))
        return cls(seen[seen != OVERFLOW].tolist())

    @property
    def size(self) -> int:
        """Rows of the embedding and outputs of the network: the special places and the keys."""
        return SPECIALS + len(self.keys)

    def encode(self, ids: Int64) -> Int64:
        """Places, int64 shaped as ``ids``: template ids, ``BEFORE_SESSION`` or ``END``; anything else is ``UNK``."""
        raw = np.asarray(ids, dtype=np.int64)
        beyond = len(self._table) - 1
        at = np.where((raw < END) | (raw > beyond - 2), beyond, raw + 2)
        return self._table[at]

    def known(self, ids: Int64) -> Bool:
        """Whether each of ``ids`` is in the vocabulary, bool shaped as ``ids``; ``BEFORE_SESSION`` and ``END``
        are."""
        return np.asarray(self.encode(ids) != UNK)

    def decode(self, place: int) -> int:
        """The raw id at a place; ``UNK`` gives ``OVERFLOW``. Raises DataError for padding and outside the
        vocabulary."""
        if SPECIALS <= place < self.size:
            return self.keys[place - SPECIALS]
        special = {BOS: BEFORE_SESSION, UNK: OVERFLOW, EOS: END}.get(place)
        if special is None:
            raise DataError(f"vocabulary: place {place} stands for no key; places 1..{self.size - 1} do")
        return special

    def fingerprint(self) -> str:
        """sha256 (hex) of the keys in their order: a network and its vocabulary carry the same."""
        return hashlib.sha256(",".join(map(str, self.keys)).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return {"keys": list(self.keys)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls(state["keys"])
