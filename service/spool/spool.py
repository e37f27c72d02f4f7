"""What versions read of live traffic, put by for gates, comparisons and retraining.

Owns when: a batch costs references alone; a task takes what waits every few seconds, counts what is the same, and
writes the file in the making anew. That goes on in a thread of its own, and whatever fails there is logged and counted:
no batch ever waits for, or fails with, the spool.

A batch that is retried is spooled twice: its events are then counted twice.

Of a source that no version judges yet, whole records are put by, for its first training.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from polars.exceptions import PolarsError

from models.spool.reader import file_name
from models.spool.records import RECORDS
from models.verdict import NO_LINES
from service.metrics import Metrics
from service.pipeline.seen import Seen
from service.spool.files import SpoolFiles
from service.spool.gathering import FILE_ROWS, Gathering, Kind
from service.spool.joining import joined
from service.spool.unjudged import Heap, Taught

log = logging.getLogger("tocsin")

FLUSH_EVERY_S = 5.0
FILE_LEAST_S = 60.0
"""A file that is full sooner leaves out what else is new until then, so that its caps reach further back."""
FILE_LONGEST_S = 3_600.0
WAITING_ROWS = 50_000
"""Events of a source that wait for the next flush; with that many a flush begins at once."""
MOST_WAITING = 2 * WAITING_ROWS
FILES_LEAST = 8
"""A file holds at most this part of what a source may keep, so that dropping the oldest leaves most."""


class Spool:
    """Spools all sources of one process under ``folder``; ``rows`` 0: none."""

    def __init__(
        self, folder: Path, rows: int, size: int, *, metrics: Metrics, executor: Executor, clock: Callable[[], float]
    ) -> None:
        self.folder = folder
        self._files = SpoolFiles(folder, rows, size)
        self._off = rows == 0
        self._capacity = max(1, min(FILE_ROWS, rows // FILES_LEAST))
        self._metrics = metrics
        self._executor = executor
        self._clock = clock
        self._writer = uuid4().hex[:8]
        self._number = 0
        self._waiting: dict[str, list[Seen]] = {}
        self._rows: dict[str, int] = {}
        self._due = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._gathering: dict[str, tuple[Gathering, int]] = {}
        """Of each source the file in the making, with its number."""
        self._failing: set[str] = set()
        self._lessons: dict[str, list[Taught]] = {}
        self._heaps: dict[str, tuple[Heap, int]] = {}
        self._judged: set[str] = set()

    def watch(self, seen: Seen) -> None:
        """Keep a judged batch for the next flush; leaves it out where too much waits already."""
        if self._room(seen.source, len(seen.rows.key) + len(seen.judged.closings)):
            # Without verdicts' texts, which would be most of what waits.
            light = replace(seen.judged, lines=NO_LINES, ends=[], findings=[], peaks=[])
            self._waiting.setdefault(seen.source, []).append(replace(seen, judged=light))

    def teach(self, taught: Taught) -> None:
        """Keep a batch that nothing judged for the next flush; leaves it out where too much waits already."""
        if self._room(taught.source, taught.size):
            self._lessons.setdefault(taught.source, []).append(taught)

    def _room(self, source: str, size: int) -> bool:
        """Whether so many rows may wait too; they then do."""
        if self._off or not size:
            return False
        waiting = self._rows.get(source, 0)
        if waiting and waiting + size > MOST_WAITING:
            self._metrics.spool_rows.labels(source, "left_out").inc(size)
            return False
        self._rows[source] = waiting + size
        if waiting + size >= WAITING_ROWS:
            self._due.set()
        return True

    async def keep_flushing(self) -> None:
        """Flush every few seconds, or as soon as much waits; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Count and write what waits. Fails for no reason of the disk's."""
        async with self._flushing:
            self._due.clear()
            taken, self._waiting, self._rows = self._waiting, {}, {}
            taught, self._lessons = self._lessons, {}
            if taken or taught:
                run = asyncio.get_running_loop().run_in_executor
                await run(self._executor, self._take, taken, taught, self._clock())

    def _take(self, taken: dict[str, list[Seen]], taught: dict[str, list[Taught]], now: float) -> None:
        for source in {**taken, **taught}:
            try:
                for lesson in taught.get(source, ()):
                    self._heap(lesson, now)
                self._write_heap(source)
                for seen in joined(taken.get(source, ())):
                    self._gather(seen, now)
                    self._forget_unjudged(source)
                self._write(source)
            except Exception as error:  # whatever it is, it is nobody's verdict
                if not isinstance(error, OSError | PolarsError):
                    log.exception("what waits of source %s is not spooled", source)
                    self._gathering.pop(source, None)
                    self._heaps.pop(source, None)
                self._metrics.spool_failures.labels(source).inc()
                if source not in self._failing:
                    log.warning("what source %s looks like cannot be spooled under %s: %s", source, self.folder, error)
                self._failing.add(source)
            else:
                self._failing.discard(source)

    def _gather(self, seen: Seen, now: float) -> None:
        kind = self._kind(seen)
        current = self._gathering.get(seen.source)
        if current is not None and (current[0].kind != kind or _over(current[0], now)):
            self._write(seen.source)
            current = None
        if current is None:
            self._number += 1
            current = self._gathering[seen.source] = Gathering(kind, now, self._capacity), self._number
        taken, left = current[0].add(seen)
        self._metrics.spool_rows.labels(seen.source, "kept").inc(taken)
        self._metrics.spool_rows.labels(seen.source, "left_out").inc(left)

    def _kind(self, seen: Seen) -> Kind:
        """Of a batch; a sweep has no events to tell, and goes with whatever its version's batches are."""
        kind = Kind.of(seen)
        current = self._gathering.get(seen.source)
        if not len(seen.rows.key) and current is not None:
            own = current[0].kind
            if (own.version, own.tree_id) == (kind.version, kind.tree_id):
                return own
        return kind

    def _forget_unjudged(self, source: str) -> None:
        """A version judges the source: whole lines of somebody's log are kept no longer than they are needed."""
        if source not in self._judged:
            self._heaps.pop(source, None)
            self._files.drop(source, RECORDS)
            self._judged.add(source)

    def _heap(self, taught: Taught, now: float) -> None:
        current = self._heaps.get(taught.source)
        if current is not None and current[0].full:
            self._write_heap(taught.source)
            current = None
        if current is None:
            self._number += 1
            current = self._heaps[taught.source] = Heap(now, self._capacity), self._number
        current[0].add(taught)
        self._metrics.spool_rows.labels(taught.source, "kept").inc(taught.size)

    def _write_heap(self, source: str) -> None:
        heap, number = self._heaps.get(source, (None, 0))
        if heap is None or not heap.changed:
            return
        self._files.write(source, file_name(RECORDS, int(1000 * heap.begun), self._writer, number), heap.columns())
        heap.changed = False
        self._files.trim(source)

    def _write(self, source: str) -> None:
        gathering, number = self._gathering.get(source, (None, 0))
        if gathering is None or not gathering.changed:
            return
        for what, frame in gathering.columns().items():
            self._files.write(source, file_name(what, int(1000 * gathering.begun), self._writer, number), frame)
        gathering.changed = False
        self._files.trim(source)


def _over(gathering: Gathering, now: float) -> bool:
    """Whether a file has what it is to have."""
    age = now - gathering.begun
    return age >= FILE_LONGEST_S or (gathering.full and age >= FILE_LEAST_S)
