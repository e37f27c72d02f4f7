"""``GET /verdicts``: the verdicts of session ends, which no request waited for."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import Shown

router = APIRouter(tags=["verdicts"], route_class=Shown)


@router.get("/verdicts", responses=refusals(404))
async def list_verdicts(
    core: CoreDependency,
    source: Annotated[str, Query(max_length=64)],
    since: Annotated[str | None, Query(max_length=40, description="`next` of an earlier answer, or seconds")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> dict[str, Any]:
    """Verdicts of ended sessions, oldest first, after ``since``; ask again with ``next`` for the following ones."""
    return await core.session_verdicts(source, since, limit)
