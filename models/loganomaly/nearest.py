"""Which known template an unknown one is read as: the nearest by cosine, where it is near enough.

Owns the search, and remembers what it found. Does not know texts nor the encoder.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.loganomaly.counts import Float32
from models.sessions import Int64
from models.vocabulary import OVERFLOW

_log = logging.getLogger(__name__)

VectorsOf = Callable[[Sequence[int]], Float32]
"""Vectors float32 [n, width] of n templates by id, of length 1, or zeros where a template has no words."""


@dataclass(frozen=True, slots=True)
class Match:
    """The known template that an unknown one is read as, and the cosine between the two."""

    template_id: int
    cosine: float


def log(template_id: int, match: Match) -> None:
    """Tell the operator of a match; called once an id."""
    _log.info(
        "loganomaly reads template %d as template %d (cosine %.3f) until it is trained with it",
        template_id,
        match.template_id,
        match.cosine,
    )


class Nearest:
    """Maps unknown ids to known ones. What an id was found to be stays, whatever becomes of its text.

    Several threads may ask at once.
    """

    def __init__(
        self,
        keys: Sequence[int],
        vectors: Float32,
        least: float,
        vectors_of: VectorsOf,
        told: Callable[[int, Match], None] = log,
    ) -> None:
        """``vectors`` float32 [keys, width] of the known templates ``keys``, of length 1 or zeros; ``least`` cosine of
        a match; ``told`` hears of each match once."""
        self._keys = tuple(keys)
        self._vectors = vectors
        self._least = least
        self._vectors_of = vectors_of
        self._told = told
        self._found: dict[int, Match | None] = {}

    def match(self, template_id: int) -> Match | None:
        """What an unknown id is read as, where anything."""
        if template_id not in self._found:
            self._search([template_id])
        return self._found[template_id]

    def of(self, ids: Int64) -> Int64:
        """Known ids for unknown ones, int64 [n] to int64 [n]; ``OVERFLOW`` where nothing is near enough."""
        distinct, inverse = np.unique(ids, return_inverse=True)
        asked = distinct.tolist()
        missing = [template_id for template_id in asked if template_id not in self._found]
        if missing:
            self._search(missing)
        matches = (self._found[template_id] for template_id in asked)
        known = [OVERFLOW if match is None else match.template_id for match in matches]
        return np.array(known, dtype=np.int64)[inverse]

    def _search(self, ids: Sequence[int]) -> None:
        # The overflow template stands for many texts, and no template has an id below it.
        real = [template_id for template_id in ids if template_id > OVERFLOW]
        matches: dict[int, Match | None] = dict.fromkeys(ids)
        if real and self._keys:
            cosines = self._vectors_of(real).astype(np.float64) @ self._vectors.T.astype(np.float64)
            best = cosines.argmax(axis=1)
            for template_id, at, cosine in zip(real, best.tolist(), cosines.max(axis=1).tolist(), strict=True):
                # Also false where the encoder gave no number.
                if cosine >= self._least:
                    matches[template_id] = Match(self._keys[at], cosine)
        for template_id, match in matches.items():
            if template_id not in self._found:
                self._found[template_id] = match
                if match is not None:
                    self._told(template_id, match)
