"""``GET /verdicts``: what no request waited for: verdicts of session ends, and of batches out of the durable queue."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, GateDependency, Shown
from service.errors import WrongValue

router = APIRouter(tags=["verdicts"], route_class=Shown)


@router.get("/verdicts", responses=refusals(404, 410))
async def list_verdicts(
    core: CoreDependency,
    caller: CallerDependency,
    gate: GateDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    batch: Annotated[str | None, Query(max_length=200, description="what a 202 named")] = None,
    since: Annotated[str | None, Query(max_length=40, description="`next` of an earlier answer, or seconds")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """Verdicts of ended sessions of a source, oldest first, after ``since``; ask again with ``next`` for the following
    ones. With ``batch`` what became of that batch: `queued` with how many lines are left, or `done` with its
    verdicts."""
    if batch is not None:
        gate.check_source(caller, batch.partition(":")[0])
        return await core.told.of_batch(batch, source, since, limit)
    if source is None:
        raise WrongValue("name a source, or the batch of a 202")
    return await core.told.of_sessions(source, since, limit)
