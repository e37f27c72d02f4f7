"""``/queue``: how much of what was accepted waits, and what could not be judged."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import Guarded


class _Queue(Guarded):
    look, whole = "read", True


router = APIRouter(tags=["queue"], route_class=_Queue)

Source = Annotated[str | None, Query(max_length=64, description="one source; all where it is left out")]


@router.get("/queue", responses=refusals(404))
async def queue(core: CoreDependency, source: Source = None) -> dict[str, Any]:
    """Of every source how many accepted lines wait, since when, and how many entries are dead."""
    return {"sources": await core.queue.described(source)}


@router.get("/queue/dead", responses=refusals(404))
async def dead(
    core: CoreDependency, source: Source = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """Entries that could not be judged, those that died last first."""
    return {"dead": await core.queue.dead(source, limit)}


@router.post("/queue/dead/retry", responses=refusals(404))
async def retry(core: CoreDependency, source: Source = None) -> dict[str, Any]:
    """Let them all wait again, behind what waits."""
    return {"retried": await core.queue.raise_dead(source)}


@router.delete("/queue/dead", responses=refusals(404))
async def drop(core: CoreDependency, source: Source = None) -> dict[str, Any]:
    """Forget them all."""
    return {"dropped": await core.queue.drop_dead(source)}
