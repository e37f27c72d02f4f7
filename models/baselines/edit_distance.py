"""Edit distance: how many events must change to turn a session into the nearest one seen in training.

Landauer, Skopik, Wurzenberger, FSE 2024. Owns the training sequences and the search for the nearest. Session
granularity. Knows nothing of how often a sequence came.

The distance is Levenshtein's (insert, delete, substitute, each at cost 1) over the longer of both lengths. Two
sequences of n and m events that share c of them, order apart, are at least max(n, m) - c edits away, which covers the
difference in length too. Training sequences are compared in the order of this bound, until it reaches what is already
found: most never are.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Self

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from models.errors import DataError
from models.sessions import Bool, Float64, Int64

CAP = 1_500
"""Distinct training sequences kept, a uniform sample without repetition where there are more. A normal sequence outside
the sample still has near ones inside it."""

CAP_EVENTS = 300_000
"""Events that the sequences kept hold together at most. The time for one event grows with both caps: at these, 20,000
events a second are judged on one core though no two sessions are alike."""

CACHE_SEQUENCES = 20_000
"""Distances kept by sequence; dropped whole when full."""

FIRST = 16
"""Training sequences compared at once at first; four times as many in each further round."""

EXPLAINED = 20
"""Edit operations that an explanation lists; it tells their number too."""

UNSEEN = 1
"""Character of a template that no training sequence holds; the others follow in the order of their ids."""


class Nearest(NamedTuple):
    """Number of the training sequence, the first of the nearest by bound, and its distance 0.0 to 1.0."""

    number: int
    distance: float


class EditDistance:
    """Raw output: edits to the nearest training sequence over the longer length, 0.0 (equal) to 1.0."""

    name = "edit_distance"

    def __init__(self, sequences: Sequence[Int64]) -> None:
        """``sequences``: of training, each int64 [length] of template ids; equal ones are kept once. Raises DataError
        where none holds an event."""
        found = {filled.tobytes(): filled for filled in (_ids(s) for s in sequences) if len(filled)}
        if not found:
            raise DataError("edit-distance detector: no event in the training sessions; give it at least one session")
        self._sequences = list(found.values())
        self._keys = np.unique(np.concatenate(self._sequences))
        self._texts = [self._text(sequence) for sequence in self._sequences]
        self._lengths = np.array([len(sequence) for sequence in self._sequences], dtype=np.int64)
        # Which sequences hold each key, and how often: entries in the order of keys, those of key k from starts[k] on.
        owner = np.repeat(np.arange(len(self._sequences)), self._lengths)
        place = np.searchsorted(self._keys, np.concatenate(self._sequences))
        code, self._counts = np.unique(place * len(self._sequences) + owner, return_counts=True)
        self._owners = code % len(self._sequences)
        self._starts = np.searchsorted(code, np.arange(len(self._keys) + 1) * len(self._sequences))
        self._cache: dict[str, Nearest] = {}
        self._exact = {text: Nearest(number, 0.0) for number, text in enumerate(self._texts)}

    def __len__(self) -> int:
        return len(self._sequences)

    @classmethod
    def fit(cls, sequences: Sequence[Int64], seed: int, cap: int = CAP, cap_events: int = CAP_EVENTS) -> Self:
        """Learn from normal sequences, each int64 [length]; where the distinct ones are more than ``cap`` or hold more
        than ``cap_events`` events, from a sample of them by ``seed``. Raises DataError without any event."""
        distinct = list({filled.tobytes(): filled for filled in (_ids(s) for s in sequences) if len(filled)}.values())
        shuffled = np.random.default_rng(seed).permutation(len(distinct))
        events = np.cumsum([len(distinct[number]) for number in shuffled.tolist()])
        kept = max(1, min(cap, int(np.searchsorted(events, cap_events, side="right"))))
        return cls([distinct[number] for number in np.sort(shuffled[:kept]).tolist()])

    def score_sequences(self, sequences: Sequence[Int64]) -> Float64:
        """Distance to the nearest training sequence, float64 [k], of k sequences (each int64 [length]); an empty one
        gets 0.0."""
        return np.array([self._nearest(_ids(s)).distance if len(s) else 0.0 for s in sequences], dtype=np.float64)

    def explain(self, sequence: Int64) -> dict[str, Any]:
        """The nearest training sequence and the edits that lead from it to this one, the first ``EXPLAINED`` of them:
        ``at`` is the place in this sequence, from 0 on, ``template_id`` what stands there (None for an event that is
        missing) and ``expected`` what training had (None for one too many)."""
        ids = _ids(sequence)
        if not len(ids):
            raise DataError("nearest sequence: the session holds no event")
        number, distance = self._nearest(ids)
        nearest = self._sequences[number]
        edits = Levenshtein.editops(self._texts[number], self._text(ids))
        listed = [
            {
                "at": edit.dest_pos,
                "template_id": None if edit.tag == "delete" else int(ids[edit.dest_pos]),
                "expected": None if edit.tag == "insert" else int(nearest[edit.src_pos]),
            }
            for edit in islice(edits, EXPLAINED)
        ]
        return {"distance": distance, "nearest": nearest.tolist(), "edits": len(edits), "first": listed}

    def _nearest(self, ids: Int64) -> Nearest:
        """The nearest training sequence of one that holds an event."""
        text = self._text(ids)
        nearest = self._exact.get(text) or self._cache.get(text)
        if nearest is None:
            nearest = self._search(ids, text)
            if len(self._cache) >= CACHE_SEQUENCES:
                self._cache.clear()
            self._cache[text] = nearest
        return nearest

    def _search(self, ids: Int64, text: str) -> Nearest:
        longest = np.maximum(self._lengths, len(ids))
        bound = (longest - self._shared(ids)) / longest
        order = np.argsort(bound, kind="stable")
        best = Nearest(-1, np.inf)
        start, size = 0, FIRST
        while start < len(order) and bound[order[start]] < best.distance:
            some = order[start : start + size]
            found = process.extractOne(
                text,
                [self._texts[number] for number in some.tolist()],
                scorer=Levenshtein.normalized_distance,
                score_cutoff=min(best.distance, 1.0),
            )
            if found is not None and found[1] < best.distance:
                best = Nearest(int(some[found[2]]), float(found[1]))
            start, size = start + size, 4 * size
        return best

    def _shared(self, ids: Int64) -> Int64:
        """How many events each training sequence shares with ``ids``, order apart, int64 [sequences]."""
        keys, counts = np.unique(ids, return_counts=True)
        places, known = self._places(keys)
        places, counts = places[known], counts[known]
        entries = self._starts[places + 1] - self._starts[places]
        # The entries of the keys one after the other: where each key's begin, less where they begin in the result.
        offset = self._starts[places] - np.cumsum(entries) + entries
        at = np.arange(entries.sum()) + np.repeat(offset, entries)
        shared = np.minimum(self._counts[at], np.repeat(counts, entries))
        return np.bincount(self._owners[at], weights=shared, minlength=len(self._sequences)).astype(np.int64)

    def _text(self, ids: Int64) -> str:
        """The ids as characters, one each: what the search compares."""
        places, known = self._places(ids)
        codes = np.where(known, places + UNSEEN + 1, UNSEEN).astype("<u4")
        return codes.tobytes().decode("utf-32-le", "surrogatepass")

    def _places(self, ids: Int64) -> tuple[Int64, Bool]:
        """Where ids stand among the keys of training, and whether they do."""
        at = np.minimum(np.searchsorted(self._keys, ids), len(self._keys) - 1)
        return at, self._keys[at] == ids

    def to_dict(self) -> dict[str, Any]:
        return {"sequences": [sequence.tolist() for sequence in self._sequences]}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        return cls([np.asarray(sequence, dtype=np.int64) for sequence in state["sequences"]])


def _ids(sequence: Int64) -> Int64:
    return np.ascontiguousarray(sequence, dtype=np.int64)
