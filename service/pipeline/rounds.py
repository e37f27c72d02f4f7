"""Rounds in which periods of one source are closed: timeframes, buckets of rates.

Owns that one replica at a time closes them, under a lease, and that no batch is at work meanwhile. Does not know what a
period holds nor what is made of it.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar
from uuid import uuid4

from service.pipeline.live import LiveSource
from service.state.frames import Round

J = TypeVar("J")


class StoredPeriods(Protocol):
    """Periods as Redis keeps them (``service.state.frames``); ``length_s`` is how long each lasts."""

    async def due(self, source: str, length_s: float, watermark: float, /) -> bool:
        """Whether a period is over at ``watermark`` seconds, or a round unfinished."""

    async def take_lease(self, source: str, token: str, /) -> bool:
        """Take or renew the lease; False where another holder has it."""

    async def next_round(self, source: str, length_s: float, watermark: float, /) -> Round | None:
        """What to close now; None where nothing is over."""


class Rounds(Generic[J]):
    """The rounds of one source: ``judge_of`` says what judges periods now, and ``length_of`` how long its are."""

    def __init__(
        self,
        live: LiveSource,
        stored: StoredPeriods,
        judge_of: Callable[[], J | None],
        length_of: Callable[[J], float],
    ) -> None:
        self._live = live
        self._stored = stored
        self._judge_of = judge_of
        self._length_of = length_of
        self.token = uuid4().hex
        """By which the lease is this replica's."""

    async def run(self, mark: float, close: Callable[[J, Round], Awaitable[int]]) -> int:
        """``close`` round after round what is over at watermark ``mark``, seconds; how many periods closed (0 where
        another replica holds the lease, or nothing judges any). Raises StateError where Redis is away."""
        live, closed = self._live, 0
        while True:
            judge = self._judge_of()
            if judge is None or not await self._stored.due(live.name, self._length_of(judge), mark):
                return closed
            if not await self._stored.take_lease(live.name, self.token):
                return closed
            async with live.lock:
                found = await self._stored.next_round(live.name, self._length_of(judge), mark)
                if found is None:
                    return closed
                closed += await close(judge, found)
