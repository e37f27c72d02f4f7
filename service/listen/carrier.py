"""Entries to the core, tried again until each was stored or can never be: what listeners have in place of an answer.

A batch for several sources goes under a key of its own for each, so that trying again judges nothing twice. Owns what
becomes of entries that nobody can be told about: they are counted by reason, and now and then the log says why.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence

from service.core import Core
from service.delivery import BAD, UNKNOWN, Failure, deliver_to, off_loop
from service.intake.entry import Decoded, Entry
from service.intake.routing import Routing

log = logging.getLogger("tocsin.listen")

MAX_UNKNOWN = 64
"""Names of sources in one batch that are looked up: a sender may make up any number."""
ENTRY_BYTES = 500
"""Of a usual entry, to tell whether a thread is worth its while."""
SAY_EVERY_S = 60.0
LONGEST_PAUSE_S = 10.0

REASONS = {BAD: "refused", UNKNOWN: "source"}


class Carrier:
    """Carries what one kind of listener takes in; ``usual`` as for ``Routing.divide``."""

    def __init__(self, core: Core, routing: Routing, usual: Sequence[str]) -> None:
        self._core = core
        self._routing = routing
        self._usual = usual
        self._said = -SAY_EVERY_S
        self._unsaid: Counter[str] = Counter()

    async def carry(self, listener: str, decoded: Decoded, named: str | None, run: str | None = None) -> None:
        """Return once every entry is stored, or counted as dropped. Waits for as long as the service cannot take them.

        Entries of one source keep their order; a source that is busy holds up the others of the batch's end. Under the
        name of the same ``run`` the same entries have their effects once, whoever carries them, and however often.
        """
        size = ENTRY_BYTES * len(decoded.entries)
        by_source = await off_loop(size, self._routing.divide, decoded, named, self._usual)
        for error in decoded.errors.values():
            self.drop(listener, "no_source", 1, error)
        self._core.metrics.intake_messages.labels(listener).inc(len(decoded.entries))
        left = self._known(listener, by_source)
        digest = os.urandom(32) if run is None else hashlib.sha256(run.encode()).digest()
        while left:
            results = await asyncio.gather(
                *(deliver_to(self._core, self._routing, s, e, ENTRY_BYTES * len(e), digest) for s, e in left.items()),
                return_exceptions=True,
            )
            left, pause_s = self._again(listener, left, results)
            if left:
                await asyncio.sleep(min(pause_s, LONGEST_PAUSE_S))

    def drop(self, listener: str, reason: str, count: int, why: str = "") -> None:
        """Count messages that are not judged, and say so once in a while."""
        self._core.metrics.intake_dropped.labels(listener, reason).inc(count)
        self._unsaid[f"{listener} {reason}"] += count
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S:
            counted = ", ".join(f"{what} {number}" for what, number in self._unsaid.items())
            log.warning("messages dropped: %s%s", counted, f" ({why[:300]!r})" if why else "")
            self._unsaid.clear()
            self._said = now

    def _known(self, listener: str, by_source: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
        """Sources that are served, and as many other names as may be looked up."""
        live = self._core.sources.live
        unknown = [source for source in by_source if source not in live]
        for source in unknown[MAX_UNKNOWN:]:
            self.drop(listener, "source", len(by_source.pop(source)), f"over {MAX_UNKNOWN} unknown sources at once")
        return by_source

    def _again(
        self,
        listener: str,
        tried: dict[str, list[Entry]],
        results: Sequence[dict[int, Failure] | BaseException],
    ) -> tuple[dict[str, list[Entry]], float]:
        """What to try again, and after how many seconds."""
        left: dict[str, list[Entry]] = {}
        pause_s = 0.0
        for (source, entries), result in zip(tried.items(), results, strict=True):
            if isinstance(result, Exception):
                # A fault of ours: these entries would meet it again.
                log.error("lines for source %r could not be judged", source, exc_info=result)
                self.drop(listener, "error", len(entries), str(result))
                continue
            if isinstance(result, BaseException):
                raise result
            passing = next((failure for failure in result.values() if failure.passes), None)
            if passing is not None:
                left[source] = entries
                pause_s = max(pause_s, float(passing.retry_after_s or 1))
                continue
            for failure in result.values():
                self.drop(listener, REASONS.get(failure.status, "refused"), 1, failure.error)
        return left, pause_s
