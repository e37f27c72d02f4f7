"""The first version of a source, made by itself once enough of its lines came in.

Owns when it is tried, and when again after a refusal: a source that cannot be trained yet is left alone until a
quarter more has come in. Does not know how it is trained (``training.first``).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from redis.asyncio import Redis

from models.bundle import Bundle
from models.bundles import BundleStore, next_version
from models.errors import StateError, TocsinError
from models.source.config import Source
from models.spool.reader import files
from models.spool.records import RECORDS, Unjudged, read_unjudged
from models.template.change import Change
from models.template.tree import TemplateTree
from service.learner.lease import kept
from service.learner.outcome import Outcome
from service.state import learning, lessons, sources, trees
from training.first import first_version
from training.train import TrainSettings

log = logging.getLogger("tocsin.learner")

AGAIN = 1.25
"""After a refusal it is tried again at so many times the lines."""
MOST_RECORDS = 200_000
"""The newest records that a first training takes."""
BY = "tocsin learner"


class FirstVersions:
    """Trains sources that nothing judges, once ``lines`` came in and ``sessions`` of them closed."""

    def __init__(
        self,
        redis: Redis,
        store: BundleStore,
        spool: Path,
        clock: Callable[[], float],
        token: str,
        *,
        lines: int,
        sessions: int,
        settings: TrainSettings,
    ) -> None:
        self._redis = redis
        self._store = store
        self._spool = spool
        self._clock = clock
        self._token = token
        self._lines = lines
        self._sessions = sessions
        self._settings = settings

    async def rounds(self) -> list[Outcome]:
        """One round of every source that nothing judges. Raises StateError where Redis is away."""
        return [await self.round(name) for name in await sources.everyone(self._redis)]

    async def round(self, source: str) -> Outcome:
        """Train one source if it is due. Raises StateError where Redis is away."""
        told = await learning.read(self._redis, source)
        if told.lines < max(self._lines, told.again_at) or await sources.live_bundle(self._redis, source) is not None:
            return Outcome(source, "idle")
        if not await lessons.take(self._redis, source, self._token):
            return Outcome(source, "idle")
        async with kept(self._redis, source, self._token):
            try:
                return await self._train(source, told.lines)
            except StateError:
                raise
            except TocsinError as error:
                if await sources.live_bundle(self._redis, source) is not None:
                    return Outcome(source, "overtaken")
                return await self._refuse(source, told.lines, str(error))
            except Exception as error:  # whatever it is, trying again at once would fail again
                log.exception("source %s: the first training failed", source)
                return await self._refuse(source, told.lines, f"training failed ({error!r:.200})")

    async def _train(self, source: str, lines: int) -> Outcome:
        found = await asyncio.to_thread(self._store.newest, source)
        config = await sources.get(self._redis, source)
        stored = await trees.load(self._redis, source)
        if config is None or stored is None:
            return Outcome(source, "idle")
        if found is not None:
            made = await asyncio.to_thread(self._store.load, source, found)
            if made.manifest.tree_id != stored.snapshot["tree_id"]:
                raise OtherTree(
                    f"version {found} is there, of another template tree: `tocsin bundles activate {source} {found} "
                    "--reset-sessions` makes it live"
                )
            return await self._publish(source, made)  # a learner ended just before it did
        await learning.begin(self._redis, source, self._token)
        tree = TemplateTree.restore(stored.snapshot)
        tree.apply([Change.from_dict(change) for change in stored.changes])
        log.info("source %s: training the first version on what came in, %d lines", source, lines)
        bundle = await asyncio.to_thread(self._fit, Source.from_dict(config), tree, lines)
        if not await lessons.take(self._redis, source, self._token):
            return Outcome(source, "overtaken")
        await asyncio.to_thread(self._store.save, source, bundle)
        return await self._publish(source, bundle)

    async def _publish(self, source: str, bundle: Bundle) -> Outcome:
        if not await sources.activate_first(self._redis, source, bundle.version, at=self._clock(), by=BY):
            return Outcome(source, "overtaken", bundle.version)
        await learning.done(self._redis, source)
        await asyncio.to_thread(self._clear, source)
        log.info("source %s: version %s is live, the first one", source, bundle.version)
        return Outcome(source, "published", bundle.version, gate=bundle.manifest.metrics.get("gate", {}))

    def _fit(self, source: Source, tree: TemplateTree, lines: int) -> Bundle:
        given = self._read(source, tree, lines)
        version = next_version(self._store.versions(source.name))
        return first_version(
            source, tree, given, self._settings, sessions=self._sessions, version=version, created=self._clock()
        )

    def _read(self, source: Source, tree: TemplateTree, lines: int) -> Unjudged:
        given = read_unjudged(self._spool, source.name, tree.tree_id, max(MOST_RECORDS, self._lines))
        held = len(given) + int(given.records.message.str.count_matches("\n").sum())
        if held < min(self._lines, lines) // 2:
            raise NothingSpooled(
                f"{held:,} of them are spooled under {self._spool}; the service needs TOCSIN_SPOOL_ROWS of at "
                f"least {self._lines:,}, and the learner the same TOCSIN_SPOOL_DIR"
            )
        return given

    async def _refuse(self, source: str, lines: int, why: str) -> Outcome:
        again_at = int(AGAIN * lines) + 1
        await learning.refuse(self._redis, source, why, again_at)
        log.warning("source %s: no first version of %d lines: %s; again at %d", source, lines, why, again_at)
        return Outcome(source, "refused", why=why)

    def _clear(self, source: str) -> None:
        """Lines of people's logs are kept no longer than they are needed."""
        for path in files(self._spool, source, RECORDS):
            with contextlib.suppress(OSError):
                path.unlink()


class OtherTree(TocsinError):
    """A version of the source exists that cannot go on with what the source learned."""


class NothingSpooled(TocsinError):
    """What came in cannot be found where it should lie."""
