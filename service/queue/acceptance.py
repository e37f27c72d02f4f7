"""Accepting a request before it is judged: 202 once all of it is in the durable queue.

Owns what is promised and when it is refused. A batch goes to Redis piece by piece, each piece once for the batch's id;
a process that dies between leaves some pieces, which are judged. A retry under the same Idempotency-Key adds the others
and is answered as the first one would have been; without a key nobody can tell a retry from new lines, and what was
added is judged again, as with ``wait=true``.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from time import monotonic
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from service.errors import QueueFull, Unavailable
from service.metrics import Metrics
from service.pipeline.answer import Answer, Wanted
from service.pipeline.live import LiveSource
from service.pipeline.request import IngestRequest
from service.queue.division import Divided, divide
from service.settings import Settings
from service.state import queue, replicas
from service.state.durability import memory_problem, read_durability, write_through
from service.state.embedded import redis_folder

log = logging.getLogger("tocsin")

LOOK_EVERY_S = 5.0
"""How old what is known of Redis' disk and memory may be."""
BUSY_RETRY_AFTER_S = 5
IN_LINE = 64
"""Lines that are divided without a worker thread."""


class Acceptance:
    """Puts requests into the durable queue. ``ring`` wakes this process's consumer of a source."""

    def __init__(
        self, redis: Redis, settings: Settings, metrics: Metrics, executor: Executor, ring: Callable[[str], None]
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._metrics = metrics
        self._executor = executor
        self._ring = ring
        self._looked = -LOOK_EVERY_S
        self._memory: str | None = None
        self.problem: str | None = None
        """Why what is accepted may be lost, as far as this process has accepted any; None where it is safe."""

    async def accept(
        self, live: LiveSource, request: IngestRequest, wanted: Wanted, arrival: float, batch: str | None
    ) -> Answer:
        """202 with the batch's name once every piece is in the queue; 422 where every line is rejected.

        ``batch`` is the same for every try of a request, None where there is no telling. Raises QueueFull, Unavailable
        and StateError; then a retry is safe where ``batch`` was given.
        """
        await self._look()
        work = partial(_pieces, request, live, arrival, wanted)
        if len(request.lines) <= IN_LINE:
            divided, pieces = work()
        else:
            divided, pieces = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        rejected = [{"index": line.index, "error": line.error} for line in divided.rejected]
        told = {"source": live.name, "received": request.received, "rejected": rejected}
        if not pieces:
            self._count(live.name, divided)
            return Answer(422, orjson.dumps({"batch": None, **told}))
        await self._check_room(live.name, sum(piece.lines for piece in pieces))
        batch = batch or uuid4().hex
        head = orjson.dumps({**told, "lines": {str(piece.partition): piece.lines for piece in pieces}})
        prior = await queue.arrive(self._redis, live.name, batch, head, divided.newest, arrival)
        await queue.add(self._redis, live.name, batch, pieces, prior=prior, newest=divided.newest, arrival=arrival)
        partitions = [piece.partition for piece in pieces]
        await replicas.confirm(self._redis, live.name, partitions, self._settings.durable_replicas)
        await queue.arrived(self._redis, live.name, batch, prior)
        self._count(live.name, divided)
        self._ring(live.name)
        return Answer(202, orjson.dumps({"batch": f"{live.name}:{batch}", **told}))

    async def _check_room(self, source: str, lines: int) -> None:
        if self._memory is not None:
            raise QueueFull(self._memory, BUSY_RETRY_AFTER_S)
        waiting = sum(depth.lines for depth in await queue.depths(self._redis, source))
        limit = self._settings.durable_queue_lines
        if waiting and waiting + lines > limit:
            raise QueueFull(
                f"{waiting} accepted lines of source {source!r} wait to be judged (limit {limit}); slow down",
                BUSY_RETRY_AFTER_S,
            )

    async def _look(self) -> None:
        """Look after Redis' disk and memory now and then. Raises Unavailable where what is accepted must be safe and
        is not."""
        if monotonic() - self._looked >= LOOK_EVERY_S:
            if self._settings.appendfsync == "auto":
                await write_through(self._redis, redis_folder(self._settings.data_dir))
            problem = (await read_durability(self._redis)).problem
            self._memory = await memory_problem(self._redis)
            if problem is not None and problem != self.problem:
                log.warning("wait=false is in use, and %s", problem)
            self.problem = problem
            self._looked = monotonic()
        if self.problem is not None and self._settings.require_durable:
            raise Unavailable(f"nothing can be accepted for later (TOCSIN_REQUIRE_DURABLE): {self.problem}", 5)

    def _count(self, source: str, divided: Divided) -> None:
        """Rejected lines are heard of here only; the others are counted when they are judged."""
        self._metrics.lines.labels(source).inc(len(divided.rejected))
        self._metrics.rejected.labels(source).inc(len(divided.rejected))


def _pieces(
    request: IngestRequest, live: LiveSource, arrival: float, wanted: Wanted
) -> tuple[Divided, list[queue.Piece]]:
    divided = divide(request, live.source, live.parser, arrival, wanted)
    return divided, [queue.Piece(p, content.size, content.encode()) for p, content in divided.contents.items()]
