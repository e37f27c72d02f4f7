"""One source's drift from the training of one version, as far as this replica sees the source.

Owns what is counted and when there is enough of it. Does not know thresholds, metrics or Redis.
"""

from dataclasses import dataclass

import numpy as np

from models.drift.reference import Reference, TemplateBins
from models.drift.window import ENOUGH_SESSIONS, Window
from models.sessions import NO_KEY, Float64, Int64
from service.pipeline.live import LiveSource


@dataclass(frozen=True, slots=True)
class Figures:
    """What can be said by now. ``lines`` and ``sessions`` are those behind it; PSI None where there is not enough, or
    where the bundle does not say what training looked like. ``usual_...``: the farthest that a stretch of training lay
    from the rest of it."""

    lines: int
    unmatched_share: float
    template_psi: float | None
    sessions: int
    score_psi: float | None
    usual_template_psi: float
    usual_score_psi: float


class Meter:
    """Counts what comes in for one version of a source. ``least``: lines before anything is said."""

    def __init__(self, live: LiveSource, least: int) -> None:
        self.version = live.version
        self._least = least
        self._reference: Reference | None = live.reference
        self._usual = (0.0, 0.0)
        if self._reference is not None:
            self._usual = (self._reference.usual_templates, self._reference.usual_scores)
        known = live.judge.known if live.judge is not None else frozenset[int]()
        self._templates = None if self._reference is None else TemplateBins(self._reference, known)
        bins = 0 if self._templates is None else len(self._templates.expected)
        # Unmatched lines, then events by bin.
        self._lines = Window(1 + bins, least)
        self._scores = Window(0 if self._reference is None else len(self._reference.shares), ENOUGH_SESSIONS)

    def add_lines(self, keys: Int64, lines: int, unmatched: int, now: float) -> None:
        """A batch of ``lines`` records of which ``unmatched`` met no template, and the template ids of its events,
        int64 [n] (``NO_KEY`` of end records is left out), at ``now`` seconds."""
        counts = [np.array([unmatched], dtype=np.int64)]
        if self._templates is not None:
            counts.append(self._templates.count(keys[keys != NO_KEY]))
        self._lines.add(np.concatenate(counts), lines, now)

    def add_ends(self, evidence: Float64, now: float) -> None:
        """Evidence of sessions that ended, float64 [n], at ``now`` seconds."""
        if self._reference is not None and len(evidence):
            self._scores.add(self._reference.count_scores(evidence), len(evidence), now)

    def figures(self, now: float) -> Figures | None:
        """What can be said at ``now`` seconds; None while too few lines have come."""
        self._lines.forget(now)
        self._scores.forget(now)
        if self._lines.number < self._least:
            return None
        unmatched, bins = int(self._lines.counts[0]), self._lines.counts[1:]
        enough = self._scores.number >= ENOUGH_SESSIONS
        return Figures(
            self._lines.number,
            unmatched / self._lines.number,
            self._templates.psi(bins) if self._templates is not None and bins.any() else None,
            self._scores.number,
            self._reference.score_psi(self._scores.counts) if self._reference is not None and enough else None,
            *self._usual,
        )
