"""Candidates in the shadow of live versions: they judge the same batches, afterwards, and have no say.

Owns loading them, what they may be late by, and counting where they would have judged otherwise. They work in a thread
that no batch waits for, are left out of batches that come too fast, and one that cannot be loaded is a problem of its
own and nobody else's.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from models.bundle import Bundle
from models.diff import Totals, totals, without_peaks
from models.judge import Judge
from models.spool.layout import Layout
from models.spool.rows import narrowed
from models.template.texts import or_else
from service.errors import Conflict
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.pipeline.seen import Seen

T = TypeVar("T")

log = logging.getLogger("tocsin")

MOST_WAITING = 2
"""Batches of a source that wait for its shadow; what comes meanwhile is left out."""
AGAIN_AFTER_S = 30.0
"""One that could not be loaded is tried again after this long: replicas share bundles, but not at once."""


@dataclass(slots=True, eq=False)
class Shadow:
    """A version in the shadow: ``judge`` None until it is loaded, ``problem`` why it does not judge, ``tried`` when it
    was last loaded (the loop's seconds), ``waiting`` how many batches wait for it."""

    version: str
    tree_id: str = ""
    judge: Judge | None = None
    problem: str | None = None
    tried: float = 0.0
    waiting: int = 0


class Shadows:
    """The shadow of each source that has one, in this replica."""

    def __init__(
        self, load: Callable[[str, str], Bundle], *, metrics: Metrics, executor: Executor, provider: str, threads: int
    ) -> None:
        self._load = load
        self._metrics = metrics
        self._executor = executor
        self._provider = provider
        self._threads = threads
        self._of: dict[str, Shadow] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, source: str) -> Shadow | None:
        """The shadow of a source; None where it has none."""
        return self._of.get(source)

    def follow(self, live: LiveSource, version: str | None) -> None:
        """Let ``version`` judge beside a source from when it is loaded on (None: nobody). Never waits."""
        known = self._of.get(live.name)
        if version is None:
            self._of.pop(live.name, None)
            return
        now = asyncio.get_running_loop().time()
        again = known if known is not None and known.version == version else None
        if again is not None and (
            again.judge is not None or again.problem is None or now < again.tried + AGAIN_AFTER_S
        ):
            return
        # What was wrong stands until it is known to be right.
        problem = None if again is None else again.problem
        shadow = self._of[live.name] = Shadow(version, problem=problem, tried=now)
        task = asyncio.create_task(self._bring(live, shadow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def check(self, live: LiveSource, bundle: Bundle) -> None:
        """Raises Conflict where ``bundle`` could not judge what the live version judges, BundleError."""
        version = bundle.version
        if live.judge is None:
            raise Conflict(f"source {live.name!r} has no live version that {version} could be the shadow of")
        if version == live.version:
            raise Conflict(f"version {version} is live; its shadow would see what it sees")
        if bundle.manifest.tree_id != live.tree.tree_id or bundle.source.fingerprint() != live.source.fingerprint():
            raise Conflict(
                f"version {version} has another template tree, format, masks or session rule than {live.version}: it "
                "cannot judge the same events"
            )
        judge = await self._thread(partial(self._judge, live, bundle))
        kept = Layout(live.settings.width, live.settings.notes, live.judge.reads_texts, live.settings.tail)
        if not kept.holds(Layout.needed(judge)) or live.settings.tail < Layout.needed(judge).tail:
            raise Conflict(f"version {version} reads more of a session than is kept for {live.version}")

    def watch(self, seen: Seen) -> None:
        """Have a judged batch judged by the source's shadow, if it has one that keeps up."""
        shadow = self._of.get(seen.source)
        size = len(seen.rows.key) + len(seen.judged.closings)
        if shadow is None or shadow.judge is None or shadow.version == seen.version or not size:
            return
        if shadow.waiting >= MOST_WAITING:
            self._count(seen, shadow, "dropped", size)
            return
        shadow.waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._executor, _compare, seen, shadow.judge, shadow.tree_id)
        work.add_done_callback(partial(self._done, seen, shadow))

    def _done(self, seen: Seen, shadow: Shadow, work: "asyncio.Future[Totals | None]") -> None:
        shadow.waiting -= 1
        if work.cancelled():
            return
        error = work.exception()
        if error is not None:
            log.error("shadow %s of source %s failed: %s", shadow.version, seen.source, error)
            shadow.problem = f"shadow {shadow.version} failed: {error}"
            shadow.judge = None
            return
        found = work.result()
        if found is None:
            shadow.problem = f"shadow {shadow.version} cannot judge what version {seen.version} judges"
            return
        shadow.problem = None
        for change, number in (("same", found.both + found.neither), ("rings", found.rings), ("quiet", found.quiet)):
            self._count(seen, shadow, change, number)

    def _count(self, seen: Seen, shadow: Shadow, change: str, number: int) -> None:
        self._metrics.shadow_verdicts.labels(seen.source, shadow.version, change).inc(number)

    async def _bring(self, live: LiveSource, shadow: Shadow) -> None:
        try:
            bundle = await self._thread(partial(self._load, live.name, shadow.version))
            shadow.tree_id = bundle.manifest.tree_id
            shadow.judge = await self._thread(partial(self._judge, live, bundle))
            shadow.problem = None
        except Exception as error:  # of whatever a network or a disk may raise: this is nobody's verdict
            log.warning("shadow %s of source %s is not loaded: %s", shadow.version, live.name, error)
            shadow.problem = f"shadow {shadow.version} does not judge: {error}"

    def _judge(self, live: LiveSource, bundle: Bundle) -> Judge:
        return bundle.judge(self._provider, self._threads, or_else(live.exemplar_of, ""))

    async def _thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _compare(seen: Seen, judge: Judge, tree_id: str) -> Totals | None:
    """The verdicts of the live version against those of ``judge``; None where it cannot judge these events.

    Closed sessions are judged anew by both, without what is remembered of their events: see ``models.diff``.
    """
    need = Layout.needed(judge)
    kept = Layout.of(seen.rows, seen.judge.reads_texts, seen.tail)
    judged = seen.judged
    if seen.tree_id != tree_id or judged.rows is None:
        return None
    if seen.tail < need.tail or (len(seen.rows.key) and not kept.holds(need)):
        return None
    lines = Totals()
    if len(seen.rows.key):
        lines = totals(judged.rows.anomalous, judge.rows(narrowed(seen.rows, need), seen.rules, seen.now).anomalous)
    closings = without_peaks(judged.closings)
    was, now = (one.closings(closings, seen.rules, seen.now).anomalous for one in (seen.judge, judge))
    ends = totals(was, now)
    return lines + ends
