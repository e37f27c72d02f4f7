"""Held-out raw outputs of normal sessions, and what is chosen by them: w, g, how long to train, and the network.

A network that was fitted to all sessions can rank the branches of a busy window otherwise than those of the folds did,
as nothing in the loss tells equally weighted branches apart. So each session's raw output here is the larger of two:
held out, and under the network that will be used.

Owns the two ways to hold out (k folds; the newest share) and the choice. No label is ever asked for. Does not know
what kind of network it is (``model``), how one is fitted (``fit``), nor how raw outputs are calibrated
(``models/calibration.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.deeplog.detector import unknown_raw
from models.errors import DataError
from models.sessions import BEFORE_SESSION, Float64, Int64
from models.vocabulary import END, Vocabulary
from training.deeplog.fit import Fit, fit
from training.deeplog.model import Model
from training.deeplog.raws import SessionRaws, reduce
from training.deeplog.settings import DeepLogSettings
from training.progress import Progress
from training.windows import distinct, pairs, windows

NATS = 0.25
"""Steps in which g is tried by surprisal."""

Split = tuple[Int64, Int64]
"""Numbers of the sessions to fit on and of those held out."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One weight power tried on ``sessions`` held-out ones.

    ``rates[i]``: share of held-out normal sessions that ring at g = ``levels[i]`` (0, 1, 2 and so on by rank);
    ``unavoidable``: share that rings at any g, for a key that the sessions fitted on do not have; ``early_end``:
    share of places inside held-out sessions where an end would ring; ``share``: of the planned epochs, when the
    held-out loss was least, mean over the fits.
    """

    w: float
    g: float
    sessions: int
    levels: tuple[float, ...]
    rates: tuple[float, ...]
    unavoidable: float
    early_end: float
    share: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What holding out chose, and the held-out raw outputs under it.

    ``heldout`` int64 [m]: which sessions ``raws`` describes; all of them for k folds, the newest for a temporal
    holdout. ``fitting``: the network fitted to all sessions with these."""

    w: float
    g: float
    share: float
    trials: tuple[Trial, ...]
    heldout: Int64
    raws: SessionRaws
    fitting: Fit


def crossfit(
    sessions: Sequence[Int64], settings: DeepLogSettings, model: Model, seed: int, progress: Progress | None = None
) -> Choice:
    """Choose by ``settings.folds`` folds of whole sessions, drawn by ``seed``; every session is held out once.

    Every w is tried on the first ``settings.screened`` folds, the best one goes through the others and then has its g
    chosen on all.
    """
    fold = np.random.default_rng(seed).permutation(len(sessions)) % settings.folds
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(settings.folds)]
    return _choose(_Holdout(sessions, splits, settings, model, seed, progress))


def temporal_holdout(
    sessions: Sequence[Int64],
    settings: DeepLogSettings,
    model: Model,
    seed: int,
    progress: Progress | None = None,
    share: float = 0.1,
) -> Choice:
    """Choose on the newest ``share`` of the sessions (in time order) after fitting on the older ones: what g has to
    be where the stream drifts, for a third of the work of five folds."""
    newest = int(np.ceil(len(sessions) * share))
    if not 0 < newest < len(sessions):
        raise DataError(f"a share of {share} of {len(sessions)} sessions leaves nothing to fit or nothing to hold out")
    at = np.arange(len(sessions))
    return _choose(_Holdout(sessions, [(at[:-newest], at[-newest:])], settings, model, seed, progress))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of one fit: the sessions ``held`` out, int64 [m], and their ``raws``; raw outputs of ends that did not come,
    ``early`` float64 [k], and how often each was seen, ``count`` int64 [k]; the share of epochs behind the
    weights."""

    held: Int64
    raws: SessionRaws
    early: Float64
    count: Int64
    share: float


@dataclass(frozen=True, slots=True)
class _Whole:
    """The network fitted to all sessions, and their ``raws`` under it."""

    fitting: Fit
    raws: SessionRaws


class _Holdout:
    """Fits on one side of a split and scores the other, each distinct session once."""

    def __init__(
        self,
        sessions: Sequence[Int64],
        splits: Sequence[Split],
        settings: DeepLogSettings,
        model: Model,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.splits = splits
        self.settings = settings
        self._once = distinct(sessions)
        self._windows = windows(self._once.sessions, settings.h)
        self._unknown = unknown_raw(settings.rule, Vocabulary.fit(self._once.sessions).size)
        self._model = model
        self._seed = seed
        self._progress = progress

    def outcome(self, w: float, number: int) -> _Outcome:
        """Of split ``number`` with weights ``count ** w``."""
        given, once = self._windows, self._once
        fitted, held = (once.counts(side) for side in self.splits[number])
        vocabulary = Vocabulary.fit([once.sessions[at] for at in np.flatnonzero(fitted).tolist()])
        fitting = fit(
            pairs(given, fitted, vocabulary),
            self._model.network(vocabulary, self._seed + number),
            self.settings,
            w,
            self._seed + number,
            heldout=pairs(given, held, vocabulary),
            progress=self._progress,
            name=f"w={w:g}, holdout {number + 1} of {len(self.splits)}",
        )
        detector = self._model.detector(vocabulary, fitting.network)
        rows = np.flatnonzero(held[given.session])
        history, key, session = given.history[rows], given.key[rows], given.session[rows]
        inside = np.flatnonzero((key != END) & (history[:, -1] != BEFORE_SESSION))
        # The same windows in one call: the network sees each once.
        raw = detector.score(np.concatenate([history, history[inside]]), np.append(key, np.full(len(inside), END)))
        # Vocabularies of several sizes mark unknown keys with several numbers; all sessions' own is the largest.
        raw[raw == detector.unknown] = self._unknown
        chosen = self.splits[number][1]
        raws = reduce(raw[: len(key)], key, session, len(once.sessions)).take(once.index[chosen])
        return _Outcome(chosen, raws, raw[len(key) :], held[session[inside]], fitting.share)

    def whole(self, w: float, outcomes: Sequence[_Outcome]) -> "_Whole":
        """The network fitted to all sessions with weights ``count ** w``, for as long as the ``outcomes`` advise."""
        once, given = self._once, self._windows
        vocabulary = Vocabulary.fit(once.sessions)
        counts = once.counts(np.arange(len(once.index)))
        fitting = fit(
            pairs(given, counts, vocabulary),
            self._model.network(vocabulary, self._seed),
            self.settings,
            w,
            self._seed,
            share=float(np.mean([outcome.share for outcome in outcomes])),
            progress=self._progress,
            name=f"w={w:g}, all sessions",
        )
        raw = self._model.detector(vocabulary, fitting.network).score(given.history, given.key)
        return _Whole(fitting, reduce(raw, given.key, given.session, len(once.sessions)).take(once.index))

    def trial(self, w: float, outcomes: Sequence[_Outcome], whole: "_Whole") -> Trial:
        """Judge one w by the sessions held out so far; g is the settings' where they fix it."""
        raw = _joined(outcomes, whole)[1].session
        step = 1.0 if self.settings.rule == "rank" else NATS
        levels = tuple(np.arange(0.0, self._unknown + step, step).tolist())
        rates = tuple(float((raw >= level).mean()) for level in levels)
        # A key that the others lack rings at any g; waiting for a g that spares it would give away all the rest.
        unavoidable = float((raw >= self._unknown).mean())
        allowed = self.settings.false_alarm_rate + unavoidable
        g = self.settings.g or next(g for g, rate in zip(levels[1:], rates[1:], strict=True) if rate <= allowed)
        early = np.concatenate([outcome.early for outcome in outcomes])
        count = np.concatenate([outcome.count for outcome in outcomes])
        return Trial(
            w=w,
            g=g,
            sessions=len(raw),
            levels=levels,
            rates=rates,
            unavoidable=unavoidable,
            early_end=float(count[early >= g].sum() / max(1, count.sum())),
            share=float(np.mean([outcome.share for outcome in outcomes])),
        )


def _choose(holdout: _Holdout) -> Choice:
    """Per w the least g that keeps to the rate of false alarms; then the w that lets the fewest keys pass.

    By rank the least g rings on the most of what did not happen. Where two w need the same g, and by surprisal, the
    better one is that which rings more often when a held-out session is cut short: one key decides there alone.
    """
    numbers = range(len(holdout.splits))
    screened, others = numbers[: holdout.settings.screened], numbers[holdout.settings.screened :]
    powers = holdout.settings.weight_powers
    outcomes = {w: [holdout.outcome(w, number) for number in screened] for w in powers}
    wholes = {w: holdout.whole(w, outcomes[w]) for w in powers}
    trials = {w: holdout.trial(w, outcomes[w], wholes[w]) for w in powers}
    by_rank = holdout.settings.rule == "rank"
    best = min(powers, key=lambda w: (trials[w].g if by_rank else 0.0, -trials[w].early_end))
    outcomes[best].extend(holdout.outcome(best, number) for number in others)
    whole = wholes[best]
    trials[best] = holdout.trial(best, outcomes[best], whole)
    heldout, raws = _joined(outcomes[best], whole)
    return Choice(best, trials[best].g, trials[best].share, tuple(trials.values()), heldout, raws, whole.fitting)


def _joined(outcomes: Sequence[_Outcome], whole: _Whole) -> tuple[Int64, SessionRaws]:
    """Held-out sessions in ascending order, int64 [m], and the larger of their raw outputs held out and under
    ``whole``."""
    held = np.concatenate([outcome.held for outcome in outcomes])
    raws = SessionRaws(
        np.concatenate([outcome.raws.events for outcome in outcomes]),
        np.concatenate([outcome.raws.end for outcome in outcomes]),
    )
    order = np.argsort(held)
    held, raws, used = held[order], raws.take(order), whole.raws.take(held[order])
    return held, SessionRaws(np.maximum(raws.events, used.events), np.maximum(raws.end, used.end))
