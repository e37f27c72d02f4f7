"""The ASGI application: routes, one mapping of errors to HTTP, request metrics. Start and stop are ``Core``'s."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from models.errors import TocsinError
from service.api import (
    bulk,
    feedback,
    health,
    incidents,
    ingest,
    loki,
    models,
    mutes,
    notifications,
    otlp,
    page,
    sources,
    verdicts,
)
from service.api.declared import refusals
from service.api.measure import RequestMetrics
from service.api.origin import own_page
from service.api.stream import IncidentFeed
from service.core import Core
from service.errors import http_status
from service.intake.routing import Routing
from service.listen.listeners import Listeners
from service.page.page import Page

ROUTERS = (page, ingest, otlp, loki, bulk, verdicts, incidents, feedback, sources, models, mutes, notifications, health)
BY_HAND = (feedback, sources, models, mutes, notifications)
"""What people change: browsers may for nobody but our own page."""


def create_app(core: Core) -> FastAPI:
    """The application over a composed core, which it starts and drains. Raises ConfigError for wrong intake."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await core.start()
        try:
            await app.state.listeners.start()
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
            responses=refusals(422, 503, *((400, 403, 415) if by_hand else ())),
        )
    app.add_exception_handler(TocsinError, _tocsin_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_middleware(RequestMetrics, metrics=core.metrics)
    return app


async def _tocsin_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)
    status, retry_after_s = http_status(error)
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return JSONResponse({"error": str(error)}, status, headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    """What the framework refuses by itself (no such call, no JSON), in the words of all other refusals."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    """Whoever went away before the body had come reads no answer; it is counted as a client's fault."""
    return Response(status_code=400)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse({"error": wrong}, 422)
