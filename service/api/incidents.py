"""``GET /incidents`` and ``GET /incidents/{id}``."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from service.api.dependencies import CoreDependency

router = APIRouter(tags=["incidents"])


@router.get("/incidents")
async def list_incidents(
    core: CoreDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[Literal["open", "acknowledged", "resolved", "silenced"] | None, Query()] = None,
    since: Annotated[
        float | None, Query(allow_inf_nan=False, description="raised at or after, seconds since the epoch")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of an earlier answer")] = None,
) -> dict[str, Any]:
    """Incidents, newest first, without their explanations."""
    return await core.desk.page(source, state, since, limit, cursor)


@router.get("/incidents/{incident}")
async def get_incident(core: CoreDependency, incident: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
    """One incident with its explanation: what was expected, what came, and the window in words."""
    return await core.desk.get(incident)
