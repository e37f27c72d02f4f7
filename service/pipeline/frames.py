"""Timeframes in the pipeline: each batch is counted, and frames are closed in the background.

Owns when. One replica at a time closes the frames of a source, under a lease. Does not know how frames are stored, nor
what makes one strange. A frame is reported as a closed session is: started at its start, last seen at its end.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from models.autolog.frames import Counting
from models.autolog.judge import FrameJudge
from models.judging import judge_frames
from models.record import Records
from models.rules import Rules
from service.pipeline.live import LiveSource
from service.pipeline.report import Reporter
from service.pipeline.rounds import Rounds
from service.pipeline.silence import Hearing
from service.state.frames import Round, StoredFrames

JudgeOf = Callable[[], FrameJudge | None]
"""What the live version judges timeframes by; None where it does not."""
RulesOf = Callable[[], Rules]
"""The rules of the source as they are now."""


class FrameCounting:
    """Counts the batches of one source; the caller holds the source's lock."""

    def __init__(self, live: LiveSource, *, frames: StoredFrames, judge_of: JudgeOf, executor: Executor) -> None:
        self._live = live
        self._frames = frames
        self._judge_of = judge_of
        self._executor = executor
        self._counting: tuple[FrameJudge, Counting] | None = None

    async def count(self, records: Records, prior_max: float, batch_id: str | None) -> int:
        """Count a batch, where timeframes are judged at all; how many of its records were late though their frame was
        not over by the watermark of the batch (the others are behind that, as every late line is): the wall clock of
        a silence, or another batch, had closed it.

        ``prior_max`` is the largest time in seconds before the batch (-inf: none). Raises StateError where Redis is
        away; a retry under the same batch id counts nothing twice.
        """
        judge = self._judge_of()
        if judge is None:
            return 0
        # Terms of messages are remembered from batch to batch, for as long as one version judges.
        if self._counting is None or self._counting[0] is not judge:
            self._counting = judge, Counting(judge.detector)
        tally = await asyncio.get_running_loop().run_in_executor(
            self._executor, self._counting[1].tally, records, prior_max, self._live.settings.lateness_s
        )
        late = await self._frames.count(self._live.name, judge.detector.chunk_s, tally, batch_id)
        return late - tally.late


class FrameCloser:
    """Closes the timeframes of one source."""

    def __init__(
        self,
        live: LiveSource,
        *,
        frames: StoredFrames,
        judge_of: JudgeOf,
        rules_of: RulesOf,
        reporter: Reporter,
        executor: Executor,
        clock: Callable[[], float],
        hearing: Hearing,
    ) -> None:
        self._live = live
        self._frames = frames
        self._judge_of = judge_of
        self._rules_of = rules_of
        self._reporter = reporter
        self._executor = executor
        self._clock = clock
        self._hearing = hearing
        self._rounds = Rounds(live, frames, judge_of, lambda judge: judge.detector.chunk_s)

    async def sweep(self) -> int:
        """Close what is due and report it; how many frames closed (0 where another replica holds the lease, or the live
        version judges none)."""
        live = self._live
        now = self._clock()
        mark = (await self._hearing.heard(now)).watermark(now, live.settings.lateness_s)
        return await self._rounds.run(mark, partial(self._close, now))

    async def _close(self, now: float, judge: FrameJudge, found: Round) -> int:
        live, chunk_s = self._live, judge.detector.chunk_s
        frames = await self._frames.close(live.name, chunk_s, found)
        work = partial(judge_frames, live.name, judge, frames, self._rules_of(), now)
        judged = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        await self._reporter.report(live, judged, lambda _: None, f"frames-{found.id}", now)
        await self._frames.finish(live.name, chunk_s, found, frames)
        return len(frames)
