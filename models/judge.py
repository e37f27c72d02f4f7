"""From detectors' raw outputs to verdicts: one evidence, one threshold.

Owns the reduction of event members to a session (their maximum), the cache of raw outputs, and which member led. A row
rings where its own evidence reaches the threshold; as no member can take evidence away, the session's final evidence
would reach it too. A closed session rings where all members together do. So a session is anomalous exactly if one of
its verdicts is, with one threshold and one alert budget.

Does not know templates' texts, sessions' storage, nor incidents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from models.detector import EventDetector, SessionDetector
from models.ensemble import Ensemble
from models.sessions import Bool, Closing, Float64, Int64
from models.vocabulary import END

CACHE_ROWS = 200_000
"""Raw outputs kept per detector; the whole cache is dropped when full, which costs one cold batch."""

REASONS_KEPT = 5_000
"""Explanations kept; dropped whole when full."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdicts of k rows or closings, as columns.

    ``raws`` member -> float64 [k]; ``evidence`` float64 [k], at least 0; ``score`` float64 [k] in 0..1; ``anomalous``
    bool [k].
    """

    raws: dict[str, Float64]
    evidence: Float64
    score: Float64
    anomalous: Bool


@dataclass(frozen=True, slots=True)
class Reason:
    """One member's part in an anomalous verdict: its raw output, calibrated score, share of the evidence, and why."""

    detector: str
    raw: float
    score: float
    share: float
    because: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peak:
    """An event member's raw output worth remembering until its session closes."""

    row: int
    member: int
    raw: float


class RawCache:
    """Raw outputs of one event detector by (history, key). Bounded; results never depend on what is in it."""

    def __init__(self, detector: EventDetector, capacity: int = CACHE_ROWS) -> None:
        self.detector = detector
        self.hits = 0
        self.misses = 0
        self._capacity = capacity
        self._raw: dict[bytes, float] = {}

    def take_counts(self) -> tuple[int, int]:
        """Hits and misses since the last call."""
        counts = self.hits, self.misses
        self.hits = self.misses = 0
        return counts

    def score(self, history: Int64, keys: Int64) -> Float64:
        """As ``detector.score`` on ``history`` int64 [k, h] and ``keys`` int64 [k]."""
        if len(keys) == 0:
            return np.empty(0, dtype=np.float64)
        window = self.detector.window
        if window == 0:
            # No network behind it: asking is cheaper than remembering.
            return self.detector.score(history[:, :0], keys)
        cells = np.empty((len(keys), window + 1), dtype=np.int32)
        cells[:, :window] = history[:, history.shape[1] - window :]
        cells[:, window] = keys
        names: list[bytes] = cells.view(f"V{cells.shape[1] * 4}").ravel().tolist()
        known = self._raw
        raws = list(map(known.get, names))
        if None not in raws:
            self.hits += len(names)
            return np.array(raws, dtype=np.float64)
        first: dict[bytes, int] = {}
        for i, name in enumerate(names):
            if name not in known and name not in first:
                first[name] = i
        self.misses += len(first)
        self.hits += len(names) - len(first)
        if first:
            if len(known) + len(first) > self._capacity:
                # Dropped whole; what this batch needs of it is scored again with the misses.
                self._raw = known = {}
                first = {name: i for i, name in reversed(list(enumerate(names)))}
            at = np.fromiter(first.values(), dtype=np.int64, count=len(first))
            fresh = self.detector.score(cells[at, :window].astype(np.int64), cells[at, window].astype(np.int64))
            known.update(zip(first, fresh.tolist(), strict=True))
        return np.array([known[name] for name in names], dtype=np.float64)


class Judge:
    """The detectors and the ensemble of one bundle version."""

    def __init__(
        self,
        events: Sequence[EventDetector],
        sessions: Sequence[SessionDetector],
        ensemble: Ensemble,
        known: frozenset[int],
        provider: str = "cpu",
    ) -> None:
        """``known`` holds the template ids of the vocabulary; ``provider`` says where networks run."""
        self.provider = provider
        self.events = tuple(events)
        self.sessions = tuple(sessions)
        self.ensemble = ensemble
        self.known = known
        self.caches = {detector.name: RawCache(detector) for detector in self.events}
        # The same few causes ring again and again; what explains them is worked out once.
        self._row_reasons: dict[bytes, list[Reason]] = {}
        self._end_reasons: dict[tuple[object, ...], list[Reason]] = {}

    def rows(self, history: Int64, keys: Int64) -> Judgement:
        """Judge events: ``history`` int64 [k, h >= every member's window], ``keys`` int64 [k]."""
        return self._judge({name: cache.score(history, keys) for name, cache in self.caches.items()}, len(keys))

    def closings(self, closings: Sequence[Closing], tail: int) -> Judgement:
        """Judge closed sessions; ``tail`` is the length of history that their states keep."""
        raws: dict[str, Float64] = {}
        for member, detector in enumerate(self.events):
            peaks = np.array([closing.peaks.get(member, -np.inf) for closing in closings], dtype=np.float64)
            if detector.judges_end and closings:
                end = self.caches[detector.name].score(end_histories(closings, tail), np.full(len(closings), END))
                peaks = np.maximum(peaks, end)
            raws[detector.name] = peaks
        counts = [closing.state.counts for closing in closings]
        for session_detector in self.sessions:
            raws[session_detector.name] = session_detector.score_counts(counts)
        return self._judge(raws, len(closings))

    def peaks(self, judgement: Judgement) -> list[Peak]:
        """What of the rows' raw outputs could still count when their sessions close."""
        found: list[Peak] = []
        for member, detector in enumerate(self.events):
            raw = judgement.raws[detector.name]
            found.extend(
                Peak(row, member, float(raw[row]))
                for row in np.flatnonzero(self.ensemble.counts(detector.name, raw)).tolist()
            )
        return found

    def row_reasons(self, judgement: Judgement, at: int, history: Int64, key: int) -> list[Reason]:
        """Why row ``at`` rang, the strongest member first; ``history`` int64 [h] and ``key`` are the row's own."""
        about = history.tobytes() + key.to_bytes(8, "little", signed=True)
        reasons = self._row_reasons.get(about)
        if reasons is None:
            reasons = []
            for name, raw, score, share in self._parts(judgement, at):
                detector = self.caches[name].detector
                because = detector.explain(history[len(history) - detector.window :], key)
                reasons.append(Reason(name, raw, score, share, because))
            _remember(self._row_reasons, about, reasons)
        return reasons

    def closing_reasons(self, judgement: Judgement, at: int, closing: Closing, tail: int) -> list[Reason]:
        """Why closed session ``at`` rang, the strongest member first."""
        state = closing.state
        about = (state.tail[-tail:], *sorted(state.counts.items()), *sorted(closing.peaks.items()))
        reasons = self._end_reasons.get(about)
        if reasons is None:
            by_name = {detector.name: detector for detector in self.sessions}
            reasons = []
            for name, raw, score, share in self._parts(judgement, at):
                if name in by_name:
                    because = by_name[name].explain(state.counts)
                else:
                    because = self._explain_peak(name, raw, closing, tail)
                reasons.append(Reason(name, raw, score, share, because))
            _remember(self._end_reasons, about, reasons)
        return reasons

    def _explain_peak(self, name: str, raw: float, closing: Closing, tail: int) -> dict[str, Any]:
        """An event member's part at a session's end: the end itself, or the strangest event before it."""
        detector = self.caches[name].detector
        if detector.judges_end:
            history = end_histories([closing], tail)[0]
            window = history[len(history) - detector.window :]
            if float(detector.score(window[None, :], np.array([END]))[0]) >= raw:
                return detector.explain(window, END)
        return {"at": "an earlier event of this session"}

    def _judge(self, raws: dict[str, Float64], size: int) -> Judgement:
        evidence = self.ensemble.evidence(raws) if raws else np.zeros(size)
        return Judgement(raws, evidence, self.ensemble.score(evidence), evidence >= self.ensemble.threshold)

    def _parts(self, judgement: Judgement, at: int) -> list[tuple[str, float, float, float]]:
        """(member, raw, calibrated score, share of evidence) of the members that took part, the strongest first."""
        raws: Mapping[str, float] = {name: float(raw[at]) for name, raw in judgement.raws.items()}
        parts = self.ensemble.contributions(raws)
        whole = sum(part.evidence for part in parts) or 1.0
        taking = sorted((p for p in parts if p.evidence > 0), key=lambda p: (-p.evidence, p.name))
        return [(part.name, raws[part.name], part.score, part.evidence / whole) for part in taking]


def _remember(known: dict[K, list[Reason]], about: K, reasons: list[Reason]) -> None:
    if len(known) >= REASONS_KEPT:
        known.clear()
    known[about] = reasons


def end_histories(closings: Sequence[Closing], tail: int) -> Int64:
    """The history before each session's end, int64 [k, tail], ``BEFORE_SESSION`` on the left."""
    history = np.full((len(closings), tail), -1, dtype=np.int64)
    for row, closing in enumerate(closings):
        known = closing.state.tail[-tail:]
        if known:
            history[row, tail - len(known) :] = known
    return history
