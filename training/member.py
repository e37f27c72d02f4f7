"""What training gives to a detector, and gets from it.

Owns the two shapes, the folds and the level at which a member alone would ring. Does not know any detector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.errors import DataError
from models.record import Records
from models.sessions import Float64, Int64
from models.template.tree import TemplateTree
from training.corpus import CutSession
from training.progress import Progress, silent

FALSE_ALARM_RATE = 0.002
"""Share of held-out normal sessions on which a member alone may ring. Where 3 % of sessions are anomalous, one alarm
in sixteen is then false."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sessions to learn from. ``sessions``: normal ones, oldest first; ``anomalous``: those that labels call so, for
    supervised detectors alone; ``records``: what the positions in ``CutSession.records`` point into, and ``tree`` what
    their templates are (both None where only keys are known, as in a set of key sequences)."""

    sessions: Sequence[CutSession]
    anomalous: Sequence[CutSession] = ()
    records: Records | None = None
    tree: TemplateTree | None = None

    @classmethod
    def of_keys(cls, sessions: Sequence[Int64], anomalous: Sequence[Int64] = ()) -> "Corpus":
        """From key sequences alone: no times, no lines."""
        return cls([_bare(keys) for keys in sessions], [_bare(keys) for keys in anomalous])

    @property
    def keys(self) -> list[Int64]:
        """Template ids of each normal session, int64 [length]."""
        return [session.keys for session in self.sessions]

    def lines(self, detector: str) -> tuple[Records, TemplateTree]:
        """Records and tree. Raises DataError naming ``detector`` where only keys are known."""
        if self.records is None or self.tree is None:
            raise DataError(f"{detector} reads lines, and this set holds only their keys; train it on a log")
        return self.records, self.tree


@dataclass(frozen=True, slots=True)
class FittedMember:
    """A fitted detector as a bundle keeps it.

    ``raws``: float64 [n], the raw output of each normal session of the corpus (events: the largest), made by a fit that
    did not see it, NaN where it was not judged; ``threshold``: the raw output from which on it rings alone, chosen on
    those; ``settings``: what the manifest says of it; ``files``: bundle files; ``curves``: loss by epoch, by name.
    """

    name: str
    raws: Float64
    threshold: float
    settings: dict[str, Any]
    files: dict[str, bytes]
    curves: dict[str, list[float]] = field(default_factory=dict)


def folds(sessions: int, number: int, seed: int) -> list[tuple[Int64, Int64]]:
    """``number`` random splits of whole sessions, each (to fit on, held out), int64; every one is held out once."""
    fold = np.random.default_rng(seed).permutation(sessions) % number
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(number)]


def held_out(
    sessions: int,
    number: int,
    seed: int,
    raws_of: Callable[[Int64, Int64], Float64],
    what: str = "",
    progress: Progress = silent,
) -> Float64:
    """Raw output of each session by a fit on the other folds, float64 [sessions]; ``raws_of`` gets the numbers of the
    sessions to fit on and of those to judge."""
    raws = np.full(sessions, np.nan)
    for done, (fit, test) in enumerate(folds(sessions, number, seed)):
        raws[test] = raws_of(fit, test)
        progress(what, done + 1, number)
    return raws


def alone(raws: Float64, rate: float = FALSE_ALARM_RATE) -> float:
    """The least raw output from which on at most ``rate`` of the held-out normals (NaN left out) ring."""
    judged = np.sort(raws[~np.isnan(raws)])[::-1]
    if not len(judged):
        raise DataError("no held-out raw output to choose a threshold by")
    return float(np.nextafter(judged[min(int(rate * len(judged)), len(judged) - 1)], np.inf))


def require(sessions: int, least: int, detector: str) -> None:
    """Raise DataError where there are fewer normal sessions than a detector can learn from."""
    if sessions < least:
        raise DataError(
            f"{detector} needs at least {least} normal sessions, got {sessions}; train on a longer log or leave "
            f"{detector} out of the detectors"
        )


def _bare(keys: Int64) -> CutSession:
    nothing = np.full(len(keys), -1, dtype=np.int64)
    return CutSession("", keys, 0.0, 0.0, np.zeros(len(keys)), nothing)
