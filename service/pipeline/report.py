"""What a judged batch leaves behind: peaks in sessions, incidents, verdicts of session ends, hits of rules, numbers.

Owns what is stored of each. Effects are keyed by the batch id, so that a retry repeats none.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson
from redis.asyncio import Redis

from models.finding import Finding, wording
from models.judging import Judged
from service.incidents.causes import causes
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.state import incidents, rules, verdicts
from service.state.windows import Peak, StoredSessions

SHOWN_LINE = 2_000
"""Characters of a line that an incident keeps."""

LineOf = Callable[[int], str | None]
"""Message of the record behind a row."""


@dataclass(slots=True)
class Own:
    """What is one request's of a judged batch: findings, which of the ends, and how many verdicts each rule silenced.
    Its effects happen once for its ``batch_id``."""

    batch_id: str | None
    findings: list[Finding] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    silenced: Counter[str] = field(default_factory=Counter)

    @classmethod
    def whole(cls, batch_id: str | None, judged: Judged) -> "Own":
        """All of a judged batch."""
        return cls(batch_id, judged.findings, list(range(len(judged.ends))), _silenced(judged))


class Reporter:
    """Writes the effects of judged batches."""

    def __init__(self, redis: Redis, sessions: StoredSessions, metrics: Metrics) -> None:
        self._redis = redis
        self._sessions = sessions
        self._metrics = metrics

    async def report(
        self,
        live: LiveSource,
        judged: Judged,
        line_of: LineOf,
        batch_id: str | None,
        now: float,
        stored_to: float = -math.inf,
        *,
        backfill: bool = False,
    ) -> None:
        """Store what ``judged`` came to; ``stored_to`` is the largest event time of an appended batch, up to which
        silent sessions may close once their peaks are kept. Nobody is told of what comes of a ``backfill``, now or when
        its sessions close. Raises StateError where Redis is away."""
        own = [Own.whole(batch_id, judged)]
        await self.report_each(live, judged, own, line_of, now, stored_to, backfill=backfill)

    async def report_each(
        self,
        live: LiveSource,
        judged: Judged,
        own: Sequence[Own],
        line_of: LineOf,
        now: float,
        stored_to: float,
        *,
        backfill: bool = False,
    ) -> None:
        """``report`` for several requests that were judged together, each with what is its ``own`` of it."""
        if backfill:
            # Before the sessions may close: whoever closes them reports them. No clock of a log goes into the future.
            await incidents.backfill(self._redis, live.name, min(stored_to, now))
        peaks = [Peak(p.session, p.started, p.member, p.raw) for p in judged.peaks]
        counts: list[int] = []
        some = [part for part in own if part.findings or part.ends or part.silenced]
        if len(some) == 1:
            _, counts = await asyncio.gather(
                self._keep_peaks(live, peaks, stored_to), self._keep(live, judged, some[0], line_of, now, backfill)
            )
        else:
            await self._keep_peaks(live, peaks, stored_to)
            for part in some:
                counts += await self._keep(live, judged, part, line_of, now, backfill)
        findings = [finding for part in own for finding in part.findings]
        self._count(live, judged, findings, counts)
        self._metrics.rules.labels(live.name).set(len(live.given.rules))

    async def _keep(
        self, live: LiveSource, judged: Judged, own: Own, line_of: LineOf, now: float, backfill: bool
    ) -> list[int]:
        """Store one request's findings, ends and hits; how often each finding's incident was seen by then."""
        effects = [
            incidents.Effect(
                f.verdict["incident"] or "", _body(live, f, line_of), f.verdict["score"], f.time,
                tuple(cause.encode() for cause in causes(f)), incidents.NEVER if backfill else _told(f),
            )
            for f in own.findings
        ]  # fmt: skip
        ends = [
            orjson.dumps(
                {
                    **judged.ends[at],
                    "source": live.name,
                    "started": judged.closings[at].state.started,
                    "last": judged.closings[at].state.last,
                    "events": judged.closings[at].state.n,
                    "version": live.version,
                }
            )
            for at in own.ends
        ]
        counts, _, hit = await asyncio.gather(
            incidents.apply(self._redis, live.name, effects, now, own.batch_id),
            verdicts.append(self._redis, live.name, ends, now, own.batch_id),
            rules.hit(self._redis, live.name, own.silenced, own.batch_id),
        )
        if hit:
            self._metrics.silenced.labels(live.name).inc(sum(own.silenced.values()))
        return counts

    async def _keep_peaks(self, live: LiveSource, peaks: list[Peak], stored_to: float) -> None:
        await self._sessions.raise_peaks(live.name, live.settings, peaks)
        live.stored_to = max(live.stored_to, stored_to)

    def _count(self, live: LiveSource, judged: Judged, findings: Sequence[Finding], sightings: list[int]) -> None:
        name = live.name
        quiet = len(judged.lines) + len(judged.ends) - len(judged.findings)
        self._metrics.verdicts.labels(name, "none", "false").inc(quiet)
        leading = [finding.verdict["reasons"][0]["detector"] for finding in findings]
        for detector, number in Counter(leading).items():
            self._metrics.verdicts.labels(name, detector, "true").inc(number)
        new = [detector for detector, seen in zip(leading, sightings, strict=True) if seen == 1]
        for detector, number in Counter(new).items():
            self._metrics.incidents.labels(name, detector).inc(number)
        for end in judged.ends:
            if end["state"] != "learning":
                self._metrics.session_score.labels(name).observe(end["score"])
        if live.judge is not None:
            for member in live.judge.events:
                hits, misses = member.take_counts()
                self._metrics.cache_hits.labels(member.name).inc(hits)
                self._metrics.cache_misses.labels(member.name).inc(misses)


def _told(finding: Finding) -> float:
    """Of a line people are always told; of what ended, where it is later than what came in as history. A timeframe that
    began by then has history in it."""
    kind = finding.verdict["kind"]
    if kind == "line":
        return incidents.ALWAYS
    return finding.started if kind == "timeframe" else finding.time


def _silenced(judged: Judged) -> Counter[str]:
    """How many verdicts each rule silenced."""
    if judged.rows is None or judged.closed is None:
        return Counter(end["rule"] for end in judged.ends if "rule" in end)
    return Counter([*judged.rows.silenced.values(), *judged.closed.silenced.values()])


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
            "diagnosis": finding.diagnosis,
            "lessons": [lesson.to_dict() for lesson in finding.lessons],
            "session_started": finding.started,
            "events": finding.events,
            "version": live.version,
            "tree": live.tree.tree_id,
        }
    )
