"""A notice as JSON to any HTTP address, signed where there is a secret.

Owns the body and the headers. The signature covers the time as well, so that a copy of an old notice can be told.
"""

import hashlib
import hmac
from collections.abc import Callable

import orjson

from service.notify.config import Target
from service.notify.notice import Notice
from service.notify.outcome import Outcome
from service.notify.peer import Peer

DELIVERY = "X-Tocsin-Delivery"
TIMESTAMP = "X-Tocsin-Timestamp"
SIGNATURE = "X-Tocsin-Signature"


class Webhook:
    """Posts notices to one address. ``clock`` gives seconds since the epoch."""

    def __init__(self, target: Target, clock: Callable[[], float]) -> None:
        self._peer = Peer(target.url, target.timeout_s, target.token, target.reach)
        self._secret = target.secret
        self._clock = clock

    async def send(self, notice: Notice) -> Outcome:
        """Post once."""
        body = encode(notice)
        at = str(int(self._clock()))
        headers = {DELIVERY: notice.delivery, TIMESTAMP: at}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, at, body)
        return await self._peer.post(body, headers)

    async def close(self) -> None:
        """Close its connections."""
        await self._peer.close()


def encode(notice: Notice) -> bytes:
    """The body: the notice in words, and under its kind's name what it is about."""
    return orjson.dumps(
        {
            "delivery": notice.delivery,
            "kind": notice.kind,
            "source": notice.source,
            "severity": notice.severity,
            "title": notice.title,
            "text": notice.text,
            "link": notice.link,
            notice.kind: dict(notice.detail),
        }
    )


def signature(secret: bytes, at: str, body: bytes) -> str:
    """What ``X-Tocsin-Signature`` says: ``v1=`` and HMAC-SHA256 in hex of the timestamp, a dot and the body."""
    return "v1=" + hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
