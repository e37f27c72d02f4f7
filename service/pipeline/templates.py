"""Template learning online: what the tree does not know is learned in line order, by one replica at a time.

Owns the lock, the retry when another replica was faster, and the cap of new templates per minute.
"""

import asyncio
from concurrent.futures import Executor
from uuid import uuid4

from redis.asyncio import Redis

from models.errors import StateError
from models.record import Records
from models.sessions import Int64
from models.template.change import NO_TEMPLATE, Change
from models.template.tree import TemplateTree
from service.metrics import Metrics
from service.pipeline.live import LiveSource
from service.state import trees

ATTEMPTS = 5


class Templates:
    """Keeps replicas' trees in step with the one in Redis."""

    def __init__(self, redis: Redis, metrics: Metrics, executor: Executor) -> None:
        self._redis = redis
        self._metrics = metrics
        self._executor = executor

    async def learn(self, live: LiveSource, records: Records, ids: Int64, now: float) -> Int64:
        """Ids of all records, int64 [n]: ``ids`` as matched, or after learning where some matched nothing.

        Raises StateError where Redis is away; this replica's tree is then as it was before.
        """
        unmatched = int((ids == NO_TEMPLATE).sum())
        if unmatched == 0:
            return ids
        self._metrics.unmatched.labels(live.name).inc(unmatched)
        minute = int(now // 60)
        async with trees.locked(self._redis, live.name, uuid4().hex):
            for _ in range(ATTEMPTS):
                await self.catch_up(live)
                learned = await self._learn_once(live, records, minute)
                if learned is not None:
                    return learned
        raise StateError(f"templates of {live.name} are changing too fast to learn more; try again")

    async def catch_up(self, live: LiveSource) -> None:
        """Bring this replica's tree to where Redis is; a source without one in Redis gets this replica's."""
        changes = await trees.changes_since(self._redis, live.name, live.tree.tree_id, live.tree.version)
        if changes is not None:
            live.tree.apply([Change.from_dict(change) for change in changes])
            return
        stored = await trees.load(self._redis, live.name)
        if stored is None:
            await trees.seed(self._redis, live.name, live.tree.snapshot())
            return
        tree = TemplateTree.restore(stored.snapshot)
        tree.apply([Change.from_dict(change) for change in stored.changes])
        live.tree = tree

    async def _learn_once(self, live: LiveSource, records: Records, minute: int) -> Int64 | None:
        """Learn and publish; None where another replica published first, and nothing of the attempt remains."""
        tree = live.tree
        before = tree.version
        made = await trees.new_templates(self._redis, live.name, minute)
        budget = max(0, live.source.drain.new_per_minute - made)
        try:
            assignment = await asyncio.get_running_loop().run_in_executor(
                self._executor, tree.assign, records.masked, budget, records.distinct
            )
            if assignment.changes:
                changes = [change.to_dict() for change in assignment.changes]
                if not await trees.publish(self._redis, live.name, tree.tree_id, before, changes, minute):
                    tree.rollback(before)
                    return None
        except BaseException:
            tree.rollback(before)
            raise
        ids: Int64 = assignment.ids
        return ids
