"""Normal sessions that a bundle carries, for incidents to be compared with: the most frequent ways that sessions went.

Owns which are kept and the search for the nearest. How two sessions are laid side by side is ``models.contrast``'s.
Judges nothing: a session far from all of these may be normal all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import orjson

from models.contrast import Contrast, contrast, first_costs, next_costs
from models.errors import BundleError
from models.sessions import SEGMENT, Int64

NORMALS = "normals.json"
"""Name of the bundle file; bundles from before it lack it."""
KEPT = 200
"""Distinct sequences kept at most."""
LONGEST = SEGMENT
"""Events of a sequence that are kept, the first ones: how a longer one goes on is not known."""
EVENTS = 50_000
"""Events that all sequences hold together at most: about 200 KB."""
NOTHING = -2
"""Fills up rows; no key."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The normal session nearest to another, laid beside it; ``sessions`` of training went as it did."""

    contrast: Contrast
    sessions: int


class Normals:
    """Distinct key sequences of normal sessions, the most frequent first."""

    def __init__(self, sequences: Sequence[Sequence[int]], counts: Sequence[int], longest: int = LONGEST) -> None:
        """``counts``: how many sessions went so; a sequence of ``longest`` events may have gone on."""
        self._sequences = [tuple(sequence) for sequence in sequences]
        self._counts = list(counts)
        self._longest = longest
        lengths = [len(sequence) for sequence in self._sequences]
        self._lengths = np.array(lengths, dtype=np.int64)
        # Backwards, as they are laid beside a session.
        self._rows = np.full((len(lengths), max(lengths, default=0)), NOTHING, dtype=np.int64)
        for row, sequence in zip(self._rows, self._sequences, strict=True):
            row[: len(sequence)] = sequence[::-1]

    def __len__(self) -> int:
        return len(self._sequences)

    @property
    def sessions(self) -> int:
        """Sessions of training that went as one of these."""
        return sum(self._counts)

    @classmethod
    def fit(cls, sessions: Sequence[Int64], seed: int, kept: int = KEPT, events: int = EVENTS) -> Self:
        """Of normal sessions (each int64 [length] of template ids) the ``kept`` most frequent ways to go, cut at
        ``LONGEST``, with ``events`` events in all; chosen by ``seed`` among those that are as frequent."""
        found: dict[bytes, int] = {}
        for session in sessions:
            name = np.ascontiguousarray(session[:LONGEST], dtype=np.int64).tobytes()
            found[name] = found.get(name, 0) + 1
        found.pop(b"", None)
        names = list(found)
        shuffled = [names[at] for at in np.random.default_rng(seed).permutation(len(names)).tolist()]
        sequences: list[list[int]] = []
        counts: list[int] = []
        for name in sorted(shuffled, key=lambda name: -found[name]):
            sequence = np.frombuffer(name, dtype=np.int64).tolist()
            if len(counts) == kept:
                break
            if len(sequence) <= events:
                sequences.append(sequence)
                counts.append(found[name])
                events -= len(sequence)
        return cls(sequences, counts)

    def nearest(self, keys: Sequence[int], *, begun: bool, ended: bool) -> Nearest | None:
        """The normal session that lies nearest to ``keys``, the oldest first, by events missing and extra, the most
        frequent of equals; None where it shares no event with any.

        ``begun``: they begin where the session began; ``ended``: it is over. Where it is not, or its beginning was not
        kept, it is compared as a part. The newest ``LONGEST`` keys are looked at, which bounds the work.
        """
        begun = begun and len(keys) <= LONGEST
        keys = keys[-LONGEST:]
        if not len(self) or not keys:
            return None
        cost = first_costs(self._rows.shape, ended)
        cost[self._lengths >= self._longest] = 0
        for key in reversed(keys):
            cost = next_costs(cost, self._rows == key)
        whole = cost[np.arange(len(self)), self._lengths] if begun else cost.min(axis=1)
        at = int(np.argmin(whole))
        normal = self._sequences[at]
        found = contrast(keys, normal, begun=begun, ended=ended and len(normal) < self._longest)
        return Nearest(found, self._counts[at]) if found.count("same", "earlier", "later") else None

    def to_json(self) -> bytes:
        """The bundle file."""
        return orjson.dumps({"sequences": self._sequences, "counts": self._counts, "longest": self._longest})

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the bundle file. Raises BundleError where it is damaged."""
        try:
            state: dict[str, Any] = orjson.loads(data)
            sequences = [[int(key) for key in sequence] for sequence in state["sequences"]]
            counts, longest = [int(count) for count in state["counts"]], int(state["longest"])
            if len(counts) != len(sequences) or not all(0 < len(sequence) <= longest for sequence in sequences):
                raise ValueError("counts and sequences do not fit")
            return cls(sequences, counts, longest)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"{NORMALS} is damaged ({error}); restore the bundle or train it again") from error
