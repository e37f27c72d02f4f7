"""Liveness, readiness with reasons, and metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from service.access.caller import ANYBODY, Caller
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Guarded, Open, login_of
from service.core import Core
from service.errors import Unavailable
from service.exposition import of_sources

router = APIRouter(tags=["health"], route_class=Open)


class _Metrics(Guarded):
    look = "metrics"


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The same, where lines cannot be judged now"}})
async def readyz(request: Request, core: CoreDependency) -> JSONResponse:
    """200 where lines can be judged, else 503; with reasons, versions and provider for whoever may read."""
    report: dict[str, Any] = await core.readiness()
    status = 200 if report["ready"] else 503
    try:
        caller = await _known(request, core)
    except Unavailable:
        # On loopback, where Redis has not yet said whether there are keys: what keeps it from that is to be found out.
        return JSONResponse({"ready": report["ready"], "reasons": report["reasons"]}, status)
    if caller is None or not caller.may("read"):
        return JSONResponse({"ready": report["ready"]}, status)
    for part in ("sources", "problems"):
        report[part] = {name: told for name, told in report[part].items() if caller.sees(name)}
    return JSONResponse(report, status)


async def metrics(core: CoreDependency, caller: CallerDependency) -> Response:
    """Prometheus' text format."""
    exposition = core.exposition()
    if caller.limited:
        exposition = of_sources(exposition, caller.sees)
    return Response(exposition, media_type=CONTENT_TYPE_LATEST)


router.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False, route_class_override=_Metrics)


async def _known(request: Request, core: Core) -> Caller | None:
    """Who asks; None: nobody who is known. Raises Unavailable where that is not known yet."""
    return await core.gate.known(request.headers, login_of(request)) if core.gate.asks else ANYBODY
