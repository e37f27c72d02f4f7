"""The durable queue of one process of the service: what it accepts, its consumers, and what batches came to.

Owns which sources are consumed, and what can be asked of a batch. A source is consumed from when it is loaded until the
process stops.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import orjson
from redis.asyncio import Redis

from models.autolog.frames import bucket_of
from models.rate.counting import EVERYTHING
from service.errors import Gone, NotFound, WrongValue
from service.metrics import Metrics
from service.pipeline.answer import Answer, Wanted
from service.pipeline.live import LiveSource
from service.pipeline.request import IngestRequest
from service.queue import inspection
from service.queue.acceptance import Acceptance
from service.queue.consumer import Consumer
from service.queue.content import plain
from service.settings import Settings
from service.state import keys, results
from service.state.connection import Word, pipelined

CANCEL_EVERY_S = 1.0
EFFECTS = ("incidents", "verdicts", "hits")

Submit = Callable[[str, Sequence[tuple[IngestRequest, Wanted]]], Awaitable[list[Answer]]]
"""Has a run of a source judged as one batch."""


class DurableQueue:
    """Accepts for every source, and consumes those that were given to ``serve``."""

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        *,
        metrics: Metrics,
        executor: Executor,
        clock: Callable[[], float],
        submit: Submit,
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._submit = submit
        self._consumers: dict[str, Consumer] = {}
        self._live: dict[str, LiveSource] = {}
        self._acceptance = Acceptance(redis, settings, metrics, executor, self._ring)

    @property
    def problem(self) -> str | None:
        """Why what is accepted may be lost; None where it is safe, or where this process accepted nothing."""
        return self._acceptance.problem

    async def accept(
        self, live: LiveSource, request: IngestRequest, wanted: Wanted, arrival: float, batch: str | None
    ) -> Answer:
        """See ``Acceptance.accept``."""
        return await self._acceptance.accept(live, request, wanted, arrival, batch)

    def held(self, source: str) -> Collection[int]:
        """Partitions of a source that this process consumes now."""
        consumer = self._consumers.get(source)
        return () if consumer is None else consumer.held

    def serve(self, live: LiveSource) -> None:
        """Consume a source's queue from now on; one that was configured anew as it is now."""
        name = live.name
        self._live[name] = live
        if name not in self._consumers:
            self._consumers[name] = Consumer(
                name,
                redis=self._redis,
                submit=partial(self._submit, name),
                settled=partial(self._settled, name),
                metrics=self._metrics,
                clock=self._clock,
                run_lines=self._settings.batch_lines,
                results_bytes=self._settings.durable_results_bytes,
                tries=self._settings.queue_tries,
                copies=self._settings.durable_replicas,
            )

    async def stop(self, within_s: float) -> None:
        """Finish what is at work, for at most ``within_s``, and leave the rest to others."""
        stopping = [asyncio.create_task(consumer.stop()) for consumer in self._consumers.values()]
        if not stopping:
            return
        _, late = await asyncio.wait(stopping, timeout=within_s)
        while late:
            # Again and again: a cancellation that meets the end of a reply's time limit can be lost in the client.
            for consumer in self._consumers.values():
                consumer.cancel()
            _, late = await asyncio.wait(late, timeout=CANCEL_EVERY_S)

    async def batch(self, name: str, since: int, limit: int) -> dict[str, Any]:
        """What became of a batch that was accepted under ``name``: ``queued`` with how much is left, or ``done`` with
        its verdicts from place ``since`` on, ``limit`` at most. Raises NotFound, Gone, StateError."""
        source, _, batch = name.partition(":")
        if not source or not batch.isalnum():
            raise WrongValue("batch must be what a 202 named")
        found = await results.read(self._redis, source, batch)
        if found is None:
            raise NotFound(
                f"no batch {name[:120]!r} (its verdicts are kept for {keys.RESULTS_TTL_S // 60} min once it is done)"
            )
        head = orjson.loads(found.head)
        lines: dict[str, int] = head["lines"]
        left = sum(count for p, count in lines.items() if int(p) not in found.results)
        told = {"batch": name, "source": source, "received": head["received"]}
        if left or len(found.results) < len(lines):
            return {
                **told,
                "state": "queued",
                "left": left,
                "rejected": head["rejected"],
                "failed": [],
                "verdicts": [],
                "next": None,
            }
        if None in found.results.values():
            raise Gone(f"verdicts of batch {name!r} are not kept any more (TOCSIN_DURABLE_RESULTS_BYTES)")
        bodies = {p: orjson.loads(plain(body)) for p, body in sorted(found.results.items()) if body}
        failed = [{"lines": lines[str(p)], "reason": body["failed"]} for p, body in bodies.items() if "failed" in body]
        rejected = [*head["rejected"], *(line for body in bodies.values() for line in body.get("rejected", ()))]
        verdicts = [verdict for body in bodies.values() for verdict in body.get("verdicts", ())]
        # As a caller that waited gets them: lines in order, the ends of sessions last.
        verdicts.sort(key=lambda verdict: (verdict["index"] is None, verdict["index"] or 0))
        following = since + limit
        return {
            **told, "state": "done", "left": 0, "rejected": sorted(rejected, key=lambda line: line["index"]),
            "failed": failed, "verdicts": verdicts[since:following],
            "next": str(following) if following < len(verdicts) else None,
        }  # fmt: skip

    async def described(self, source: str | None) -> list[dict[str, Any]]:
        """How much waits, of one source or all. Raises NotFound, StateError."""
        return await inspection.described(self._redis, self._named(source), self._clock())

    async def dead(self, source: str | None, limit: int) -> list[dict[str, Any]]:
        """Entries that could not be judged. Raises NotFound, StateError."""
        return await inspection.listed(self._redis, self._named(source), limit)

    async def raise_dead(self, source: str | None) -> int:
        """Let them wait again; how many. Raises NotFound, StateError."""
        return await inspection.raise_all(self._redis, self._named(source))

    async def drop_dead(self, source: str | None) -> int:
        """Forget them; how many. Raises NotFound, StateError."""
        return await inspection.drop_all(self._redis, self._named(source))

    def _named(self, source: str | None) -> list[str]:
        if source is None:
            return sorted(self._live)
        if source not in self._live:
            raise NotFound(f"no source {source[:80]!r} is served here")
        return [source]

    def _ring(self, source: str) -> None:
        consumer = self._consumers.get(source)
        if consumer is not None:
            consumer.ring()

    async def _settled(self, source: str, batch_ids: Sequence[str]) -> None:
        """What made effects happen once is kept as long as that of any batch: a consumer that lost its partition in the
        middle of one may still try to repeat it. The larger part, the append's, is refused to that one anyway."""
        live = self._live[source]
        commands: list[list[Word]] = []
        for batch_id in batch_ids:
            partition = int(batch_id.removeprefix(keys.QUEUED_BATCH)[:2])
            commands.append(["DEL", keys.appended(partition, source, batch_id)])
            names = [keys.applied(source, what, batch_id, "") for what in EFFECTS]
            if live.rate_judge is not None:
                own = live.rate_judge.detector.bucket_s
                names.append(keys.counted(bucket_of(EVERYTHING), keys.rates(source), own, batch_id))
            if live.frame_judge is not None:
                own = live.frame_judge.detector.chunk_s
                names += [keys.counted(p, source, own, batch_id) for p in range(keys.PARTITIONS)]
            commands += [["EXPIRE", name, keys.BATCH_TTL_S] for name in names]
        await pipelined(self._redis, commands)
