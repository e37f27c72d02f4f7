"""One process of the service, composed: connection, sources, workers, and what HTTP routes call.

Owns start, stop and the background tasks; the only place where adapters are chosen. Redis may be away when it starts:
it keeps trying, and readiness says so.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from models.bundles import BundleStore
from models.errors import StateError
from models.source.config import Source
from service.access.gate import Gate
from service.drift.watch import DriftWatch
from service.errors import Conflict, KeyReused, Unavailable
from service.exposition import exposition
from service.incidents.desk import IncidentDesk
from service.inventory import Inventory
from service.metrics import Metrics
from service.notify.config import NotifyConfig
from service.notify.notifying import Notifying
from service.pipeline.answer import Answer, Wanted
from service.pipeline.learning import Learning
from service.pipeline.live import LiveSource
from service.pipeline.redaction import Redaction
from service.pipeline.report import Reporter
from service.pipeline.request import IngestRequest
from service.pipeline.seen import everybody
from service.pipeline.shadow import Shadows
from service.pipeline.sources import Sources
from service.pipeline.templates import Templates
from service.queue.durable import DurableQueue
from service.settings import Settings
from service.spool.comparison import Comparison
from service.spool.spool import Spool
from service.state import answers, connection, keys, watermark
from service.state.windows import StoredSessions
from service.told import ToldVerdicts
from service.workers import Workers

log = logging.getLogger("tocsin")

SWEEP_EVERY_S = 1.0
CONNECT_EVERY_S = 1.0
CANCEL_EVERY_S = 1.0
BEHIND_THREADS = 1
"""What nobody waits for, such as the spool, never stands before a batch."""
CPU_THREADS = 2
"""Batches of two sources may be parsed or judged at once; polars and ONNX Runtime release the GIL."""


class Core:
    """Everything that a process of the service holds. ``redis_url`` names a running server; ``ticks`` is a clock that
    never jumps."""

    def __init__(
        self,
        settings: Settings,
        redis_url: str,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics(CollectorRegistry())
        self.redis: Redis = connection.open_client(redis_url)
        self.gate = Gate(self.redis, settings, self.metrics, clock)
        self._executor = ThreadPoolExecutor(CPU_THREADS, thread_name_prefix="tocsin")
        self._behind = ThreadPoolExecutor(BEHIND_THREADS, thread_name_prefix="tocsin-behind")
        self.spool = Spool(
            settings.spool,
            settings.spool_rows,
            settings.spool_bytes,
            metrics=self.metrics,
            executor=self._behind,
            clock=clock,
        )
        self.sessions = StoredSessions(self.redis)
        self._redaction = Redaction(settings.redaction, self._executor)
        self._drift = DriftWatch(self.redis, self.metrics, settings)
        templates = Templates(self.redis, self.metrics, self._executor)
        store = BundleStore(settings.bundles)
        self._shadows = Shadows(
            store.load,
            metrics=self.metrics,
            executor=self._behind,
            provider=settings.provider,
            threads=settings.score_threads,
        )
        learning = Learning(self.redis, self.spool.teach, settings.learning_lines)
        self.sources = Sources(
            self.redis,
            store,
            templates,
            self.sessions,
            self.metrics,
            self._executor,
            settings.provider,
            settings.score_threads,
            self._serve,
            clock,
            self._shadows,
            learning,
        )
        self._workers = Workers(
            settings,
            redis=self.redis,
            sessions=self.sessions,
            templates=templates,
            reporter=Reporter(self.redis, self.sessions, self.metrics),
            follow=self.sources.follow,
            drift=self._drift,
            learning=learning,
            watch=everybody([self.spool.watch, self._shadows.watch]),
            metrics=self.metrics,
            executor=self._executor,
            clock=clock,
            ticks=ticks,
        )
        self.comparison = Comparison(self.sources, store, settings.spool, settings.provider, settings.score_threads)
        self.desk = IncidentDesk(self.redis, self.sources, self.metrics, settings, clock)
        self.notifying = Notifying(
            NotifyConfig.load(settings.notify),
            redis=self.redis,
            names=lambda: self.sources.live,
            metrics=self.metrics,
            clock=clock,
        )
        self.queue = DurableQueue(
            self.redis,
            settings,
            metrics=self.metrics,
            executor=self._executor,
            clock=clock,
            submit=lambda source, run: self._workers[source].submit_run(run, clock()),
        )
        self.told = ToldVerdicts(self.redis, self.sources, self.queue)
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self._reason = "starting"

    async def start(self) -> None:
        """Connect if Redis answers, and begin the background work. Does not fail where Redis is away."""
        with contextlib.suppress(StateError):
            await self._connect()
        inventory = Inventory(self.redis, self.sessions, self.metrics, lambda: self.sources.live, self.clock)
        background = (self._keep_connected, self._keep_closing, self.spool.keep_flushing, inventory.keep_taking)
        self._tasks = [
            asyncio.create_task(work())
            for work in (*background, self.notifying.keep_sending, self.gate.ring.keep_reading)
        ]

    async def stop(self) -> None:
        """Answer what was accepted, for at most ``drain_s``, then let go of everything."""
        consumed = asyncio.create_task(self.queue.stop(self.settings.drain_s))
        late = await self._workers.drain(self.settings.drain_s)
        await consumed
        pending = {*self._tasks, *late}
        while pending:
            # Again and again: a cancellation that meets the end of a reply's time limit can be lost in the client.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY_S)
        with contextlib.suppress(StateError):
            await self._tell_what_is_stored()
        await self.spool.flush()
        await self.notifying.stop()
        await self.redis.aclose()
        self._executor.shutdown(wait=True)
        self._behind.shutdown(wait=True)

    def check_room(self, source: str) -> None:
        """Raises QueueFull where so much waits for a source that its requests need not even be decoded."""
        worker = self._workers.get(source)
        if worker is not None:
            worker.check_room(source)

    async def ingest(
        self,
        request: IngestRequest,
        body: bytes,
        wanted: Wanted,
        idempotency_key: str | None,
        *,
        wait: bool = True,
    ) -> Answer:
        """Judge a request's lines, or accept them for later where the caller does not ``wait``. With an Idempotency-Key
        a repeated request gets the first one's answer.

        Raises UnknownSource, QueueFull, Unavailable, Conflict, KeyReused and StateError.
        """
        self._check_connected()
        live = await self.sources.get(request.source)
        request = await self._redaction.of(live.source, request)
        worker = self._workers[live.name]
        if idempotency_key is None:
            if not wait:
                return await self.queue.accept(live, request, wanted, self.clock(), None)
            return await worker.submit(request, wanted, self.clock())
        how = wanted + "backfill" * request.backfill + "later" * (not wait)
        body_hash = self._redaction.fingerprint(live.source, body + how.encode())
        idempotency_key = self._redaction.kept_key(live.source, idempotency_key)
        match await answers.begin(self.redis, live.name, idempotency_key, body_hash):
            case answers.Done(stored):
                status, _, kept = stored.partition(b" ")
                return Answer(int(status), kept)
            case answers.InFlight(retry_after_s):
                raise Conflict("the first request with this Idempotency-Key is under way", max(1, round(retry_after_s)))
            case answers.Mismatch():
                raise KeyReused("this Idempotency-Key was used with another body; use a new key")
        batch_id = hashlib.sha256(f"{idempotency_key}\x1f{body_hash}".encode()).hexdigest()[:32]
        try:
            async with answers.kept(self.redis, live.name, idempotency_key, body_hash):
                arrival = await watermark.first_arrival(self.redis, live.name, batch_id, self.clock())
                if wait:
                    answer = await worker.submit(replace(request, batch_id=batch_id), wanted, arrival)
                else:
                    answer = await self.queue.accept(live, request, wanted, arrival, batch_id)
                finished = b"%d %s" % (answer.status, answer.body)
                await answers.finish(self.redis, live.name, idempotency_key, body_hash, finished)
        except BaseException:
            # Given back so that a retry runs at once; what was appended already is found again by the batch id.
            with contextlib.suppress(StateError):
                await answers.abandon(self.redis, live.name, idempotency_key, body_hash)
            raise
        if wait:
            await self.sessions.forget(live.name, batch_id, keys.drawer(arrival))
            await watermark.forget(self.redis, live.name, batch_id)
        return answer

    async def configure(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Store a source's configuration. Raises ConfigError, and Conflict where its live bundle parses otherwise."""
        self._redaction.check(Source.from_dict({**config, "name": name}))
        return await self.sources.configure(name, config)

    async def readiness(self) -> dict[str, Any]:
        """Whether lines can be judged now, why not, and what by."""
        answering = await connection.answers(self.redis)
        if self._connected and not answering:
            self._lost("Redis is away")
        reasons = [] if self._connected else [self._reason]
        served = {}
        for name, live in sorted(self.sources.live.items()):
            served[name] = {"version": live.version, "provider": live.provider, "templates": len(live.tree)}
            shadow = self._shadows.of(name)
            if shadow is not None:
                served[name]["shadow"] = shadow.version
            told = (live.problem, shadow and shadow.problem, self._redaction.problem(live.source))
            problems = [problem for problem in told if problem]
            if problems:
                served[name]["problem"] = "; ".join(problems)
        return {
            "ready": not reasons,
            "reasons": reasons,
            "provider": self.settings.provider,
            "sources": served,
            "problems": self.sources.problems | ({"wait=false": self.queue.problem} if self.queue.problem else {}),
        }

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, of every worker process where there are several."""
        return exposition(self.metrics.registry)

    async def sweep(self) -> int:
        """Close what is due in every source, now, and see how far each has drifted; returns how many sessions,
        timeframes and buckets of rates closed."""
        await self.sources.adopt_first_versions()
        await self._tell_what_is_stored()
        closed = await self._workers.sweep()
        await self._drift.check(list(self.sources.live.values()), self.clock())
        return closed

    async def _tell_what_is_stored(self) -> None:
        for live in list(self.sources.live.values()):
            stored_to = live.stored_to
            await watermark.advance(self.redis, live.name, stored_to)
            live.told(stored_to)

    def _serve(self, live: LiveSource) -> None:
        """A source was loaded, or configured anew."""
        self._workers.serve(live)
        self.queue.serve(live)

    def _check_connected(self) -> None:
        if not self._connected:
            raise Unavailable(self._reason, 2)

    async def _connect(self) -> None:
        try:
            await connection.claim_schema(self.redis)
            # Before it is ready: until then nobody can be let in, nor told that no key is asked for.
            await self.gate.ring.read()
            await self.sources.load_all()
            await self.notifying.begin()
        except StateError as error:
            self._lost(str(error))
            raise
        if not self._connected:
            log.info("connected to Redis; sources: %s", ", ".join(self.sources.live) or "none")
        self._connected = True
        self.metrics.redis_up.set(1)
        for name, problem in self.sources.problems.items():
            log.error("source %s is not served: %s", name, problem)

    def _lost(self, reason: str) -> None:
        if self._connected or self._reason != reason:
            log.warning("%s; trying again every %g s", reason, CONNECT_EVERY_S)
        self._connected = False
        self._reason = reason
        self.metrics.redis_up.set(0)

    async def _keep_connected(self) -> None:
        while True:
            await asyncio.sleep(CONNECT_EVERY_S)
            try:
                if not self._connected:
                    await self._connect()
                elif not await connection.answers(self.redis):
                    self._lost("Redis is away")
            except StateError:
                pass  # said already
            except Exception:  # without this task the replica would stay away from Redis for good
                log.exception("connecting failed")

    async def _keep_closing(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            if not self._connected:
                continue
            try:
                await self.sweep()
            except StateError as error:
                self._lost(str(error))
            except Exception:  # without this task no silent session would ever close again
                log.exception("closing idle sessions failed")
