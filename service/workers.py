"""Who works for each source in this process: one worker for what comes in, three closers for what is over.

Owns their making, and the round that all closers go on. Does not know when that is (``service.core``).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from redis.asyncio import Redis

from models.autolog.judge import FrameJudge
from models.rate.judge import RateJudge
from service.drift.watch import DriftWatch
from service.metrics import Metrics
from service.pipeline.closer import Closer
from service.pipeline.frames import FrameCloser, FrameCounting
from service.pipeline.learning import Learning
from service.pipeline.live import LiveSource
from service.pipeline.process import BatchProcess, Follow
from service.pipeline.rates import RateCloser, RateCounting
from service.pipeline.report import Reporter
from service.pipeline.seen import Watch
from service.pipeline.silence import Hearing
from service.pipeline.templates import Templates
from service.pipeline.worker import Worker
from service.settings import Settings
from service.state.frames import StoredFrames
from service.state.rates import StoredRates
from service.state.windows import StoredSessions


class Workers:
    """The workers and closers of every source that is served here."""

    def __init__(
        self,
        settings: Settings,
        *,
        redis: Redis,
        sessions: StoredSessions,
        templates: Templates,
        reporter: Reporter,
        follow: Follow,
        drift: DriftWatch,
        learning: Learning,
        watch: Watch,
        metrics: Metrics,
        executor: Executor,
        clock: Callable[[], float],
        ticks: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._redis = redis
        self._sessions = sessions
        self._frames = StoredFrames(redis)
        self._rates = StoredRates(redis)
        self._templates = templates
        self._reporter = reporter
        self._follow = follow
        self._drift = drift
        self._learning = learning
        self._watch = watch
        self._metrics = metrics
        self._executor = executor
        self._clock = clock
        self._ticks = ticks
        self._workers: dict[str, Worker] = {}
        self._retired: list[Worker] = []
        """Of sources that were configured anew: they answer what they took."""
        self._retiring: set[asyncio.Task[None]] = set()
        self.closers: dict[str, tuple[Closer, FrameCloser, RateCloser]] = {}

    def __getitem__(self, source: str) -> Worker:
        return self._workers[source]

    def get(self, source: str) -> Worker | None:
        """The worker of a source, None where it is not served here yet."""
        return self._workers.get(source)

    def serve(self, live: LiveSource) -> None:
        """Give a newly loaded source its worker and closers (a reconfigured one: new ones)."""

        def frame_judge() -> FrameJudge | None:
            return live.frame_judge

        def rate_judge() -> RateJudge | None:
            return live.rate_judge

        process = BatchProcess(
            live,
            redis=self._redis,
            sessions=self._sessions,
            templates=self._templates,
            reporter=self._reporter,
            follow=self._follow,
            frames=FrameCounting(live, frames=self._frames, judge_of=frame_judge, executor=self._executor),
            rates=RateCounting(live, rates=self._rates, judge_of=rate_judge, executor=self._executor),
            drift=self._drift,
            learning=self._learning,
            metrics=self._metrics,
            executor=self._executor,
            watch=self._watch,
        )
        settings, gauge = self._settings, self._metrics.queue_lines.labels(live.name)
        replaced = self._workers.get(live.name)
        if replaced is not None:
            self._retired.append(replaced)
            self._retiring.add(asyncio.create_task(replaced.drain()))
        self._workers[live.name] = Worker(process.run, settings.batch_lines, settings.queue_lines, gauge.set)
        hearing = Hearing(self._redis, live.name, self._ticks)
        self.closers[live.name] = (
            Closer(
                live,
                redis=self._redis,
                sessions=self._sessions,
                reporter=self._reporter,
                drift=self._drift,
                executor=self._executor,
                clock=self._clock,
                hearing=hearing,
                watch=self._watch,
            ),
            FrameCloser(
                live,
                frames=self._frames,
                judge_of=frame_judge,
                rules_of=lambda: live.rules,
                reporter=self._reporter,
                executor=self._executor,
                clock=self._clock,
                hearing=hearing,
            ),
            RateCloser(
                live,
                rates=self._rates,
                judge_of=rate_judge,
                rules_of=lambda: live.rules,
                reporter=self._reporter,
                executor=self._executor,
                clock=self._clock,
                hearing=hearing,
            ),
        )

    async def sweep(self) -> int:
        """Close what is due in every source, sessions before timeframes and rates; how many closed. Raises StateError
        where Redis is away."""
        kinds = zip(*self.closers.values(), strict=True)
        return sum([await closer.sweep() for closers in kinds for closer in closers])

    async def drain(self, timeout_s: float) -> set[asyncio.Task[None]]:
        """Answer what was taken, for at most ``timeout_s``, then give up what waits; tasks that are left to cancel."""
        workers = [*self._workers.values(), *self._retired]
        late: set[asyncio.Task[None]] = set()
        if workers:
            _, late = await asyncio.wait([asyncio.create_task(w.drain()) for w in workers], timeout=timeout_s)
        for worker in workers if late else []:
            worker.cancel()
        return late | self._retiring
