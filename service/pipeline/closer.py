"""Closes sessions that went silent, in the background: an append only looks at the sessions that it touches.

Owns when to sweep. One replica at a time does it for a source, under a lease.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from uuid import uuid4

from redis.asyncio import Redis

from models.judging import Judged, judge_batch
from models.parser import Events
from models.sessions import Closing, Windows
from service.pipeline.live import LiveSource
from service.pipeline.report import Reporter
from service.state import sweeps, watermark
from service.state.windows import StoredSessions


class Closer:
    """Sweeps the sessions of one source."""

    def __init__(
        self,
        live: LiveSource,
        *,
        redis: Redis,
        sessions: StoredSessions,
        reporter: Reporter,
        executor: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._redis = redis
        self._sessions = sessions
        self._reporter = reporter
        self._executor = executor
        self._clock = clock
        self._token = uuid4().hex
        # True at first: a process that ended here may have closed sessions and not reported them.
        self._unreported = True

    async def sweep(self) -> int:
        """Close what is due and report it; how many sessions closed (0 where another replica holds the lease)."""
        live = self._live
        now = self._clock()
        mark = (await watermark.read(self._redis, live.name)).watermark(now, live.settings.lateness_s)
        closed = 0
        while self._unreported or await self._due(mark):
            if not await sweeps.take_lease(self._redis, live.name, self._token):
                break
            closed += await self._sweep_once(mark, now)
        return closed

    async def _due(self, mark: float) -> bool:
        oldest = await self._sessions.oldest(self._live.name)
        return oldest is not None and oldest + self._live.settings.idle_s < mark

    async def _sweep_once(self, mark: float, now: float) -> int:
        live = self._live
        self._unreported = True
        async with live.lock:
            batch_id = f"sweep-{await sweeps.number(self._redis, live.name)}"
            closings = await self._sessions.sweep(live.name, live.settings, mark, batch_id)
            judged = await asyncio.get_running_loop().run_in_executor(self._executor, self._judge, closings)
            await self._reporter.report(live, judged, lambda _: None, batch_id, now)
            await sweeps.done(self._redis, live.name)
            self._unreported = False
            await self._sessions.forget(live.name, batch_id)
        return len(closings)

    def _judge(self, closings: list[Closing]) -> Judged:
        live = self._live
        return judge_batch(
            live.name,
            live.judge,
            live.settings,
            Events.none(),
            Windows.none(live.settings.tail),
            closings,
            live.text_of,
        )
