"""What every answer tells browsers: nothing of it may run, be framed, be guessed at or kept, unless it says so itself.

Plain ASGI, as ``measure``. The page's own answers bring the policy that lets their script and style in.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
POLICY = "default-src 'none'; frame-ancestors 'none'"
REFERRER = "same-origin"
"""Not "no-referrer": browsers would then send "Origin: null" with what the page itself posts."""
HSTS = "max-age=31536000"

_USUAL = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", REFERRER.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_SECURE = [*_USUAL, (b"strict-transport-security", HSTS.encode())]


class SecurityHeaders:
    """Adds what an answer does not say itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        usual = _SECURE if scope.get("scheme") == "https" else _USUAL

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                said = {name for name, _ in headers}
                headers.extend(pair for pair in usual if pair[0] not in said)
            await send(message)

        await self._app(scope, receive, adding)


def told(headers: MutableHeaders) -> None:
    """Add them to an answer that no middleware sees."""
    for name, value in _USUAL:
        headers.setdefault(name.decode(), value.decode())
