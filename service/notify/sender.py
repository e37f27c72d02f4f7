"""Tells one notifier's peer of incidents: admits what its budget lets pass, sends, tries again, gives up.

Owns the loop and the order of its steps. One process at a time sends for a notifier, under a lease; each notifier has a
loop of its own, so a slow peer holds up nobody else. A crash between sending and settling sends twice, under the same
delivery id. Does not know how a notice travels (``Channel``), nor how things lie in Redis (``outbox``).
"""

import asyncio
import contextlib
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import uuid4

from redis.asyncio import Redis

from models.errors import StateError
from service.incidents.severity import SEVERITIES, at_least, severity
from service.metrics import Metrics
from service.notify import notice as notices
from service.notify.backoff import pause_s
from service.notify.config import Target
from service.notify.notice import Notice
from service.notify.outcome import Channel, Outcome
from service.state import incidents, mutes, outbox
from service.state.incidents import StoredIncident
from service.state.mutes import Mute
from service.state.outbox import Desk, Waiting, Why

log = logging.getLogger("tocsin.notify")

ROUND_EVERY_S = 1.0
AT_ONCE = 4
"""Attempts that run at a time: a lease is renewed before each such group."""


class Sender:
    """Sends for one notifier. ``names`` gives the sources that are served."""

    def __init__(
        self,
        target: Target,
        channel: Channel,
        *,
        redis: Redis,
        names: Callable[[], Iterable[str]],
        public_url: str | None,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.target = target
        self._channel = channel
        self._redis = redis
        self._names = names
        self._public_url = public_url
        self._metrics = metrics
        self._clock = clock
        self._token = uuid4().hex
        self._met: set[str] = set()
        """Sources in whose outbox the notifier has a place."""
        self._not_before: dict[str, float] = {}
        """Delivery -> when, on the loop's clock, it may be tried again."""
        self._quiet_until = 0.0
        """On the loop's clock: the peer asked to be left alone."""

    async def begin(self) -> None:
        """Begin behind what is in the outboxes already: nobody is told of what was before a notifier."""
        await self._meet(at_end=True)

    async def keep_sending(self) -> None:
        """Rounds, for ever. What goes wrong in one is left to the next."""
        while True:
            try:
                await self.round()
            except StateError:
                pass  # the core says so, and Redis comes back
            except Exception:
                log.exception("notifier %s: a round failed", self.target.name)
            await asyncio.sleep(ROUND_EVERY_S)

    async def round(self) -> None:
        """Admit what came, end windows that are over, and make one attempt at all that is due. Nothing where another
        process holds the lease. Raises StateError where Redis is away."""
        if not await self._lease():
            self._metrics.notices_waiting.labels(self.target.name).set(0)
            return
        # Sources that came since the start have nothing in their outbox that was before the notifier.
        await self._meet(at_end=False)
        sources = sorted(self._met)
        desks = await outbox.desks(self._redis, sources, self.target.name) if sources else []
        moved = [await self._move(source, desk) for source, desk in zip(sources, desks, strict=True)]
        if any(moved):
            desks = await outbox.desks(self._redis, sources, self.target.name)
        await self._send([(source, w) for source, desk in zip(sources, desks, strict=True) for w in desk.waiting])

    async def test(self) -> Outcome:
        """One attempt at a notice that says it is a test."""
        delivery = uuid4().hex
        return await self._attempt(notices.of_test(delivery, self.target.name, self._clock(), self._public_url))

    async def stop(self) -> None:
        """Let another process go on. The loop has ended by now."""
        with contextlib.suppress(StateError):  # it ends by itself
            await outbox.leave_lease(self._redis, self.target.name, self._token)
        await self._channel.close()

    async def _lease(self) -> bool:
        return await outbox.take_lease(self._redis, self.target.name, self._token, self.target.timeout_s)

    async def _meet(self, *, at_end: bool) -> None:
        for source in {name for name in self._names() if self.target.wants(name)} - self._met:
            await outbox.begin(self._redis, source, self.target.name, at_end=at_end)
            self._met.add(source)

    async def _move(self, source: str, desk: Desk) -> bool:
        """Take one step with a source; whether there was one to take."""
        if desk.place is None:  # Redis was emptied
            await outbox.begin(self._redis, source, self.target.name, at_end=False)
            return False
        if desk.window is not None and self._clock() >= desk.window + self.target.budget.window_s:
            return await self._end_window(source, desk, desk.window)
        return desk.new and await self._admit(source, desk, desk.place)

    async def _admit(self, source: str, desk: Desk, place: str) -> bool:
        """Let pass what the budget allows, the strangest first; count the rest."""
        came = await outbox.after(self._redis, source, place)
        if not came:
            return False
        found = await incidents.several(self._redis, source, [incident for _, incident in came])
        windows = await mutes.read(self._redis, source)
        at = {incident: where for where, incident in came}
        left_out: Counter[str] = Counter()
        wanted = []
        for name in at:
            why = self._unwanted(found.get(name), windows)
            if why is None:
                wanted.append(found[name])
            else:
                left_out[why] += 1
        wanted.sort(key=lambda incident: (-incident.score, incident.id))
        window = desk.window if desk.window is not None or not wanted else self._clock()
        earlier = sum(waiting.window != window for waiting in desk.waiting)
        room = max(0, self.target.budget.notices - desk.admitted - earlier)
        admitted = [
            Waiting(self._delivery(source, at[incident.id]), incident.id, window or 0.0, incident.score)
            for incident in wanted[:room]
        ]
        held = [(i.score, i.id, severity(i.score, i.body.get("reasons", ()))) for i in wanted[room:]]
        done = await outbox.admit(
            self._redis,
            source,
            self.target.name,
            places=(place, came[-1][0]),
            window=window,
            admitted=admitted,
            held=held,
        )
        if done:
            left_out["held_back"] += len(held)
            for why, count in left_out.items():
                self._count(source, why, count)
        return done

    async def _end_window(self, source: str, desk: Desk, window: float) -> bool:
        count = sum(desk.held.values())
        telling = None
        if count:
            held = {
                "count": count,
                "by_severity": {name: desk.held[name] for name in SEVERITIES if desk.held.get(name)},
                "from": window,
                "until": self._clock(),
                "top": await outbox.strangest_held(self._redis, source, self.target.name),
            }
            telling = Waiting(self._delivery(source, f"held {window!r}"), None, window, held=held)
        return await outbox.end_window(self._redis, source, self.target.name, desk, telling)

    async def _send(self, waiting: Sequence[tuple[str, Waiting]]) -> None:
        """One attempt at each that is due: the strangest first, and those first that did not fail yet."""
        self._metrics.notices_waiting.labels(self.target.name).set(len(waiting))
        self._not_before = {w.delivery: self._not_before.get(w.delivery, 0.0) for _, w in waiting}
        now = asyncio.get_running_loop().time()
        due = [(source, w) for source, w in waiting if self._not_before[w.delivery] <= now]
        due.sort(key=lambda one: (one[1].tries, -one[1].score))
        for start in range(0, len(due), AT_ONCE):
            if asyncio.get_running_loop().time() < self._quiet_until or not await self._lease():
                return
            await _all(self._try(source, w) for source, w in due[start : start + AT_ONCE])

    async def _try(self, source: str, waiting: Waiting) -> None:
        notice, why = await self._notice(source, waiting)
        if notice is None:
            if await outbox.settle(self._redis, source, self.target.name, waiting.delivery):
                self._count(source, why)
            return
        outcome = await self._attempt(notice)
        if outcome.sent:
            if await outbox.settle(self._redis, source, self.target.name, waiting.delivery):
                self._count(source, "sent")
            return
        await self._failed(source, waiting, outcome)

    async def _failed(self, source: str, waiting: Waiting, outcome: Outcome) -> None:
        self._count(source, "failed")
        now = self._clock()
        tried = waiting.tried(outcome.reason, now)
        if outcome.refused or now - tried.since >= self.target.give_up_s:
            why: Why = "refused" if outcome.refused else "gave_up"
            if await outbox.bury(self._redis, source, self.target.name, tried, now, why):
                self._count(source, "dead")
                log.warning("notifier %s (%s): gave up a notice of source %s after %d attempts: %s",
                            self.target.name, self.target.address, source, tried.tries, outcome.reason)  # fmt: skip
            return
        if tried.tries == 1:
            log.warning("notifier %s (%s): %s; trying again", self.target.name, self.target.address, outcome.reason)
        loop_now = asyncio.get_running_loop().time()
        wait_s = pause_s(tried.tries, self.target.retry_s, random.random)
        if outcome.retry_after_s is not None:
            wait_s = max(wait_s, outcome.retry_after_s)
            self._quiet_until = max(self._quiet_until, loop_now + outcome.retry_after_s)
        self._not_before[waiting.delivery] = loop_now + wait_s
        await outbox.tried(self._redis, source, self.target.name, tried)

    async def _attempt(self, notice: Notice) -> Outcome:
        try:
            return await self._channel.send(notice)
        except Exception as error:
            log.exception("notifier %s failed", self.target.name)
            return Outcome(False, type(error).__name__)

    async def _notice(self, source: str, waiting: Waiting) -> tuple[Notice | None, str]:
        """What is to be told, as things are now; or None, and why nothing is."""
        if waiting.held is not None:
            return notices.of_held_back(waiting.delivery, source, waiting.held, self._public_url), ""
        found = await incidents.get(self._redis, source, waiting.incident or "")
        why = self._unwanted(found, await mutes.read(self._redis, source))
        if found is None or why is not None:
            return None, why or "gone"
        return notices.of_incident(waiting.delivery, found, self._public_url), ""

    def _unwanted(self, incident: StoredIncident | None, windows: Sequence[Mute]) -> str | None:
        """Why nobody is to be told of an incident; None where somebody is."""
        if incident is None:
            return "gone"
        if incident.state != incidents.OPEN:
            return "answered"
        if mutes.muted(windows, incident.raised):
            return "muted"
        level = severity(incident.score, incident.body.get("reasons", ()))
        return None if at_least(level, self.target.min_severity) else "below_severity"

    def _delivery(self, source: str, what: str) -> str:
        return hashlib.sha256(f"{source}\x1f{self.target.name}\x1f{what}".encode()).hexdigest()[:32]

    def _count(self, source: str, outcome: str, number: int = 1) -> None:
        if number:
            self._metrics.notices.labels(self.target.name, source, outcome).inc(number)


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Run all to their end, then raise what the first that failed did."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
