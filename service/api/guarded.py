"""Routes that say who may call them: no route without a scope, and refused before a body is read.

Owns what a route declares, and the parts of a request that name a source. Does not know how callers are told apart
(``service.access.gate``).
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import Message

from models.errors import TocsinError
from service.access.caller import ANYBODY, Caller
from service.access.gate import Gate
from service.api.body import BodyError
from service.api.origin import SAFE, own_page
from service.api.reading import read_body
from service.state.apikeys import KeyScope

CALLER = "tocsin.caller"
"""Where the request holds who sends it."""
COOKIE, SECURE_COOKIE = "tocsin", "__Host-tocsin"
"""Over https browsers let nobody else set a cookie of that name."""
SMALL_BODY_BYTES = 1024 * 1024
"""Of what people send. Lines have limits of their own."""

Declared = KeyScope | Literal["open", "metrics"]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Guarded(APIRoute):
    """A route that needs scope ``look`` where it only shows something, else ``change``; ``open``: anybody may call it;
    ``metrics``: as the setting says.
    ``source`` is the parameter of its path that names a source. ``whole``: it is about all sources."""

    look: ClassVar[Declared] = "admin"
    change: ClassVar[Declared] = "admin"
    source: ClassVar[str | None] = None
    whole: ClassVar[bool] = False

    def needs(self, method: str) -> Declared:
        """What a request by this method needs."""
        return self.look if method in SAFE else self.change

    def spoken(self, request: Request, error: TocsinError) -> Response | None:
        """An error in the words of the protocol that this route speaks; None: as everywhere."""
        return None

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        has_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            try:
                return await admitted(request)
            except TocsinError as error:
                answer = self.spoken(request, error)
                if answer is None:
                    raise
                return answer

        async def admitted(request: Request) -> Response:
            core = request.app.state.core
            needed = self.needs(request.method)
            if needed == "metrics":
                # What counts before Redis ever answered has nothing of any source yet, and says that Redis is away.
                needed = "open" if core.settings.metrics_open or core.gate.undecided else "read"
            if needed != "open":
                await self._admit(request, core.gate, needed)
            if not has_body:
                return await handler(request)
            try:
                body = await read_body(request, SMALL_BODY_BYTES, core.settings.body_s)
            except BodyError as error:
                return JSONResponse({"error": str(error)}, error.status)
            return await handler(Request(request.scope, _given(body), request._send))

        return guarded

    async def _admit(self, request: Request, gate: Gate, needed: KeyScope) -> None:
        if not gate.asks:
            gate.host(request.headers.get("host", ""))
            return
        caller = await gate.caller(request.headers, login_of(request), address_of(request))
        if caller.by_browser:
            await own_page(request)
        gate.check(caller, needed)
        if self.whole:
            gate.check_whole(caller)
        named = [request.query_params.get("source"), self.source and request.path_params.get(self.source)]
        for source in named:
            if source:
                gate.check_source(caller, source)
        request.scope[CALLER] = caller


class Intake(Guarded):
    """Lines come in; shippers also ask before they send."""

    look = change = "ingest"


class Shown(Guarded):
    """Looked at."""

    look = "read"


class Answered(Guarded):
    """Looked at, and answered."""

    look, change = "read", "feedback"


class Open(Guarded):
    """For everybody."""

    look = change = "open"


def login_of(request: Request) -> str | None:
    """The cookie of a log-in."""
    return request.cookies.get(SECURE_COOKIE if request.url.scheme == "https" else COOKIE)


def address_of(request: Request) -> str:
    """Where a request comes from; behind a proxy on this machine, what that says."""
    return "" if request.client is None else request.client.host


def _given(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    """A body that is there already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def caller_of(request: Request) -> Caller:
    """Who sends it: what the route found out before anything else."""
    caller: Caller = request.scope.get(CALLER, ANYBODY)
    return caller


async def _caller(request: Request) -> Caller:
    return caller_of(request)


async def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.core.gate
    return gate


CallerDependency = Annotated[Caller, Depends(_caller)]
GateDependency = Annotated[Gate, Depends(_gate)]
