"""What a judged batch leaves behind: peaks in the sessions, incidents, verdicts of session ends, numbers.

Owns what is stored of each. Effects are keyed by the batch id, so that a retry repeats none.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import orjson
from redis.asyncio import Redis

from models.judging import Judged
from models.verdict import Finding, wording
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.state import incidents, verdicts
from service.state.windows import Peak, StoredSessions

SHOWN_LINE = 2_000
"""Characters of a line that an incident keeps."""

LineOf = Callable[[int], str | None]
"""Message of the record behind a row."""


class Reporter:
    """Writes the effects of judged batches."""

    def __init__(self, redis: Redis, sessions: StoredSessions, metrics: Metrics) -> None:
        self._redis = redis
        self._sessions = sessions
        self._metrics = metrics

    async def report(self, live: LiveSource, judged: Judged, line_of: LineOf, batch_id: str | None, now: float) -> None:
        """Store what ``judged`` came to. Raises StateError where Redis is away."""
        effects = [
            incidents.Effect(f.verdict["incident"] or "", _body(live, f, line_of), f.verdict["score"], f.time)
            for f in judged.findings
        ]
        ends = [
            orjson.dumps(
                {
                    **verdict,
                    "source": live.name,
                    "started": closing.state.started,
                    "last": closing.state.last,
                    "events": closing.state.n,
                    "version": live.version,
                }
            )
            for verdict, closing in zip(judged.ends, judged.closings, strict=True)
        ]
        peaks = [Peak(p.session, p.started, p.member, p.raw) for p in judged.peaks]
        _, counts, _ = await asyncio.gather(
            self._sessions.raise_peaks(live.name, live.settings, peaks),
            incidents.apply(self._redis, live.name, effects, now, batch_id),
            verdicts.append(self._redis, live.name, ends, now, batch_id),
        )
        self._count(live, judged, counts)

    def _count(self, live: LiveSource, judged: Judged, sightings: list[int]) -> None:
        name = live.name
        quiet = len(judged.lines) + len(judged.ends) - len(judged.findings)
        self._metrics.verdicts.labels(name, "none", "false").inc(quiet)
        leading = [finding.verdict["reasons"][0]["detector"] for finding in judged.findings]
        for detector, number in Counter(leading).items():
            self._metrics.verdicts.labels(name, detector, "true").inc(number)
        new = [detector for detector, seen in zip(leading, sightings, strict=True) if seen == 1]
        for detector, number in Counter(new).items():
            self._metrics.incidents.labels(name, detector).inc(number)
        if live.judge is not None:
            for detector, cache in live.judge.caches.items():
                hits, misses = cache.take_counts()
                self._metrics.cache_hits.labels(detector).inc(hits)
                self._metrics.cache_misses.labels(detector).inc(misses)


def _body(live: LiveSource, finding: Finding, line_of: LineOf) -> bytes:
    """What an incident keeps of its first verdict: enough to understand it without the log at hand."""
    words = wording(live.text_of)
    verdict = finding.verdict
    line = None if finding.row is None or verdict["kind"] != "line" else line_of(finding.row)
    return orjson.dumps(
        {
            "source": live.name,
            "session": verdict["session"],
            "kind": verdict["kind"],
            "cause": finding.cause,
            "detector": verdict["reasons"][0]["detector"],
            "template_id": verdict["template_id"],
            "template": verdict["template"],
            "line": None if line is None else line[:SHOWN_LINE],
            "window": [{"template_id": key, "template": words(key)} for key in finding.window],
            "reasons": verdict["reasons"],
            "session_started": finding.started,
            "version": live.version,
        }
    )
