"""What a judge says of a batch, as columns, and what is read of a session that is over.

Owns the shapes. Does not know how they come about (``models.judge``), nor why (``models.explainer``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.sessions import Bool, Closing, Float64, Int64


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdicts of k rows or closings, as columns.

    ``raws`` member -> float64 [k], NaN where a rule silenced it; ``evidence`` float64 [k], at least 0; ``score``
    float64 [k] in 0..1; ``anomalous`` bool [k]; ``silenced`` row or closing -> the rule without which it would ring.
    """

    raws: dict[str, Float64]
    evidence: Float64
    score: Float64
    anomalous: Bool
    silenced: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peak:
    """A member's raw output worth remembering until its session closes; ``member`` is the member's place."""

    row: int
    member: int
    raw: float


def end_histories(closings: Sequence[Closing], width: int) -> Int64:
    """The history before each session's end, int64 [k, width], ``BEFORE_SESSION`` on the left."""
    history = np.full((len(closings), width), -1, dtype=np.int64)
    for row, closing in enumerate(closings):
        known = closing.state.tail[-width:] if width else ()
        if known:
            history[row, width - len(known) :] = known
    return history
