"""Event timing: a pause between two events that is shorter or longer than any that training saw between them.

Landauer, Skopik, Wurzenberger, "A critical review of common log data sets used for evaluation of sequence-based
anomaly detection techniques", FSE 2024. Owns the range of pauses of each pair of consecutive events. Knows nothing of
longer sequences; a pair that training did not see is for other detectors to judge.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import Bool, Float64, Int64

TICK_S = 1e-3
"""A pause counts for this long at least when it is set in relation to another: clocks of logs tick so at best, and
nothing is infinitely longer than no pause at all."""

_SPAN = 2**31


class Timing:
    """Raw output: how far a pause t lies outside the range [min, max] of its pair, in relation to the end passed.

    (t - max) / (max + tick) above, (min - t) / (t + tick) below, 0.0 inside: a pause of twice the largest and one of
    half the smallest both get about 1.0 (below, (min - t) / min would never exceed 1.0, however short the pause). A
    pause below 0.0, of lines out of order, counts as 0.0. NaN for a pair that training did not see, for the first
    event of a session, and for a pause that is no finite number.
    """

    name = "timing"

    def __init__(self, previous: Int64, keys: Int64, least: Float64, most: Float64) -> None:
        """Distinct pairs (``previous``, ``keys``), int64 [p] of ids in 0..2^31 - 1, and their ``least`` and ``most``
        seconds, float64 [p]. Raises DataError where they are not such."""
        if len(keys) == 0 or len({len(previous), len(keys), len(least), len(most)}) != 1:
            raise DataError("timing: there must be a pair at least, and a range for each")
        if not (min(previous.min(), keys.min()) >= 0 and max(previous.max(), keys.max()) < _SPAN):
            raise DataError("timing: template ids must lie in 0..2^31 - 1")
        if not (np.isfinite(most).all() and (least >= 0.0).all() and (least <= most).all()):
            raise DataError("timing: a range of pauses must be finite, not below 0, its least no more than its most")
        codes = previous * _SPAN + keys
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        if (np.diff(self._codes) == 0).any():
            raise DataError("timing: a pair appears twice; give each once")
        self._least, self._most = least[order], most[order]

    def __len__(self) -> int:
        """Pairs that training saw."""
        return len(self._codes)

    @classmethod
    def fit(cls, previous: Int64, keys: Int64, elapsed: Float64) -> Self:
        """Learn from n pauses, as ``score_pauses`` takes them; what it would not judge is left out. Raises DataError
        where no pause is left."""
        used = _usable(previous, keys, elapsed)
        if not used.any():
            raise DataError("timing: no pause in the training sessions; give it sessions of two events with times")
        pause = np.maximum(elapsed[used], 0.0)
        codes, inverse = np.unique(previous[used] * _SPAN + keys[used], return_inverse=True)
        least, most = np.full(len(codes), np.inf), np.zeros(len(codes))
        np.minimum.at(least, inverse, pause)
        np.maximum.at(most, inverse, pause)
        return cls(codes // _SPAN, codes % _SPAN, least, most)

    def score_pauses(self, previous: Int64, keys: Int64, elapsed: Float64) -> Float64:
        """Raw outputs, float64 [k], of ``keys`` int64 [k] that came ``elapsed`` float64 [k] seconds after the events
        ``previous`` int64 [k] of their sessions (``BEFORE_SESSION`` and NaN for a first event)."""
        at, known = self._find(previous, keys, elapsed)
        pause = np.maximum(np.where(known, elapsed, 0.0), 0.0)
        least, most = self._least[at], self._most[at]
        above = (pause - most) / (most + TICK_S)
        below = (least - pause) / (pause + TICK_S)
        return np.where(known, np.maximum(np.maximum(above, below), 0.0), np.nan)

    def explain(self, previous: int, key: int, elapsed: float) -> dict[str, Any]:
        """The pair, its pause in seconds and the range that training saw; ``normal`` is None for a pair it did not
        see."""
        pair = np.array([previous], dtype=np.int64), np.array([key], dtype=np.int64)
        at, known = self._find(*pair, np.zeros(1))
        normal = [float(self._least[at[0]]), float(self._most[at[0]])] if known[0] else None
        return {
            "previous_template_id": previous,
            "template_id": key,
            "elapsed_s": float(elapsed) if np.isfinite(elapsed) else None,
            "normal": normal,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, one entry a pair."""
        return {
            "previous": (self._codes // _SPAN).tolist(),
            "keys": (self._codes % _SPAN).tolist(),
            "least": self._least.tolist(),
            "most": self._most.tolist(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Sequence[Any]]) -> Self:
        """Read back ``to_dict``. Raises DataError where it cannot be one, KeyError where a part is missing."""
        previous, keys = (np.array(state[name], dtype=np.int64) for name in ("previous", "keys"))
        least, most = (np.array(state[name], dtype=np.float64) for name in ("least", "most"))
        return cls(previous, keys, least, most)

    def _find(self, previous: Int64, keys: Int64, elapsed: Float64) -> tuple[Int64, Bool]:
        """Place of each pair, int64 [k] (any where it is unknown), and whether it can be judged, bool [k]."""
        usable = _usable(previous, keys, elapsed)
        codes = np.where(usable, previous, 0) * _SPAN + np.where(usable, keys, 0)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return at, usable & (self._codes[at] == codes)


def _usable(previous: Int64, keys: Int64, elapsed: Float64) -> Bool:
    """Whether each is a pause between two events; ``BEFORE_SESSION`` and keys that stand for no event are below 0."""
    inside = (previous >= 0) & (keys >= 0) & (previous < _SPAN) & (keys < _SPAN)
    return np.asarray(inside & np.isfinite(elapsed))
