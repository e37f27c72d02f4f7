"""All notifiers of one process: begun, run, stopped, tried by hand, and their dead notices looked at.

Owns which there are. Does not know how any of them works.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio import Redis

from service.errors import NotFound, WrongValue
from service.metrics import Metrics
from service.notify.channels import open_channel
from service.notify.config import NotifyConfig
from service.notify.outcome import Outcome
from service.notify.sender import Sender
from service.state import keys, outbox


class Notifying:
    """Notifiers of a configuration; without one nobody is told. Raises ConfigError where one of them cannot work."""

    def __init__(
        self,
        config: NotifyConfig,
        *,
        redis: Redis,
        names: Callable[[], Iterable[str]],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock
        self._senders = {
            target.name: Sender(
                target,
                open_channel(target, clock),
                redis=redis,
                names=names,
                public_url=config.public_url,
                metrics=metrics,
                clock=clock,
            )
            for target in config.targets
        }

    async def begin(self) -> None:
        """Before anything is judged: whatever is raised from here on is told. Raises StateError."""
        for sender in self._senders.values():
            await sender.begin()

    async def keep_sending(self) -> None:
        """Every notifier's loop."""
        await asyncio.gather(*(sender.keep_sending() for sender in self._senders.values()))

    async def stop(self) -> None:
        """After the loops have ended."""
        await asyncio.gather(*(sender.stop() for sender in self._senders.values()))

    async def described(self) -> list[dict[str, Any]]:
        """Each notifier without its secrets, and how many notices wait and are dead."""
        return [
            {
                "name": name,
                "kind": sender.target.kind,
                "address": sender.target.address,
                "sources": list(sender.target.sources),
                "min_severity": sender.target.min_severity,
                "budget": sender.target.budget.model_dump(),
                **await self._counts(sender),
            }
            for name, sender in self._senders.items()
        ]

    async def test(self, name: str) -> Outcome:
        """Send a test notice, once. Raises NotFound."""
        return await self._sender(name).test()

    async def dead(self, notifier: str | None, limit: int) -> list[dict[str, Any]]:
        """Notices that could not be delivered, newest first."""
        found: list[dict[str, Any]] = [
            {
                "notifier": name,
                "source": source,
                "delivery": one.waiting.delivery,
                "incident": one.waiting.incident,
                "held_back": None if one.waiting.held is None else one.waiting.held["count"],
                "why": one.why,
                "reason": one.waiting.reason,
                "tries": one.waiting.tries,
                "since": one.waiting.since,
                "at": one.at,
            }
            for name, source in self._pairs(notifier)
            for one in await outbox.dead(self._redis, source, name, limit)
        ]
        found.sort(key=lambda one: float(one["at"]), reverse=True)
        return found[:limit]

    async def raise_dead(self, notifier: str | None, *, again: bool) -> int:
        """Let all dead notices be tried again, or drop them; how many there were."""
        raised = 0
        for name, source in self._pairs(notifier):
            found = await outbox.dead(self._redis, source, name, keys.DEAD_KEPT)
            raised += await outbox.raise_dead(self._redis, source, name, found, again=again)
        return raised

    async def _counts(self, sender: Sender) -> dict[str, int]:
        every = [await outbox.counts(self._redis, source, name) for name, source in self._pairs(sender.target.name)]
        return {"waiting": sum(waiting for waiting, _ in every), "dead": sum(dead for _, dead in every)}

    def _pairs(self, notifier: str | None) -> list[tuple[str, str]]:
        senders = self._senders.values() if notifier is None else [self._sender(notifier)]
        names = sorted(self._names())
        return [(one.target.name, source) for one in senders for source in names if one.target.wants(source)]

    def _sender(self, name: str) -> Sender:
        if not self._senders:
            raise WrongValue("no notifiers are configured; TOCSIN_NOTIFY names their file")
        if name not in self._senders:
            raise NotFound(f"no notifier {name!r}; there are: {', '.join(self._senders)}")
        return self._senders[name]
