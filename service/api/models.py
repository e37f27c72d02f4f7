"""``/models``: versions, which one is live, and how another one gets there."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from models.spool.reader import LIMIT
from service.api.asking import NOBODY, Asker
from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Guarded


class _OfSource(Guarded):
    look, source = "read", "source"


router = APIRouter(tags=["models"], route_class=_OfSource)

Version = Annotated[str, Field(min_length=1, max_length=64)]


class Activation(BaseModel):
    """Which version is to be live."""

    model_config = ConfigDict(extra="forbid")

    version: Version
    reset_sessions: bool = False


class Rollback(BaseModel):
    """The version before is to be live again; ``reset_sessions`` where its template tree is another one."""

    model_config = ConfigDict(extra="forbid")

    reset_sessions: bool = False


@router.get("/models")
async def list_models(core: CoreDependency, caller: CallerDependency) -> dict[str, Any]:
    """Versions of each source with parents and gates, which one is live, and which one this replica judges by."""
    return {"models": [one for one in await core.sources.versions() if caller.sees(one["source"])]}


@router.post("/models/{source}/activate", responses=refusals(404, 409))
async def activate(source: str, activation: Activation, core: CoreDependency, by: Asker) -> dict[str, Any]:
    """Make a version live: 409 where another template tree or session rule would need ``reset_sessions``, or where its
    gate rejected it."""
    return await core.sources.activate(source, activation.version, activation.reset_sessions, by or NOBODY)


@router.post("/models/{source}/rollback", responses=refusals(404, 409))
async def rollback(source: str, core: CoreDependency, by: Asker, wanted: Rollback | None = None) -> dict[str, Any]:
    """Make the version live that was before the live one: 409 where there was none, or as for ``activate``."""
    return await core.sources.rollback(source, wanted is not None and wanted.reset_sessions, by or NOBODY)


@router.get("/models/{source}/diff", responses=refusals(404, 409))
async def diff(
    source: str,
    core: CoreDependency,
    new: Annotated[str, Query(alias="to", min_length=1, max_length=64)],
    old: Annotated[str | None, Query(alias="from", min_length=1, max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1_000_000)] = LIMIT,
) -> dict[str, Any]:
    """What version ``to`` makes of recent traffic otherwise than ``from`` (default: the live one)."""
    return await core.comparison.of(source, old, new, limit)


class InShadow(BaseModel):
    """Which version judges beside the live one; None: nobody any more."""

    model_config = ConfigDict(extra="forbid")

    version: Version | None


@router.post("/models/{source}/shadow", responses=refusals(404, 409))
async def put_in_shadow(source: str, wanted: InShadow, core: CoreDependency) -> dict[str, Any]:
    """Let a version judge what comes, without a say: 409 where it could not judge the same."""
    return await core.sources.put_in_shadow(source, wanted.version)
