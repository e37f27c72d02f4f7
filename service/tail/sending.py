"""Logs to a service: piece after piece, each kept as sent only when it was acknowledged.

Owns the order (one piece of each log in turn, one request at a time) and how a piece becomes a request. Its key is made
of the file and the place, so that the same piece is judged once however often it is sent.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import orjson

from service.replay.client import ServiceClient, Sleep
from service.tail.file import Piece
from service.tail.followed import Followed
from service.tail.places import Places

POLL_S = 0.25
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(slots=True)
class Sent:
    """What was acknowledged so far; ``waiting`` is in bytes of the files that are open."""

    lines: int = 0
    rejected: int = 0
    batches: int = 0
    retries: int = 0
    waiting: int = 0


class Backoff:
    """Pauses between attempts: what the service asks for, and twice as long each time from half a second to 30 s."""

    def __init__(self, say: Callable[[float], None], sleep: Sleep = asyncio.sleep) -> None:
        self._say = say
        self._sleep = sleep
        self._failures = 0

    async def __call__(self, seconds: float) -> None:
        """Wait at least ``seconds``."""
        own = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        pause_s = max(seconds, own)
        self._say(pause_s)
        await self._sleep(pause_s)

    def reset(self) -> None:
        """An attempt went well."""
        self._failures = 0


async def send(
    client: ServiceClient,
    source: str,
    logs: Sequence[Followed],
    places: Places,
    *,
    once: bool,
    most: int,
    sent: Sent,
    acknowledged: Callable[[], None],
) -> None:
    """Send what the logs have, and what they get; with ``once`` to their ends only.

    ``acknowledged`` is called after each answer and poll; ``sent`` counts. Raises ReplayError, TailError.
    """
    for log in logs:
        # Where a log begins is a place too: begun at its end, it does not begin there again.
        log.next(most, monotonic())
        if log.opened and places.of(log.path)[0] is None:
            places.keep(log.path, log.place)
    while True:
        found = False
        for log in logs:
            piece = log.next(most, monotonic(), last=once)
            if piece is None:
                continue
            found = True
            places.sending(log.path, log.place, piece)
            body = orjson.dumps({"source": source, "lines": piece.lines})
            reply = await client.ingest(body, _key(piece, body))
            places.sent(log.path, piece)
            log.pass_by(piece)
            sent.lines += len(piece.lines)
            sent.rejected += len(reply.body["rejected"])
            sent.batches += 1
            sent.retries += reply.retries
            sent.waiting = sum(one.waiting for one in logs)
            acknowledged()
        if not found:
            if once:
                return
            acknowledged()
            await asyncio.sleep(POLL_S)


def _key(piece: Piece, body: bytes) -> str:
    after = piece.after
    where = f"tail {after.device} {after.inode} {after.head} {piece.start} {after.offset}\x1f"
    return hashlib.sha256(where.encode() + body).hexdigest()[:40]
