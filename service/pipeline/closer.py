"""Closes sessions that went silent, in the background: an append only looks at the sessions that it touches.

Owns when to sweep. One replica at a time does it for a source, under a lease.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from uuid import uuid4

from redis.asyncio import Redis

from models.judging import Judged, judge_batch
from models.parser import Events
from models.rules import Rules
from models.sessions import Closing
from models.windows import Windows
from service.drift.watch import DriftWatch
from service.incidents.causes import in_every_scope
from service.pipeline.live import LiveSource
from service.pipeline.report import Reporter
from service.pipeline.seen import Watch, nobody, observed
from service.pipeline.silence import Hearing
from service.state import keys, rules, sweeps
from service.state.windows import BatchOver, StoredSessions


class Closer:
    """Sweeps the sessions of one source."""

    def __init__(
        self,
        live: LiveSource,
        *,
        redis: Redis,
        sessions: StoredSessions,
        reporter: Reporter,
        drift: DriftWatch,
        executor: Executor,
        clock: Callable[[], float],
        hearing: Hearing,
        watch: Watch = nobody,
    ) -> None:
        self._live = live
        self._watch = watch
        self._redis = redis
        self._sessions = sessions
        self._reporter = reporter
        self._drift = drift
        self._executor = executor
        self._clock = clock
        self._hearing = hearing
        self._token = uuid4().hex
        # True at first: a process that ended here may have closed sessions and not reported them.
        self._unreported = True

    async def sweep(self) -> int:
        """Close what is due and report it; how many sessions closed (0 where another replica holds the lease)."""
        live = self._live
        now = self._clock()
        # A source that nothing comes into, or whose timeframes are closed here, learns of new rules as well.
        live.rules_of(await rules.read(self._redis, live.name, live.given))
        mark = (await self._hearing.heard(now)).watermark(now, live.settings.lateness_s)
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
            number = await sweeps.number(self._redis, live.name)
            drawer = keys.drawer(number)  # a sweep a second, or fewer
            batch_id, pin = f"sweep-{number}", keys.sweep_rules(live.name, number)
            try:
                closings = await self._sessions.sweep(live.name, live.settings, mark, batch_id, drawer=drawer)
            except BatchOver:  # this replica stood still beyond its lease: another one closed and reported them
                self._unreported = False
                return 0
            given = await rules.read(self._redis, live.name, live.given, pin)
            judge = partial(self._judge, closings, live.rules_of(given), now)
            judged = await asyncio.get_running_loop().run_in_executor(self._executor, judge)
            await self._reporter.report(live, judged, lambda _: None, batch_id, now)
            self._drift.add_ends(live, judged, now)
            if live.judge is not None:
                nothing = observed(live.judge, Events.none(), Windows.none(live.settings.width), None)
                self._watch(live.seen(live.judge, nothing, judged, live.rules_of(given), now))
            await sweeps.done(self._redis, live.name, number)
            self._unreported = False
            await self._sessions.forget(live.name, batch_id, drawer)
            await rules.unpin(self._redis, pin)
        return len(closings)

    def _judge(self, closings: list[Closing], silent: Rules, now: float) -> Judged:
        live = self._live
        events, windows = Events.none(), Windows.none(live.settings.width)
        judged = judge_batch(
            live.name, live.judge, live.settings, events, windows, closings, live.text_of, None, silent, now
        )
        return judged if live.judge is None else in_every_scope(judged, live.judge, events, windows)
