"""Rates in the pipeline: each batch is counted, and buckets are judged in the background once they are over.

Owns when. One replica at a time closes the buckets of a source, under a lease. Does not know how buckets are stored,
nor what rings.

A source that goes silent rings by the wall clock, which moves its watermark on. Two silences are none of the source's:
that of a log of old days which came to its end, and that of Tocsin itself, which ends when it starts.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from models.rate.counting import tally
from models.rate.judge import RateJudge
from models.rules import Rules
from models.sessions import Float64, Int64
from service.pipeline.batch import AT_ONCE
from service.pipeline.live import LiveSource
from service.pipeline.report import Reporter
from service.pipeline.rounds import Rounds
from service.pipeline.silence import Hearing
from service.state.frames import Round
from service.state.rates import StoredRates
from service.state.watermark import Clock

JudgeOf = Callable[[], RateJudge | None]
"""What the live version judges rates by; None where it does not."""
RulesOf = Callable[[], Rules]
"""The rules of the source as they are now."""

PRESENT_S = 3_600.0
"""Lines are of the present where the newest is not older than this when it comes in."""


class RateCounting:
    """Counts the batches of one source; the caller holds the source's lock."""

    def __init__(self, live: LiveSource, *, rates: StoredRates, judge_of: JudgeOf, executor: Executor) -> None:
        self._live = live
        self._rates = rates
        self._judge_of = judge_of
        self._executor = executor

    async def count(self, time: Float64, ids: Int64, prior_max: float, batch_id: str | None) -> None:
        """Count a batch of records by ``time`` float64 [n] (seconds) and template ``ids`` int64 [n], where rates are
        judged at all; ``prior_max`` is the largest time before it (-inf: none).

        Raises StateError where Redis is away; a retry under the same batch id counts nothing twice.
        """
        judge = self._judge_of()
        if judge is None:
            return
        bucket_s, lateness_s = judge.detector.bucket_s, self._live.settings.lateness_s
        work = partial(tally, time, ids, bucket_s, prior_max, lateness_s)
        at_once = len(time) <= AT_ONCE
        counted = work() if at_once else await asyncio.get_running_loop().run_in_executor(self._executor, work)
        await self._rates.count(self._live.name, bucket_s, counted, batch_id)


class RateCloser:
    """Judges the buckets of one source."""

    def __init__(
        self,
        live: LiveSource,
        *,
        rates: StoredRates,
        judge_of: JudgeOf,
        rules_of: RulesOf,
        reporter: Reporter,
        executor: Executor,
        clock: Callable[[], float],
        hearing: Hearing,
    ) -> None:
        self._live = live
        self._rates = rates
        self._judge_of = judge_of
        self._rules_of = rules_of
        self._reporter = reporter
        self._executor = executor
        self._clock = clock
        self._hearing = hearing
        self._rounds = Rounds(live, rates, judge_of, lambda judge: judge.detector.bucket_s)
        self._started = clock()
        self._judged: float | None = None

    async def sweep(self) -> int:
        """Judge what is over and report it; how many buckets closed (0 where another replica holds the lease, or the
        live version judges none)."""
        await self._forget_others()
        if self._judge_of() is None:
            return 0
        now = self._clock()
        mark = self._watermark(await self._hearing.heard(now), now)
        return await self._rounds.run(mark, partial(self._close, now))

    def _watermark(self, clock: Clock, now: float) -> float:
        """Up to when all has come, as far as silence tells."""
        lateness_s = self._live.settings.lateness_s
        if clock.last_input - clock.largest > PRESENT_S:
            return clock.largest - lateness_s
        # Who ships logs waits for Tocsin to answer again, and then sends what it missed.
        return replace(clock, last_input=max(clock.last_input, self._started)).watermark(now, lateness_s)

    async def _forget_others(self) -> None:
        """Drop what a version counted that is not live any more: the pause since is no silence."""
        judge = self._judge_of()
        bucket_s = None if judge is None else judge.detector.bucket_s
        if self._judged is not None and bucket_s != self._judged:
            await self._rates.reset(self._live.name, self._judged)
        self._judged = bucket_s

    async def _close(self, now: float, judge: RateJudge, found: Round) -> int:
        live, bucket_s = self._live, judge.detector.bucket_s
        frames = await self._rates.close(live.name, bucket_s, found)
        before = await self._rates.episodes(live.name)
        work = partial(judge.judge, live.name, frames, before, live.text_of, self._rules_of(), now)
        judged, after = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        await self._reporter.report(live, judged, lambda _: None, f"rates-{found.id}", now)
        await self._rates.finish(live.name, bucket_s, found, frames, after)
        return len(frames)
