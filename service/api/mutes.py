"""``/sources/{name}/mutes``: windows in which nobody is told, and markers of deploys."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.api.asking import NOBODY, Asker, Author, prose
from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import Guarded
from service.state.mutes import Kind


class _OfSource(Guarded):
    look, change, source = "read", "feedback", "name"


router = APIRouter(tags=["mutes"], route_class=_OfSource)

Name = Annotated[str, Path(max_length=64)]


class Given(BaseModel):
    """A window or a marker. Times are ISO 8601 (UTC where they name no zone) or seconds since the epoch. Who an
    API key or ``X-Tocsin-Author`` names goes before ``author``."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "mute"
    start: Annotated[datetime | None, Field(alias="from")] = None
    until: datetime | None = None
    reason: Annotated[str, Field(max_length=500), AfterValidator(prose)] = ""
    author: Author | None = None


@router.post("/sources/{name}/mutes", status_code=201, responses=refusals(404, 409))
async def mute(name: Name, given: Given, core: CoreDependency, asker: Asker) -> dict[str, Any]:
    """Tell nobody of what a source raises for a while; or mark a deploy."""
    by = asker or given.author or NOBODY
    start, until = _seconds(given.start), _seconds(given.until)
    return await core.desk.mutes.add(name, given.kind, start, until, given.reason, by)


@router.get("/sources/{name}/mutes", responses=refusals(404))
async def mutes(name: Name, core: CoreDependency) -> dict[str, Any]:
    """Windows and markers of a source, the newest first, also those that are over."""
    return {"mutes": await core.desk.mutes.listed(name)}


@router.delete("/sources/{name}/mutes/{mute_id}", responses=refusals(404))
async def unmute(name: Name, mute_id: Annotated[str, Path(max_length=64)], core: CoreDependency) -> dict[str, Any]:
    """End a window now, or forget what has not begun."""
    return await core.desk.mutes.end(name, mute_id)


def _seconds(at: datetime | None) -> float | None:
    if at is None:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
