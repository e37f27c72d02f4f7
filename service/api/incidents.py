"""``GET /incidents``, ``GET /incidents/stream`` and ``GET /incidents/{id}``."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Shown
from service.api.stream import IncidentFeed

router = APIRouter(tags=["incidents"], route_class=Shown)

State = Literal["open", "acknowledged", "resolved", "silenced"]


@router.get("/incidents", responses=refusals(404))
async def list_incidents(
    core: CoreDependency,
    caller: CallerDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[State | None, Query()] = None,
    since: Annotated[
        float | None, Query(allow_inf_nan=False, description="raised at or after, seconds since the epoch")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of an earlier answer")] = None,
) -> dict[str, Any]:
    """Incidents, newest first, without their explanations."""
    return await core.desk.page(source, state, since, limit, cursor, caller.view)


@router.get("/incidents/stream", response_class=StreamingResponse)
async def follow_incidents(
    request: Request,
    caller: CallerDependency,
    source: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[State | None, Query()] = None,
) -> StreamingResponse:
    """Server-sent events: ``ready``, then an ``incident`` as the list has it for each that is raised, seen again or
    answered; ``state``: those that are in it by then. What was before ``ready`` is in ``GET /incidents``."""
    feed: IncidentFeed = request.app.state.feed
    events = feed.follow(source, state, caller.view)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.get("/incidents/{incident}", responses=refusals(404))
async def get_incident(
    core: CoreDependency, caller: CallerDependency, incident: Annotated[str, Path(max_length=64)]
) -> dict[str, Any]:
    """One incident with its explanation: what was expected, what came, the window in words, the nearest normal session
    and the difference, and similar incidents with what people said of them."""
    return await core.desk.explained(incident, caller.view)
