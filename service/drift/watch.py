"""Watches every source for drift: figures to Prometheus, and a proposal to train again where one passes its threshold.

Owns thresholds and when a proposal is made: past the setting and, for PSI, past what is usual. It never trains,
activates or silences anything: a person or the learner takes the proposal up, or does not. Batches only add counts;
figures are made when Core sweeps.
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict

from prometheus_client import Gauge
from redis.asyncio import Redis

from models.judging import Judged
from models.sessions import Int64
from service.drift.meter import Figures, Meter
from service.exposition import take_away
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.settings import Settings
from service.state import proposals

log = logging.getLogger("tocsin")


class DriftWatch:
    """The drift of each source that this replica serves."""

    def __init__(self, redis: Redis, metrics: Metrics, settings: Settings) -> None:
        self._redis = redis
        self._metrics = metrics
        self._least = settings.drift_lines
        self._unmatched = settings.drift_unmatched
        self._psi = settings.drift_psi
        self._meters: dict[str, Meter] = {}

    def add_lines(self, live: LiveSource, keys: Int64, lines: int, unmatched: int, now: float) -> None:
        """A batch of ``lines`` records of which ``unmatched`` met no template before learning, and the template ids of
        its events, int64 [n]; ``now`` in seconds."""
        self._meter(live).add_lines(keys, lines, unmatched, now)

    def add_ends(self, live: LiveSource, judged: Judged, now: float) -> None:
        """What sessions that ended came to, after feedback rules; ``now`` in seconds."""
        if judged.closed is not None:
            self._meter(live).add_ends(judged.closed.evidence, now)

    async def check(self, sources: Iterable[LiveSource], now: float) -> None:
        """Set the gauges of each source as of ``now`` seconds, and propose to train it again where a threshold is
        passed. Raises StateError."""
        for live in sources:
            figures = self._meter(live).figures(now)
            self._show(live.name, figures)
            if live.version is None:
                continue
            proposal = await proposals.read(self._redis, live.name)
            if proposal is None and figures is not None:
                proposal = await self._propose(live.name, live.version, figures, now)
            self._metrics.retrain_proposed.labels(live.name).set(proposal is not None)

    def _meter(self, live: LiveSource) -> Meter:
        """The counts of the version that is live here: another one starts afresh."""
        meter = self._meters.get(live.name)
        if meter is None or meter.version != live.version:
            meter = self._meters[live.name] = Meter(live, self._least)
        return meter

    def _show(self, source: str, figures: Figures | None) -> None:
        _set(self._metrics.unmatched_share, source, None if figures is None else figures.unmatched_share)
        _set(self._metrics.template_psi, source, None if figures is None else figures.template_psi)
        _set(self._metrics.score_psi, source, None if figures is None else figures.score_psi)

    async def _propose(self, source: str, version: str, figures: Figures, now: float) -> proposals.Proposal | None:
        because = self._because(figures)
        if not because:
            return None
        proposal: proposals.Proposal = {"version": version, "at": now, "because": because, "figures": asdict(figures)}
        if not await proposals.make(self._redis, source, proposal):
            return await proposals.read(self._redis, source)
        log.warning(
            "source %s has drifted from the training of version %s (%s): training it again is proposed",
            source, version, "; ".join(because),
        )  # fmt: skip
        return proposal

    def _because(self, figures: Figures) -> list[str]:
        """Which figures have passed their thresholds, in words."""
        found = []
        if figures.unmatched_share > self._unmatched:
            found.append(f"no template matched {figures.unmatched_share:.1%} of {figures.lines} lines")
        if figures.template_psi is not None and figures.template_psi > max(self._psi, figures.usual_template_psi):
            found.append(f"PSI of templates {figures.template_psi:.2f} over {figures.lines} lines")
        if figures.score_psi is not None and figures.score_psi > max(self._psi, figures.usual_score_psi):
            found.append(f"PSI of scores {figures.score_psi:.2f} over {figures.sessions} sessions")
        return found


def _set(gauge: Gauge, source: str, value: float | None) -> None:
    """Set a gauge, or take it away: what cannot be said is absent and not zero."""
    if value is None:
        take_away(gauge, source)
    else:
        gauge.labels(source).set(value)
