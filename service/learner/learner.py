"""One source's way from answers to a published version: read, teach, gate, publish, retire. What the gate turns back is
tried once more without the networks, whose steps move more than was spoken of.

Owns the order, and that whatever happens in between, the live version is one that passed the gate: a version goes live
in the same step in which its answers are settled, for whoever still holds the lease. Does not know how detectors are
taught (``training.learning``), nor how Redis keeps what is read here.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from models.bundle import Bundle
from models.bundles import BundleStore, next_version
from models.errors import BundleError, DataError
from models.spool.layout import Layout
from models.spool.reader import Spooled, read_spool
from models.template.change import Change
from models.template.tree import TemplateTree
from service.learner import reading
from service.learner.first import FirstVersions
from service.learner.lease import kept
from service.learner.outcome import Outcome
from service.learner.reading import Standing
from service.pipeline.lineage import learned
from service.pipeline.retention import prune_versions
from service.state import lessons, rules, sources, trees
from service.state.sources import Activation
from training.learning.answers import Answer
from training.learning.candidate import Candidate, Version, learn
from training.learning.coverage import covered
from training.learning.gate import judge_candidate
from training.learning.sealing import with_gate
from training.train import TrainSettings

log = logging.getLogger("tocsin.learner")

SPOOLED = 50_000
"""Distinct spooled events, and as many sessions, that teaching may rehearse and the gate judges by both versions."""


class Learner:
    """Learns for all sources of one Redis, one source at a time. ``spool`` is where live traffic is put by."""

    def __init__(
        self,
        redis: Redis,
        store: BundleStore,
        spool: Path,
        clock: Callable[[], float],
        gather_s: float,
        *,
        keep: int = 20,
        seed: int = 0,
        first_lines: int = 50_000,
        first_sessions: int = 200,
        first_training: TrainSettings | None = None,
    ) -> None:
        self._redis = redis
        self._store = store
        self._spool = spool
        self._clock = clock
        self._gather_s = gather_s
        self._keep = keep
        self._seed = seed
        self._token = uuid4().hex
        self._first = FirstVersions(
            redis, store, spool, clock, self._token,
            lines=first_lines, sessions=first_sessions, settings=first_training or TrainSettings(seed=seed),
        )  # fmt: skip

    async def rounds(self) -> list[Outcome]:
        """One round of every source: answers of those that have a version, then first versions of those that have
        none, which take longer. Raises StateError where Redis is away."""
        names = await asyncio.to_thread(self._store.sources)
        found = {name: await self.round(name) for name in names}
        for one in await self._first.rounds():
            if one.state != "idle" or one.source not in found:
                found[one.source] = one
        return list(found.values())

    async def round(self, source: str) -> Outcome:
        """Learn what waits of one source. Raises StateError where Redis is away, BundleError where the live version
        cannot be read."""
        if not await lessons.waiting(self._redis, source) or not await lessons.take(self._redis, source, self._token):
            return Outcome(source, "idle")
        async with kept(self._redis, source, self._token):
            # People click several times in a row; one version serves them all.
            await asyncio.sleep(self._gather_s)
            waiting = await lessons.read(self._redis, source)
            return await self._learn(source, [one.entry for one in waiting], [one.id for one in waiting])

    async def _learn(self, source: str, entries: list[str], ids: list[str]) -> Outcome:
        version = await sources.live_bundle(self._redis, source)
        if version is None:
            await lessons.settle(self._redis, source, self._token, entries)
            return Outcome(source, "settled")
        live = await asyncio.to_thread(self._store.load, source, version)
        standing = await reading.read(self._redis, source, live.manifest.tree_id, self._clock())
        known = set(learned(live))
        fresh = [answer for name, (answer, _) in standing.false_alarms.items() if name not in known]
        # Read once: what is judged afterwards is what could be rehearsed.
        spooled = await asyncio.to_thread(self._spooled, live)
        answers = [*fresh, *standing.protected]
        tree = await self._tree(source, live)
        candidate = await self._candidate(live, answers, tree, spooled)
        if candidate is None or not candidate.learned:
            left = tuple(answer.id for answer in fresh)
            await reading.note(self._redis, [name for name in left if name in ids], {"learner": "stays a rule"})
            await lessons.settle(self._redis, source, self._token, entries)
            return Outcome(source, "settled", left=left)
        told = await self._publish(live, candidate, standing, entries, spooled)
        if told.state == "rejected" and candidate.networks:
            second = await self._candidate(live, answers, tree, spooled, candidate.networks)
            if second is not None and second.learned:
                told = await self._publish(live, second, standing, entries, spooled)
        if told.state == "rejected":
            await lessons.settle(self._redis, source, self._token, entries)
        return told

    async def _publish(
        self, live: Bundle, candidate: Candidate, standing: Standing, entries: list[str], spooled: Spooled
    ) -> Outcome:
        source = live.source.name
        names = {*learned(live), *(answer.id for answer in candidate.learned)}
        alarms = [answer for name, (answer, _) in standing.false_alarms.items() if name in names]
        gate = await asyncio.to_thread(judge_candidate, live, candidate.bundle, [*alarms, *standing.protected], spooled)
        sealed = with_gate(candidate.bundle, gate)
        await asyncio.to_thread(self._store.save, source, sealed)
        told = Outcome(
            source, "published" if gate.passed else "rejected", sealed.version,
            tuple(answer.id for answer in candidate.learned), tuple(answer.id for answer in candidate.left),
            gate=gate.to_dict(),
        )  # fmt: skip
        if not gate.passed:
            await reading.note(self._redis, told.learned, {"learner": f"version {sealed.version} was rejected"})
            log.warning("source %s: version %s was rejected: %s", source, sealed.version, "; ".join(gate.reasons))
            return told
        made = Activation(sealed.version, "learned", self._clock(), "tocsin learner")
        if not await lessons.publish(
            self._redis, source, self._token, entries, told.learned, instead_of=live.version, made=made
        ):
            log.warning("source %s: version %s came too late and stays unpublished", source, sealed.version)
            return Outcome(source, "overtaken", sealed.version)
        retired = await self._retire(live, sealed, alarms, standing, spooled)
        await reading.note(self._redis, told.learned, {"learner": "learned", "learned": sealed.version})
        await self._prune(source)
        log.info("source %s: version %s is live, learned %d answers", source, sealed.version, len(told.learned))
        return Outcome(source, told.state, told.version, told.learned, told.left, retired, told.gate)

    async def _retire(
        self, live: Bundle, sealed: Bundle, answers: Sequence[Answer], standing: Standing, spooled: Spooled
    ) -> tuple[str, ...]:
        ruled = [(answer, rule) for answer in answers if (rule := standing.false_alarms[answer.id][1]) is not None]
        gone = tuple(answer.id for answer in await asyncio.to_thread(covered, live, sealed, ruled, spooled))
        await rules.retire(self._redis, live.source.name, gone, self._clock())
        return gone

    async def _prune(self, source: str) -> None:
        try:
            await prune_versions(self._redis, self._store, source, self._keep)
        except BundleError as error:  # what cannot be deleted now is deleted after the next version
            log.warning("source %s: %s", source, error)

    async def _candidate(
        self,
        live: Bundle,
        answers: list[Answer],
        tree: dict[str, Any],
        spooled: Spooled,
        without: frozenset[str] = frozenset(),
    ) -> Candidate | None:
        if not answers:
            return None
        versions = await asyncio.to_thread(self._store.versions, live.source.name)
        name = Version(next_version(versions), self._clock(), tree)
        try:
            return await asyncio.to_thread(
                lambda: learn(live, answers, name, spooled=spooled, seed=self._seed, without=without)
            )
        except (BundleError, DataError) as error:
            log.error("source %s: version %s cannot be taught: %s", live.source.name, live.version, error)
            return None

    async def _tree(self, source: str, live: Bundle) -> dict[str, Any]:
        """The template tree as it stands: what is called normal may have been mined since the live version was made."""
        stored = await trees.load(self._redis, source)
        if stored is None or stored.snapshot["tree_id"] != live.manifest.tree_id:
            return live.tree().snapshot()
        tree = TemplateTree.restore(stored.snapshot)
        tree.apply([Change.from_dict(change) for change in stored.changes])
        return tree.snapshot()

    def _spooled(self, live: Bundle) -> Spooled:
        """What a candidate can judge too: teaching changes what detectors know, not how much they read."""
        needs = [Layout.needed(live.judge())]
        return read_spool(self._spool, live.source.name, live.manifest.tree_id, needs, SPOOLED)
