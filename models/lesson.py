"""What one detector saw where it rang: enough to judge it again by another version, and to learn from it.

Owns the form that outlives the version which raised the alarm: template ids of the tree, plain numbers, words. Does
not know what people said of it, nor how anything is learned.

| detectors of | ``seen`` holds |
| --- | --- |
| keys | ``history`` [window] and ``key`` |
| pauses | ``previous``, ``key``, ``elapsed`` seconds |
| values | ``key``, ``history`` [window][width] and ``values`` [width]; null where there is none |
| header fields | ``history`` [window], ``key``, ``earlier`` [window][fields], ``codes`` [fields] |
| words | ``text``, as prepared for the network |
| counts | ``counts`` as [[template id, count], ...] |
| sequences | ``sequence`` [n] |
| timeframes | ``frame`` as {entity: {term: count}} |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.errors import DataError
from models.sessions import Float64

Seen = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What ``detector`` saw; ``seen`` is plain JSON."""

    detector: str
    seen: Seen

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"detector": self.detector, "seen": dict(self.seen)}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back ``to_dict``. Raises DataError where it is no lesson."""
        if not isinstance(state.get("detector"), str) or not isinstance(state.get("seen"), Mapping):
            raise DataError("a lesson names its detector and holds what was seen")
        return cls(state["detector"], state["seen"])


def numbers(values: Float64) -> list[Any]:
    """An array of numbers as nested lists of JSON, null for NaN."""
    cells = values.astype(object)
    cells[np.isnan(values)] = None
    found: list[Any] = cells.tolist()
    return found


def array(values: list[Any]) -> Float64:
    """Read back ``numbers``."""
    return np.array(values, dtype=np.float64)
