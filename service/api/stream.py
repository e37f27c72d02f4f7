"""Incidents as they are raised, seen again or answered: server-sent events.

Owns who follows, how many may, and the one look at Redis a second for all of them. Does not know what an incident says.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import uvicorn

from models.errors import TocsinError
from service.access.caller import Sees
from service.core import Core
from service.errors import Unavailable
from service.state.sightings import WATCHED, Sighting, glance

LOOK_EVERY_S = 1.0
NAMES_EVERY = 30
"""Looks between two at which sources there are: bundles may lie far away."""
HEARTBEAT_S = 15.0
FOLLOWERS = 64
"""Who may follow one process at a time."""
WAITING = 256
"""Events that may wait for one follower; one that falls behind is sent away, and comes back to a fresh list."""
AGAIN_S = 5
CANCEL_EVERY_S = 1.0
READY = b"retry: 2000\nevent: ready\ndata: {}\n\n"
HEARTBEAT = b": still here\n\n"


class Follower:
    """One open stream, of one ``source`` or ``state`` where they are given, and of sources that its reader may see."""

    def __init__(self, source: str | None, state: str | None, sees: Sees | None = None) -> None:
        self._source = source
        self._sees = sees
        self._state = state
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING + 1)
        self.over = False

    def tell(self, incident: dict[str, Any]) -> None:
        """Let it know of an incident, as ``GET /incidents`` tells one."""
        if self._source not in (None, incident["source"]) or self._state not in (None, incident["state"]):
            return
        if self._sees is not None and not self._sees(incident["source"]):
            return
        if self._waiting.qsize() >= WAITING:
            self.end()
        if not self.over:
            self._waiting.put_nowait(b"event: incident\ndata: " + orjson.dumps(incident) + b"\n\n")

    def end(self) -> None:
        """No more comes."""
        if not self.over:
            self.over = True
            self._waiting.put_nowait(None)

    async def next(self) -> bytes | None:
        """The next event, or a heartbeat; None at the end."""
        try:
            return await asyncio.wait_for(self._waiting.get(), HEARTBEAT_S)
        except TimeoutError:
            return HEARTBEAT


class IncidentFeed:
    """Looks for changes while somebody follows, and tells everybody."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._followers: set[Follower] = set()
        self._looking: asyncio.Task[None] | None = None
        self._began = asyncio.Event()
        self._known: dict[str, dict[str, Sighting]] = {}
        self._closed = False

    @property
    def followers(self) -> int:
        """How many streams are open."""
        return len(self._followers)

    def follow(self, source: str | None, state: str | None, sees: Sees | None = None) -> AsyncIterator[bytes]:
        """A stream of incidents, of sources that somebody may see. Raises Unavailable where there are too many, or the
        service is stopping."""
        if self._closed or _told_to_stop():
            raise Unavailable("the service is stopping", AGAIN_S)
        if len(self._followers) >= FOLLOWERS:
            raise Unavailable(f"{FOLLOWERS} others follow incidents here already; ask GET /incidents now and then", 60)
        return self._events(Follower(source, state, sees))

    async def _events(self, follower: Follower) -> AsyncIterator[bytes]:
        """``ready`` once nothing that comes can be missed, then each incident that changes."""
        # Here, not in ``follow``: whoever is gone before the answer begins is never told of, and would stay for good.
        if self._closed or len(self._followers) >= FOLLOWERS:
            return
        self._followers.add(follower)
        try:
            if self._looking is None or self._looking.done():
                self._began.clear()
                self._known = {}
                self._looking = asyncio.create_task(self._keep_looking())
            await self._began.wait()
            yield READY
            while (event := await follower.next()) is not None:
                yield event
        finally:
            self._leave(follower)

    def _leave(self, follower: Follower) -> None:
        """Nobody looks any more once the last follower left."""
        self._followers.discard(follower)
        if not self._followers and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._end(list(self._followers))
        while self._looking is not None and not self._looking.done():
            # Again and again: see ``Core.stop``.
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=CANCEL_EVERY_S)

    def _end(self, followers: Iterable[Follower]) -> None:
        self._began.set()
        for follower in followers:
            follower.end()

    async def _keep_looking(self) -> None:
        looks = 0
        names: list[str] = []
        while not _told_to_stop():
            try:
                if looks % NAMES_EVERY == 0:
                    names = await self._core.sources.names()
                await self._look(sorted({*names, *self._core.sources.live}))
                looks += 1
                self._began.set()
            except TocsinError:  # Redis is away: what changes meanwhile is told afterwards
                looks = 0
            await asyncio.sleep(LOOK_EVERY_S)
        self._end(list(self._followers))

    async def _look(self, names: Iterable[str]) -> None:
        for name in names:
            now = await glance(self._core.redis, name)
            before = self._known.get(name)
            changed = {one for one, seen in now.items() if before is not None and before.get(one) != seen}
            if changed:
                page = await self._core.desk.page(name, None, None, WATCHED, None)
                for incident in reversed(page["incidents"]):
                    if incident["id"] in changed:
                        self._tell(incident)
            self._known[name] = now

    def _tell(self, incident: dict[str, Any]) -> None:
        for follower in list(self._followers):
            follower.tell(incident)


def _told_to_stop() -> bool:
    """Whether the server that runs this process was told to stop: it waits for open answers before it says so to the
    application, and a stream would never end."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return isinstance(server, uvicorn.Server) and server.should_exit
