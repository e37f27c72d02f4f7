"""The ASGI application: routes, one mapping of errors to HTTP, request metrics. Start and stop are ``Core``'s."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from models.errors import TocsinError
from service.api import (
    bulk,
    feedback,
    health,
    incidents,
    ingest,
    login,
    loki,
    models,
    mutes,
    notifications,
    otlp,
    page,
    queue,
    sources,
    verdicts,
)
from service.api.declared import refusals
from service.api.headers import SecurityHeaders, told
from service.api.measure import RequestMetrics
from service.api.origin import own_page
from service.api.page import wants_html
from service.api.stream import IncidentFeed
from service.core import Core
from service.errors import NoKey, http_status
from service.intake.routing import Routing
from service.listen.listeners import Listeners
from service.page.page import Page

ROUTERS = (
    ingest, otlp, loki, page, bulk, login, verdicts, incidents, feedback, sources, models, mutes, notifications,
    queue, health,
)  # fmt: skip
"""Routes are tried in this order: lines first. ``/`` is the page's for browsers, and what is left is ``bulk``'s."""
BY_HAND = (feedback, sources, models, mutes, notifications, queue)
"""What people change: browsers may for nobody but our own page."""


def create_app(core: Core, settled: Callable[[], None] = lambda: None) -> FastAPI:
    """The application over a composed core, which it starts and drains; ``settled`` is called once that has begun and
    holds what it will hold. Raises ConfigError for wrong intake."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await core.start()
        try:
            await app.state.listeners.start()
            await _prepare_routes(app)
            settled()
            yield
        finally:
            await app.state.listeners.stop()
            await app.state.feed.close()
            await core.stop()

    # FastAPI's own pages of the calls would have browsers run scripts of a third party; /openapi.json says the same.
    app = FastAPI(
        title="Tocsin", summary="Streaming log anomaly detection", lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.core = core
    app.state.feed = IncidentFeed(core)
    app.state.page = Page(core)
    app.state.routing = Routing.load(core.settings.intake_rules)
    app.state.listeners = Listeners(core, app.state.routing)
    for module in ROUTERS:
        by_hand = module in BY_HAND
        app.include_router(
            module.router,
            dependencies=[Depends(own_page)] if by_hand else [],
            responses=refusals(401, 403, 422, 429, 503, *((400, 408, 413, 415) if by_hand else ())),
        )
    app.add_exception_handler(TocsinError, _tocsin_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)
    app.add_middleware(RequestMetrics, metrics=core.metrics)
    app.add_middleware(SecurityHeaders)
    return app


async def _prepare_routes(app: FastAPI) -> None:
    """Have every route prepared by asking for one that there is not: FastAPI prepares them at the first request, which
    then took a fifth of a second longer."""

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_message: Message) -> None:
        """Nobody is there."""

    scope = {
        "type": "http", "method": "GET", "path": "/no/such/route", "root_path": "", "query_string": b"", "headers": [],
    }  # fmt: skip
    await app.router(scope, receive, send)


async def _tocsin_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)
    status, retry_after_s = http_status(error)
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if isinstance(error, NoKey):
        if request.method == "GET" and wants_html(request.scope):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(login.address(request.url.path + query), 303)
        # Not Basic: a browser would ask by a window of its own, and send what it is told to every page's requests.
        headers["WWW-Authenticate"] = 'Bearer realm="tocsin"'
    return JSONResponse({"error": str(error)}, status, headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    """What the framework refuses by itself (no such call, no JSON), in the words of all other refusals."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _fault(_request: Request, _error: Exception) -> Response:
    """A fault of ours, which is in the log: no middleware sees this answer."""
    response = JSONResponse({"error": "a fault of the service; its log says more"}, 500)
    told(response.headers)
    return response


async def _gone(_request: Request, _error: Exception) -> Response:
    """Whoever went away before the body had come reads no answer; it is counted as a client's fault."""
    return Response(status_code=400)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse({"error": wrong}, 422)
