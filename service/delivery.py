"""From a shipper's body to the batches of its sources: what routes and listeners do between reading and answering.

One entry that cannot be taken costs nothing but itself; a source that cannot take its entries now fails those only.
Owns neither a protocol's format (``service.intake``) nor what its answers look like (its route, or ``service.listen``).
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import orjson

from models.errors import StateError, TocsinError
from service.access.caller import Caller
from service.access.gate import Gate
from service.core import Core
from service.errors import Conflict, NotAllowed, QueueFull, Unavailable, UnknownSource, http_status
from service.intake.entry import Decoded, Entry
from service.intake.request import build
from service.intake.routing import Routing

P = ParamSpec("P")
T = TypeVar("T")

MAX_SOURCES = 64
"""In one request: each unknown name is looked up."""
IN_LINE_BYTES = 64 * 1024
"""Smaller bodies are decoded where they came in; a thread would take longer than they do."""
ERRORS_SHOWN = 3
BAD, NOT_ALLOWED, UNKNOWN, BUSY, AWAY = 400, 403, 404, 429, 503
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an entry was not taken: ``status`` 400 wrong, 403 not for this caller, 404 no such source, 429 too much
    waits, 503 not now."""

    status: int
    error: str
    retry_after_s: int | None = None

    @property
    def passes(self) -> bool:
        """Whether trying again helps."""
        return self.status in (BUSY, AWAY)


async def off_loop(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do CPU work in a thread where the body of ``size`` bytes is large."""
    if size <= IN_LINE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def deliver(
    core: Core,
    caller: Caller,
    routing: Routing,
    decoded: Decoded,
    body: bytes,
    *,
    named: str | None,
    usual: Sequence[str],
    whole: bool,
) -> dict[int, Failure]:
    """Hand every entry to its source; what failed and why, by the entry's index in the body, in order.

    ``named`` and ``usual`` as for ``Routing.divide``. ``whole``: the client can only try the whole body again. Then a
    body for several sources goes under its own hash, so that those that took it the first time answer the same again.

    Raises TooFast where the caller sends too much, NotAllowed where all of it is for sources that they may not see.
    """
    core.gate.charge(caller, decoded.received)
    by_source = await off_loop(len(body), routing.divide, decoded, named, usual)
    failures = {index: Failure(BAD, error) for index, error in decoded.errors.items()}
    digest = hashlib.sha256(body).digest() if whole and len(by_source) > 1 else None
    if caller.limited:
        _withhold(core.gate, caller, by_source, failures)
    taken = list(by_source.items())[:MAX_SOURCES]
    for _, entries in list(by_source.items())[MAX_SOURCES:]:
        excess = Failure(BAD, f"names more than {MAX_SOURCES} sources in one request; map them to fewer")
        failures.update((entry.index, excess) for entry in entries)
    results = await asyncio.gather(
        *(deliver_to(core, routing, source, entries, len(body), digest) for source, entries in taken),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
        failures.update(result)
    return dict(sorted(failures.items()))


def _withhold(gate: Gate, caller: Caller, by_source: dict[str, list[Entry]], failures: dict[int, Failure]) -> None:
    """Take out what is for sources that the caller may not see. Raises NotAllowed where nothing else is there."""
    foreign = [source for source in by_source if not caller.sees(source)]
    for source in foreign:
        try:
            gate.check_source(caller, source)
        except NotAllowed as error:
            if len(foreign) == len(by_source) and not failures:
                raise
            refused = Failure(NOT_ALLOWED, str(error))
        failures.update((entry.index, refused) for entry in by_source[source])
    for source in foreign:
        del by_source[source]


def summary(failures: Mapping[int, Failure], received: int) -> str:
    """What was not taken, for one line of a shipper's log; empty where everything was."""
    if not failures:
        return ""
    reasons: dict[str, list[int]] = {}
    for index, failure in failures.items():
        reasons.setdefault(failure.error, []).append(index)
    shown = [
        f"{error[:300]} (entry {indexes[0]}{f' and {len(indexes) - 1} more' if len(indexes) > 1 else ''})"
        for error, indexes in list(reasons.items())[:ERRORS_SHOWN]
    ]
    if len(reasons) > ERRORS_SHOWN:
        shown.append(f"{len(reasons) - ERRORS_SHOWN} other reasons")
    return f"{len(failures)} of {received} entries rejected: {'; '.join(shown)}"


def first_passing(failures: Mapping[int, Failure]) -> Failure | None:
    """The first failure that trying again helps."""
    return next((failure for failure in failures.values() if failure.passes), None)


async def deliver_to(
    core: Core, routing: Routing, source: str, entries: list[Entry], size: int, digest: bytes | None
) -> dict[int, Failure]:
    """Hand entries to one source; what failed, by index. Under the same ``digest`` they are judged once."""
    try:
        live = await core.sources.get(source)
        request = await off_loop(size, build, live.source, entries, routing)
        key = None if digest is None else f"intake-{digest.hex()}"
        answer = await core.ingest(request, digest or b"", "none", key)
    except TocsinError as error:
        failure = _failure(error)
        return {entry.index: failure for entry in entries}
    if b'"rejected":[]' in answer.body[:200]:
        return {}
    rejected = orjson.loads(answer.body)["rejected"]
    return {entries[each["index"]].index: Failure(BAD, each["error"]) for each in rejected}


def _failure(error: TocsinError) -> Failure:
    if isinstance(error, UnknownSource):
        return Failure(UNKNOWN, str(error))
    if isinstance(error, QueueFull | Unavailable | Conflict | StateError):
        status, retry_after_s = http_status(error)
        return Failure(BUSY if status == BUSY else AWAY, str(error), retry_after_s or RETRY_AFTER_S)
    return Failure(BAD, str(error))
