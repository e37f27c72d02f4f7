"""Where people look at incidents and answer them.

Owns what an incident looks like to a caller, and which feedback is accepted. Feedback is stored and shown; its effects
on verdicts are not here.
"""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from service.errors import NotFound, WrongValue
from service.metrics import Metrics
from service.pipeline.sources import Sources
from service.state import feedback, incidents
from service.state.incidents import StoredIncident

CURSOR = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,20})?:[0-9a-f]{1,64}")
"""What ``incidents.page`` gives as ``next``."""
SUMMARY = ("source", "session", "kind", "detector", "template", "cause", "version")
"""Parts of an incident's body that the list shows."""


class IncidentDesk:
    """Incidents and feedback of all sources."""

    def __init__(self, redis: Redis, sources: Sources, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._sources = sources
        self._metrics = metrics
        self._clock = clock

    async def page(
        self, source: str | None, state: str | None, since: float | None, limit: int, cursor: str | None
    ) -> dict[str, Any]:
        """Incidents, newest first, without their explanations; ``next`` is the cursor of the next page."""
        if cursor is not None and not CURSOR.fullmatch(cursor):
            raise WrongValue("cursor must be `next` of an earlier answer")
        names = [(await self._sources.get(source)).name] if source else await self._sources.names()
        page = await incidents.page(self._redis, names, state, since, limit, cursor)
        return {"incidents": [_summary(found) for found in page.incidents], "next": page.next}

    async def get(self, incident_id: str) -> dict[str, Any]:
        """One incident with its explanation. Raises NotFound."""
        found = await self._find(incident_id)
        return {**found.body, **_summary(found)}

    async def answer(
        self, incident_id: str, label: str, scope: str | None, note: str | None, author: str
    ) -> dict[str, Any]:
        """Store what a person said of an incident. Raises NotFound where there is none."""
        incident = await self._find(incident_id)
        item = {"incident": incident_id, "source": incident.source, "session": incident.body["session"], "scope": scope}
        return await self._store(item, label, note, author)

    async def missed(self, source: str, session: str, at: float, note: str | None, author: str) -> dict[str, Any]:
        """Store that an anomaly was missed in a session at a time (seconds)."""
        live = await self._sources.get(source)
        return await self._store({"source": live.name, "session": session, "at": at}, "missed", note, author)

    async def feedback(self, source: str | None, limit: int) -> dict[str, Any]:
        """Feedback, newest first."""
        return {"feedback": await feedback.newest(self._redis, source, limit)}

    async def undo(self, feedback_id: str, author: str) -> dict[str, Any]:
        """Take a feedback item back. Raises NotFound."""
        entry = {"action": "delete", "feedback": feedback_id, "author": author, "time": self._clock()}
        removed = await feedback.delete(self._redis, feedback_id, entry)
        if removed is None:
            raise NotFound(f"no feedback {feedback_id!r}; GET /feedback lists it")
        return removed

    async def _store(self, item: dict[str, Any], label: str, note: str | None, author: str) -> dict[str, Any]:
        now = self._clock()
        stored = {
            "id": uuid4().hex[:16], **item, "label": label, "note": note, "author": author, "time": now,
            "effect": "stored",
        }  # fmt: skip
        entry = {"action": "give", "feedback": stored["id"], "author": author, "time": now, "label": label}
        await feedback.put(self._redis, stored["id"], stored, now, entry)
        self._metrics.feedback.labels(str(item["source"]), label).inc()
        return stored

    async def _find(self, incident_id: str) -> StoredIncident:
        found = await incidents.find(self._redis, await self._sources.names(), incident_id)
        if found is None:
            raise NotFound(f"no incident {incident_id!r}; GET /incidents lists them (they are kept for 30 days)")
        return found


def _summary(incident: StoredIncident) -> dict[str, Any]:
    return {
        "id": incident.id,
        **{name: incident.body.get(name) for name in SUMMARY},
        "score": incident.score,
        "state": incident.state,
        "count": incident.count,
        "first_seen": incident.first_seen,
        "last_seen": incident.last_seen,
        "raised": incident.raised,
    }
