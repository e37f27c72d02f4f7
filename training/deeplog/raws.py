"""Raw outputs of whole sessions, by DeepLog or another detector of events that judges their end.

Owns the reduction of events to their session and the folding of repetitions. Does not know what is chosen by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.detector import EventDetector
from models.sessions import Float64, Int64
from models.vocabulary import END
from training.windows import distinct, windows


@dataclass(frozen=True, slots=True)
class SessionRaws:
    """Raw outputs of n sessions: ``events`` float64 [n], the largest over a session's events; ``end`` float64 [n],
    that of its end."""

    events: Float64
    end: Float64

    @property
    def session(self) -> Float64:
        """The largest of all, float64 [n]: a session is anomalous iff it is at least g."""
        return np.maximum(self.events, self.end)

    def take(self, chosen: Int64) -> "SessionRaws":
        """Those of the sessions numbered ``chosen`` int64 [m]."""
        return SessionRaws(self.events[chosen], self.end[chosen])


def session_raws(detector: EventDetector, sessions: Sequence[Int64]) -> SessionRaws:
    """Score whole ``sessions`` (each int64 [length > 0], raw ids); equal sessions are scored once."""
    once = distinct(sessions)
    given = windows(once.sessions, detector.window)
    return reduce(detector.score(given.history, given.key), given.key, given.session, len(once.sessions)).take(
        once.index
    )


def reduce(raw: Float64, key: Int64, session: Int64, number: int) -> SessionRaws:
    """Raw outputs float64 [m] of events ``key`` int64 [m] to those of their ``session`` int64 [m], one of ``number``.

    A session without a row here keeps 0.0, the least there is.
    """
    events, end = np.zeros(number), np.zeros(number)
    ends = key == END
    np.maximum.at(events, session[~ends], raw[~ends])
    end[session[ends]] = raw[ends]
    return SessionRaws(events, end)
