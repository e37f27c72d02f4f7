"""The timing detector from normal sessions to what a bundle needs: held out by folds, then fitted on all.

Owns the order of these steps and the least amount of data. Does not know bundles.
"""

from dataclasses import dataclass

import numpy as np
import orjson

from models.baselines.timing import Timing
from models.errors import DataError
from models.sessions import BEFORE_SESSION, Float64, Int64
from training.member import Corpus, FittedMember, alone, held_out, require
from training.progress import Progress, silent

NAME = "timing"
FOLDS = 5
LEAST_SESSIONS = 50
"""Ten a fold: with fewer, most pauses of a fold lie outside the range of the others."""


@dataclass(frozen=True, slots=True)
class _Pauses:
    """All events of n sessions as the detector reads them: ``previous``, ``keys``, ``elapsed`` [k], and ``session``
    int64 [k], which one."""

    previous: Int64
    keys: Int64
    elapsed: Float64
    session: Int64

    def of(self, sessions: Int64, number: int) -> "_Pauses":
        """Those of some of the ``number`` sessions."""
        chosen = np.zeros(number, dtype=np.bool_)
        chosen[sessions] = True
        rows = np.flatnonzero(chosen[self.session])
        return _Pauses(self.previous[rows], self.keys[rows], self.elapsed[rows], self.session[rows])


def fit_timing(corpus: Corpus, seed: int, progress: Progress = silent) -> FittedMember:
    """Learn the pauses of normal sessions. A session's raw output is the largest of its events', NaN where no pair of
    it is known.

    Raises DataError where events have no times, for fewer sessions than ``LEAST_SESSIONS``, and where no held-out
    pause can be judged.
    """
    number = len(corpus.sessions)
    require(number, LEAST_SESSIONS, NAME)
    if corpus.records is None:
        raise DataError(f"{NAME} reads times, and this set holds only keys; train it on a log")
    given = _pauses(corpus)

    def raws_of(fit: Int64, test: Int64) -> Float64:
        learned, judged = given.of(fit, number), given.of(test, number)
        timing = Timing.fit(learned.previous, learned.keys, learned.elapsed)
        raw = timing.score_pauses(judged.previous, judged.keys, judged.elapsed)
        largest = np.full(number, np.nan)
        np.fmax.at(largest, judged.session, raw)
        return largest[test]

    raws = held_out(number, FOLDS, seed, raws_of, NAME, progress)
    timing = Timing.fit(given.previous, given.keys, given.elapsed)
    return FittedMember(
        name=NAME,
        raws=raws,
        threshold=alone(raws),
        settings={"pairs": len(timing), "training": {"folds": FOLDS}},
        files={f"{NAME}.json": orjson.dumps(timing.to_dict())},
    )


def _pauses(corpus: Corpus) -> _Pauses:
    """The pauses of all sessions: since the latest event before, as the service counts them."""
    previous, elapsed = [], []
    for one in corpus.sessions:
        before = np.full(len(one.keys), BEFORE_SESSION, dtype=np.int64)
        before[1:] = one.keys[:-1]
        pause = np.full(len(one.keys), np.nan)
        pause[1:] = one.times[1:] - np.maximum.accumulate(one.times)[:-1]
        previous.append(before)
        elapsed.append(pause)
    keys = np.concatenate([one.keys for one in corpus.sessions])
    session = np.repeat(np.arange(len(corpus.sessions)), [len(one.keys) for one in corpus.sessions])
    return _Pauses(np.concatenate(previous), keys, np.concatenate(elapsed), session)
