"""Taking back what people said: all that followed from it goes first, then the item.

Owns that order, and what becomes of versions that learned it. Does not know how answers come about (``feedback``).
"""

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from service.errors import NotFound
from service.incidents.items import entry_of, told
from service.incidents.seconds import Seconds
from service.pipeline.sources import Sources
from service.state import feedback, incidents, rules
from service.state.feedback import Sees
from service.state.incidents import OPEN


class Undoing:
    """Takes back feedback of all sources."""

    def __init__(self, redis: Redis, sources: Sources, seconds: Seconds, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._sources = sources
        self._seconds = seconds
        self._clock = clock

    async def undo(self, feedback_id: str, author: str, sees: Sees | None = None) -> dict[str, Any]:
        """Take an item back with all that followed from it. Raises NotFound, also where its source may not be seen."""
        item = await feedback.get(self._redis, feedback_id)
        undone = [] if item is None or not _may(sees, item) else await self._undo([item], author)
        if not undone:
            raise NotFound(f"no feedback {feedback_id!r}; GET /feedback lists it")
        return undone[0]

    async def undo_author(self, author: str, by: str, sees: Sees | None = None) -> dict[str, Any]:
        """Take back all that one author gave about sources that may be seen."""
        given = [item for item in await feedback.by_author(self._redis, author) if _may(sees, item)]
        undone = await self._undo(given, by)
        return {"author": author, "undone": [item["id"] for item in undone]}

    async def _undo(self, items: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
        """First what is in force, then the items: whoever dies between leaves what can be undone again."""
        now = self._clock()
        by_source: dict[str, list[dict[str, Any]]] = {}
        for item in items:
            by_source.setdefault(item["source"], []).append(item)
        for source, own in by_source.items():
            ids = [item["id"] for item in own]
            await rules.remove(self._redis, source, ids, now)
            await rules.forget_hits(self._redis, source, ids)
            doubted = [name for item in own for name in item.get("agrees", ()) if name not in ids]
            await self._unlearn(source, ids, doubted)
            await self._seconds.doubt(source, doubted)
            for item in own:
                if "incident" in item:
                    await incidents.set_state(self._redis, source, item["incident"], OPEN)
        audit = {
            item["id"]: entry_of("undo", item, by, now) | {"given_by": item["author"], "given_at": item["time"]}
            for item in items
        }
        return [told(item) for item in await feedback.undo(self._redis, list(audit), audit)]

    async def _unlearn(self, source: str, ids: list[str], doubted: list[str]) -> None:
        """Where the live version learned one of some answers, or of those that somebody agreed to who takes it back,
        go back to the newest one that did not; what else was learned since is silenced by its rules again, and waits
        for the learner."""
        found = await self._sources.without_lessons(source, [*ids, *doubted])
        if found is not None:
            version, others = found
            await rules.reinstate(self._redis, source, [name for name in others if name not in ids])
            await self._sources.activate(source, version, reset_sessions=False)


def _may(sees: Sees | None, item: dict[str, Any]) -> bool:
    return sees is None or sees(item["source"])
