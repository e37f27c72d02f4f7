"""Verdicts that are asked for afterwards: of sessions that ended, and of batches that were accepted for later.

Owns how a place to read from is written. Does not know where verdicts are kept.
"""

import math
import re
from typing import Any

from redis.asyncio import Redis

from service.errors import WrongValue
from service.pipeline.sources import Sources
from service.queue.durable import DurableQueue
from service.state import verdicts

PLACE = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
LATEST_S = 253_402_300_799.0
"""The end of year 9999."""


class ToldVerdicts:
    """What ``GET /verdicts`` answers."""

    def __init__(self, redis: Redis, sources: Sources, queue: DurableQueue) -> None:
        self._redis = redis
        self._sources = sources
        self._queue = queue

    async def of_sessions(self, source: str, since: str | None, limit: int) -> dict[str, Any]:
        """Verdicts of ended sessions after ``since`` (an id of an earlier answer, or seconds), oldest first. Raises
        UnknownSource, WrongValue, StateError."""
        live = await self._sources.get(source)
        after = verdicts.BEGINNING
        if since is not None:
            after = since if _is_place(since) else verdicts.after_time(_seconds(since))
        found = await verdicts.read(self._redis, live.name, after, limit)
        return {
            "verdicts": [stored.verdict for stored in found],
            "next": found[-1].id if found else since,
        }

    async def of_batch(self, batch: str, source: str | None, since: str | None, limit: int) -> dict[str, Any]:
        """What became of a batch that was accepted for later; from ``since`` on, the ``next`` of an earlier answer.
        Raises WrongValue, NotFound, StateError."""
        if source is not None and not batch.startswith(f"{source}:"):
            raise WrongValue("this batch is not of that source")
        if since is not None and not (since.isdecimal() and len(since) < 10):
            raise WrongValue("since must be `next` of an earlier answer for this batch")
        return await self._queue.batch(batch, int(since or 0), limit)


def _is_place(text: str) -> bool:
    """Whether a text is the id of an entry in a stream: two numbers of 64 bits."""
    found = PLACE.fullmatch(text)
    return found is not None and all(int(number) < 2**64 for number in found.groups())


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not abs(seconds) <= LATEST_S:
        raise WrongValue("since must be `next` of an earlier answer, or seconds since the epoch")
    return seconds
