"""Liveness, readiness with reasons, and metrics."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from service.api.dependencies import CoreDependency

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "The same, where lines cannot be judged now"}})
async def readyz(core: CoreDependency) -> JSONResponse:
    """200 where lines can be judged, else 503 with the reasons; always with versions and provider."""
    report: dict[str, Any] = await core.readiness()
    return JSONResponse(report, 200 if report["ready"] else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(core: CoreDependency) -> Response:
    """Prometheus' text format."""
    return Response(core.exposition(), media_type=CONTENT_TYPE_LATEST)
