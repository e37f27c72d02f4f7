"""Held-out raw outputs of normal sessions, and what is chosen by them: g, r and how long to train.

Owns the folds and the choice. No label is ever asked for. Does not know how a network is fitted (``fit``), nor how
normals are spoilt (``spoil``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.logbert.inputs import cut
from models.logbert.reader import KeyScores
from models.sessions import Float64, Int64
from models.vocabulary import Vocabulary
from training.logbert.fit import Weighed, fit
from training.logbert.settings import LogBERTSettings
from training.logbert.spoil import spoil
from training.member import alone, folds
from training.progress import Progress
from training.windows import distinct

_LEVELS = 50
"""Values of g that are tried: all up to so many keys, spread evenly by their logarithm where there are more."""


@dataclass(frozen=True, slots=True)
class Level:
    """One g: ``r``, the share of anomalous keys that no more than the wanted rate of held-out normals exceeds; ``rate``
    of them that do; ``found``, the share of spoilt ones that do."""

    g: int
    r: float
    rate: float
    found: float


@dataclass(frozen=True, slots=True)
class Choice:
    """``level``, the best of ``levels``; ``share`` of the planned epochs, mean over the folds; held-out raw outputs of
    each session under the chosen g, ``raws`` float64 [n], and ``distances`` float64 [n]; ``heldout``: the losses that
    each fold looked at."""

    level: Level
    levels: tuple[Level, ...]
    share: float
    raws: Float64
    distances: Float64
    heldout: tuple[list[float], ...]


class Segments:
    """Sessions as the detector reads them: cut into segments, each distinct one once."""

    def __init__(self, sessions: Sequence[Int64]) -> None:
        """``sessions`` int64 [length] each. Raises DataError for an empty one."""
        parts = [cut(session) for session in sessions]
        once = distinct([segment for segments in parts for segment in segments])
        self._index = once.index
        self._owner = np.repeat(np.arange(len(parts)), [len(segments) for segments in parts])
        self.distinct = once.sessions

    def weighed(self, chosen: Int64, power: float) -> tuple[Int64, Weighed]:
        """Numbers, int64 [v], of the distinct segments that sessions ``chosen`` int64 [m] have, and these segments,
        each weighing ``count ** power``."""
        number, count = np.unique(self._index[np.isin(self._owner, chosen)], return_counts=True)
        return number, Weighed([self.distinct[at] for at in number.tolist()], count.astype(np.float64) ** power)

    def sessions(self, raws: Float64) -> Float64:
        """The largest of ``raws`` float64 [distinct segments] among each session's segments, float64 [sessions]."""
        largest = np.full(self._owner[-1] + 1, -np.inf)
        np.maximum.at(largest, self._owner, raws[self._index])
        return largest


@dataclass(frozen=True, slots=True)
class _Fold:
    """Of one fit: the sessions ``held`` out, int64 [m]; the distinct segments that they have, ``segment`` int64 [v],
    with what these got; what the spoilt ones got; the keys that it knew; and how its training went."""

    held: Int64
    segment: Int64
    scores: KeyScores
    distances: Float64
    spoilt: KeyScores | None
    keys: int
    share: float
    heldout: list[float]


def crossfit(segments: Segments, number: int, settings: LogBERTSettings, seed: int, progress: Progress) -> Choice:
    """Choose by folds of the ``number`` whole sessions, drawn by ``seed``; every session is held out once.

    r follows from g and the rate of false alarms wanted. Between values of g no normal session can tell, so the best is
    that under which most held-out normals ring once they are spoilt.
    """
    splits = folds(number, settings.folds, seed)
    found = [
        _fold(segments, split, settings, seed + at, progress, f"logbert, holdout {at + 1} of {len(splits)}")
        for at, split in enumerate(splits)
    ]
    tried = [settings.g] if settings.g is not None else _levels(min(one.keys for one in found))
    levels = tuple(_level(segments, number, found, g, settings.false_alarm_rate) for g in tried)
    level = max(levels, key=lambda one: (one.found, -one.r, -one.g))
    return Choice(
        level=level,
        levels=levels,
        share=float(np.mean([one.share for one in found])),
        raws=_gathered(segments, number, found, [one.scores.raws(level.g) for one in found]),
        distances=_gathered(segments, number, found, [one.distances for one in found]),
        heldout=tuple(one.heldout for one in found),
    )


def _fold(
    segments: Segments,
    split: tuple[Int64, Int64],
    settings: LogBERTSettings,
    seed: int,
    progress: Progress,
    name: str,
) -> _Fold:
    fitted, held = split
    _, given = segments.weighed(fitted, settings.weight_power)
    segment, heldout = segments.weighed(held, settings.weight_power)
    vocabulary = Vocabulary.fit(given.sequences)
    fitting = fit(given, vocabulary, settings, seed, heldout=heldout, progress=progress, name=name)
    reader = fitting.reader(vocabulary, settings)
    known = {sequence.tobytes() for sequence in segments.distinct}
    spoilt = spoil(heldout.sequences, np.array(vocabulary.keys), lambda one: one.tobytes() in known, seed)
    return _Fold(
        held=held,
        segment=segment,
        scores=reader.keys(heldout.sequences),
        distances=reader.distances(heldout.sequences),
        spoilt=reader.keys(spoilt) if spoilt else None,
        keys=len(vocabulary.keys),
        share=fitting.share,
        heldout=fitting.curve.heldout,
    )


def _levels(keys: int) -> list[int]:
    """Values of g to try where so many keys are known."""
    most = max(1, keys)
    if most <= _LEVELS:
        return list(range(1, most + 1))
    levels: list[int] = np.unique(np.geomspace(1, most, _LEVELS).round().astype(np.int64)).tolist()
    return levels


def _level(segments: Segments, number: int, found: Sequence[_Fold], g: int, rate: float) -> Level:
    shares = _gathered(segments, number, found, [one.scores.shares(g) for one in found])
    r = float(np.nextafter(alone(shares, rate), -np.inf))
    spoilt = np.concatenate([one.spoilt.shares(g) for one in found if one.spoilt is not None] or [np.zeros(1)])
    return Level(g, r, float((shares > r).mean()), float((spoilt > r).mean()))


def _gathered(segments: Segments, number: int, found: Sequence[_Fold], raws: Sequence[Float64]) -> Float64:
    """Raw outputs of each of ``number`` sessions, from those of each fold's segments."""
    gathered = np.full(number, np.nan)
    for one, raw in zip(found, raws, strict=True):
        by_segment = np.full(len(segments.distinct), -np.inf)
        by_segment[one.segment] = raw
        gathered[one.held] = segments.sessions(by_segment)[one.held]
    return gathered
