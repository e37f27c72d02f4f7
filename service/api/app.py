"""The ASGI application: routes, one mapping of errors to HTTP, request metrics. Start and stop are ``Core``'s."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from models.errors import TocsinError
from service.api import feedback, health, incidents, ingest, models, sources, verdicts
from service.api.measure import RequestMetrics
from service.core import Core
from service.errors import http_status

ROUTERS = (ingest, verdicts, incidents, feedback, sources, models, health)


def create_app(core: Core) -> FastAPI:
    """The application over a composed core, which it starts and drains."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await core.start()
        try:
            yield
        finally:
            await core.stop()

    app = FastAPI(title="Tocsin", summary="Streaming log anomaly detection", lifespan=lifespan)
    app.state.core = core
    for module in ROUTERS:
        app.include_router(module.router)
    app.add_exception_handler(TocsinError, _tocsin_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_middleware(RequestMetrics, metrics=core.metrics)
    return app


async def _tocsin_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TocsinError)
    status, retry_after_s = http_status(error)
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return JSONResponse({"error": str(error)}, status, headers)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return JSONResponse({"error": wrong}, 422)
