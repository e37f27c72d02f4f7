"""The sources that this replica serves: found, brought to the live version, activated.

Owns which configuration and bundle version a source has. Does not process batches.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import orjson
from redis.asyncio import Redis

from models.bundle import TEMPLATES, Bundle
from models.bundles import NAME, About, BundleStore
from models.errors import BundleError, ConfigError, StateError, TocsinError
from models.source.config import Source
from models.template.tree import TemplateTree
from service.errors import Conflict, NotFound, UnknownSource
from service.metrics import Metrics
from service.pipeline import lineage
from service.pipeline.afresh import begin_afresh
from service.pipeline.learning import Learning
from service.pipeline.live import LiveSource
from service.pipeline.shadow import Shadows
from service.pipeline.templates import Templates
from service.pipeline.versions import versions_of
from service.state import sources, trees
from service.state.watermark import Began
from service.state.windows import StoredSessions

P = ParamSpec("P")
T = TypeVar("T")

ITSELF = "tocsin"
"""Who activates where no person asked for it."""


class Sources:
    """Live sources by name, loaded when first asked for."""

    def __init__(
        self,
        redis: Redis,
        store: BundleStore,
        templates: Templates,
        sessions: StoredSessions,
        metrics: Metrics,
        executor: Executor,
        provider: str,
        threads: int,
        on_new: Callable[[LiveSource], None],
        clock: Callable[[], float],
        shadows: Shadows,
        learning: Learning,
    ) -> None:
        self._redis = redis
        self._store = store
        self._templates = templates
        self._sessions = sessions
        self._metrics = metrics
        self._executor = executor
        self._provider = provider
        self._threads = threads
        self._on_new = on_new
        self._clock = clock
        self.shadows = shadows
        self._learning = learning
        self._loading = asyncio.Lock()
        self.live: dict[str, LiveSource] = {}
        self.problems: dict[str, str] = {}
        """Sources that could not be loaded, and why."""

    async def load_all(self) -> None:
        """Load every source that has a bundle or a configuration; what fails is in ``problems``."""
        for name in await self.names():
            try:
                await self.get(name)
                self.problems.pop(name, None)
            except StateError:
                raise
            except TocsinError as error:
                self.problems[name] = str(error)

    async def names(self) -> list[str]:
        """Every source that has a bundle or a configuration, loaded here or not. Raises StateError."""
        bundled = await self._thread(self._store.sources)
        return sorted({*bundled, *await sources.everyone(self._redis), *self.live})

    async def get(self, name: str) -> LiveSource:
        """A live source. Raises UnknownSource, BundleError where its live version cannot be loaded, StateError."""
        found = self.live.get(name)
        if found is not None:
            return found
        if not NAME.fullmatch(name):
            raise UnknownSource(f"{name[:80]!r} is no name of a source")
        async with self._loading:
            if name not in self.live:
                live = await self._load(name)
                self.live[name] = live
                self._on_new(live)
            return self.live[name]

    async def follow(self, live: LiveSource, began: Began) -> None:
        """Bring a source to the versions that a batch is to be judged by; where that fails it stays, and says so."""
        if began.bundle is None and live.version is not None:
            # Redis lost the pointer (an empty server in the place of the old one): what runs here is live again.
            await sources.activate_first(self._redis, live.name, live.version, at=self._clock())
        elif began.bundle is not None and began.bundle != live.version:
            await self._switch(live, began.bundle)
        if began.tree_id != live.tree.tree_id or began.tree_version != live.tree.version:
            await self._templates.catch_up(live)
        self.shadows.follow(live, began.shadow)

    async def adopt_first_versions(self) -> None:
        """Judge by first versions that went live since, also where no line comes in. Raises StateError."""
        for live in list(self.live.values()):
            if live.version is None and live.problem is None:
                version = await sources.live_bundle(self._redis, live.name)
                if version is not None:
                    async with live.lock:
                        await self._templates.catch_up(live)
                        await self._switch(live, version)

    async def configure(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Store a source's configuration. Raises ConfigError, or Conflict where its live bundle parses otherwise."""
        source = Source.from_dict({**config, "name": name})
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name[:80]!r} is no name of a source (letters, digits, '.', '_', '-'; at most 64)")
        version = await sources.live_bundle(self._redis, name)
        if version is not None:
            trained = (await self._bundle(name, version)).source
            if trained.fingerprint() != source.fingerprint():
                raise Conflict(
                    f"source {name!r} is served by bundle {version}, which parses otherwise (format, masks or session "
                    "rule); train a new bundle and activate it with reset_sessions"
                )
        live = self.live.get(name)
        if live is not None and live.source.fingerprint() != source.fingerprint() and len(live.tree):
            raise Conflict(f"source {name!r} has templates mined by another format; choose another name")
        await sources.put(self._redis, name, source.to_dict())
        if live is not None and version is None:
            self.live.pop(name)
        await self.get(name)
        return source.to_dict()

    async def configurations(self) -> list[dict[str, Any]]:
        """Every source with its configuration, live version and number of templates."""
        await self.load_all()
        return [
            {
                "name": live.name,
                "state": "learning" if live.judge is None else "scored",
                "version": live.version,
                "templates": len(live.tree),
                "sessions": await self._sessions.count_live(live.name),
                "idle_s": live.settings.idle_s,
                "config": live.source.to_dict(),
                "learning": None if live.judge else await self._learning.progress(live, self._clock()),
            }
            for _, live in sorted(self.live.items())
        ]

    async def versions(self) -> list[dict[str, Any]]:
        """Versions of each source with what they say of themselves, the live one, what was live, and the one that this
        replica judges by."""
        await self.load_all()
        return [
            await versions_of(self._redis, live, await self._thread(self._store.described, name))
            for name, live in sorted(self.live.items())
        ]

    async def activate(
        self, name: str, version: str, reset_sessions: bool, by: str = ITSELF, instead_of: str | None = None
    ) -> dict[str, Any]:
        """Make a version live for all replicas, as ``by`` asks; ``instead_of``: to roll back that one, if it is still
        live. NotFound, BundleError, or Conflict where sessions cannot go on or a gate rejected the version."""
        if version not in await self._thread(self._store.versions, name):
            raise NotFound(f"source {name!r} has no version {version!r}; GET /models lists them")
        bundle = await self._bundle(name, version)
        rejected = About.of(bundle.manifest).rejected
        if rejected is not None:
            raise Conflict(f"version {version} was rejected by its gate: {rejected}; activate another one")
        try:
            live = await self.get(name)
        except BundleError:
            return await self._replace_unreadable(bundle, reset_sessions, by, instead_of)
        same_tree = bundle.manifest.tree_id == live.tree.tree_id
        same_rule = bundle.source.fingerprint() == live.source.fingerprint()
        if not reset_sessions and not (same_tree and same_rule):
            what = "another template tree" if not same_tree else "another format, masks or session rule"
            raise Conflict(f"version {version} has {what}; activate it with reset_sessions: true")
        async with live.lock:
            if reset_sessions:
                await self._reset(bundle, same_tree, live)
            await self._point(name, version, by, instead_of)
            await self._templates.catch_up(live)
            await self._switch(live, version)
        return {"source": name, "live": version, "reset_sessions": reset_sessions}

    async def put_in_shadow(self, name: str, version: str | None) -> dict[str, Any]:
        """Let a version judge beside the live one without a say, for all replicas; None: nobody. UnknownSource,
        NotFound, BundleError, or Conflict where it could not judge the same."""
        live = await self.get(name)
        if version is not None:
            if version not in await self._thread(self._store.versions, name):
                raise NotFound(f"source {name!r} has no version {version!r}; GET /models lists them")
            await self.shadows.check(live, await self._bundle(name, version))
        await sources.set_shadow(self._redis, name, version)
        self.shadows.follow(live, version)
        return {"source": name, "live": live.version, "shadow": version}

    async def rollback(self, name: str, reset_sessions: bool, by: str) -> dict[str, Any]:
        """Make the version live that was before the live one. NotFound, or Conflict where there was none."""
        live = await sources.live_bundle(self._redis, name) if NAME.fullmatch(name) else None
        if live is None:
            raise NotFound(f"no version of a source {name[:80]!r} is live")
        standing = sources.standing(await sources.activations(self._redis, name))
        if len(standing) < 2 or standing[-1] != live:
            raise Conflict(f"no version was live before {live}; GET /models lists those that can be activated")
        done = await self.activate(name, standing[-2], reset_sessions, by, live)
        return {**done, "was": live}

    async def without_lessons(self, name: str, ids: Sequence[str]) -> tuple[str, list[str]] | None:
        """The newest version before the live one that learned none of the answers ``ids``, and what was learned since;
        None where the live one learned none of them. Raises Conflict where no such version is left."""
        version = await sources.live_bundle(self._redis, name)
        return None if version is None else await lineage.without(partial(self._bundle, name), version, ids)

    async def _point(self, name: str, version: str, by: str, instead_of: str | None) -> None:
        how: sources.How = "activated" if instead_of is None else "rolled_back"
        done = await sources.activate(
            self._redis, name, version, at=self._clock(), by=by, how=how, instead_of=instead_of
        )
        if not done:
            raise Conflict("another version went live meanwhile; see GET /models, and try again")

    async def _replace_unreadable(
        self, bundle: Bundle, reset_sessions: bool, by: str, instead_of: str | None
    ) -> dict[str, Any]:
        """Make a version live in the place of one that cannot be loaded, which no replica may have got to run."""
        name = bundle.source.name
        stored = await trees.load(self._redis, name)
        same_tree = stored is None or stored.snapshot["tree_id"] == bundle.manifest.tree_id
        if not reset_sessions and not same_tree:
            raise Conflict(f"version {bundle.version} has another template tree; activate it with reset_sessions: true")
        if reset_sessions:
            await self._reset(bundle, same_tree, None)
        await self._point(name, bundle.version, by, instead_of)
        await self.get(name)
        self.problems.pop(name, None)
        return {"source": name, "live": bundle.version, "reset_sessions": reset_sessions}

    async def _reset(self, bundle: Bundle, same_tree: bool, live: LiveSource | None) -> None:
        """Forget what goes on under ``live``, and the tree where the bundle brings another."""
        name = bundle.source.name
        frames, rates = [await self._thread(bundle.frame_judge)], [bundle.rate_judge()]
        if live is not None:
            frames.append(live.frame_judge)
            rates.append(live.rate_judge)
            live.stored_to = -math.inf
        await begin_afresh(self._redis, name, frames, rates)
        if not same_tree:
            await trees.replace(self._redis, name, orjson.loads(bundle.files[TEMPLATES]))

    async def _load(self, name: str) -> LiveSource:
        newest = await self._thread(self._store.newest, name)
        if newest is not None:
            await sources.activate_first(self._redis, name, newest, at=self._clock())
        version = await sources.live_bundle(self._redis, name)
        config = await sources.get(self._redis, name)
        if version is None and config is None:
            known = ", ".join(sorted(self.live)) or "none"
            raise UnknownSource(f"no source {name!r} (known: {known}); PUT /sources/{name} configures one")
        bundle = None if version is None else await self._bundle(name, version)
        source = Source.from_dict(config) if bundle is None and config is not None else None
        tree = TemplateTree(source.drain, uuid4().hex) if source is not None else bundle.tree() if bundle else None
        parsed_by = bundle.source if bundle is not None else source
        assert parsed_by is not None
        assert tree is not None
        live = await self._thread(LiveSource, parsed_by, tree, bundle, self._provider, self._threads)
        await self._templates.catch_up(live)
        self._note_version(live, None)
        return live

    async def _switch(self, live: LiveSource, version: str) -> None:
        before = live.version
        try:
            bundle = await self._bundle(live.name, version)
            await self._thread(live.activate, bundle)
        except BundleError as error:
            live.problem = f"stays on version {before}: {error}"
            return
        self._note_version(live, before)

    def _note_version(self, live: LiveSource, before: str | None) -> None:
        provider = live.provider
        if before is not None:
            self._metrics.live_version.labels(live.name, before, provider).set(0)
        if live.version is not None:
            self._metrics.live_version.labels(live.name, live.version, provider).set(1)
        self._metrics.templates.labels(live.name).set(len(live.tree))

    async def _bundle(self, name: str, version: str) -> Bundle:
        return await self._thread(self._store.load, name, version)

    async def _thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))
