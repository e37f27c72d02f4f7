"""Where people say that nobody is to be told for a while, and that something was deployed.

Owns what may be said. Incidents are raised all the same. A window that began is ended, not taken back: what was raised
in it stays marked.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from service.errors import Conflict, NotFound, WrongValue
from service.pipeline.sources import Sources
from service.state import keys, mutes
from service.state.mutes import Kind, Mute

LONGEST_S = 31 * 86_400.0


class MuteDesk:
    """Mute windows and deploy markers of all sources."""

    def __init__(self, redis: Redis, sources: Sources, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._sources = sources
        self._clock = clock

    async def add(
        self, source: str, kind: Kind, start: float | None, until: float | None, reason: str, author: str
    ) -> dict[str, Any]:
        """Mute a source from ``start`` (None: now) to ``until``, seconds; a deploy without an end is a mark. Raises
        UnknownSource, WrongValue and Conflict."""
        name = (await self._sources.get(source)).name
        now = self._clock()
        start = now if start is None else start
        if until is None and kind == "mute":
            raise WrongValue("a mute window needs until, when it ends")
        until = start if until is None else until
        if until < start or (kind == "mute" and until == start):
            raise WrongValue("it ends before it begins; until must be later than from")
        if until - start > LONGEST_S:
            raise WrongValue(f"a window is at most {LONGEST_S / 86_400:g} days long")
        mute = Mute(uuid4().hex[:16], kind, start, until, reason, author)
        if not await mutes.add(self._redis, name, mute, now):
            raise Conflict(f"the source has {keys.MUTES_KEPT} windows and markers; delete some that lie ahead")
        return self._told(mute, now)

    async def listed(self, source: str) -> list[dict[str, Any]]:
        """All of a source, the newest first. Raises UnknownSource."""
        name = (await self._sources.get(source)).name
        return [self._told(mute, self._clock()) for mute in await mutes.read(self._redis, name)]

    async def deploys(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Markers of deploys of some sources up to now, each with its ``source``, the newest first."""
        now = self._clock()
        found = [
            {**self._told(mute, now), "source": name}
            for name in names
            for mute in await mutes.read(self._redis, name)
            if mute.kind == "deploy" and mute.start <= now
        ]
        return sorted(found, key=lambda deploy: float(deploy["from"]), reverse=True)

    async def end(self, source: str, mute_id: str) -> dict[str, Any]:
        """End a window now; one that has not begun, a marker and one that is over are forgotten. Raises UnknownSource
        and NotFound."""
        name = (await self._sources.get(source)).name
        now = self._clock()
        found = next((mute for mute in await mutes.read(self._redis, name) if mute.id == mute_id), None)
        if found is None:
            raise NotFound(f"source {name} has no mute {mute_id!r}; GET /sources/{name}/mutes lists them")
        if found.start < now < found.until:
            ended = dataclasses.replace(found, until=now)
            await mutes.replace(self._redis, name, ended)
            return self._told(ended, now)
        await mutes.remove(self._redis, name, mute_id)
        return self._told(found, now) | {"in_force": False}

    @staticmethod
    def _told(mute: Mute, now: float) -> dict[str, Any]:
        return {
            "id": mute.id,
            "kind": mute.kind,
            "from": mute.start,
            "until": mute.until,
            "reason": mute.reason,
            "author": mute.author,
            "in_force": mute.covers(now),
        }
