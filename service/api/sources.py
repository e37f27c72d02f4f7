"""``GET /sources``, ``PUT /sources/{name}``, ``GET /sources/{name}/templates``."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Guarded


class _OfSource(Guarded):
    look, source = "read", "name"


router = APIRouter(tags=["sources"], route_class=_OfSource)

Name = Annotated[str, Path(max_length=64)]


@router.get("/sources")
async def list_sources(core: CoreDependency, caller: CallerDependency) -> dict[str, Any]:
    """Every source with its configuration, live version and number of templates."""
    return {"sources": [one for one in await core.sources.configurations() if caller.sees(one["name"])]}


@router.put("/sources/{name}", responses=refusals(409))
async def configure(name: Name, config: Annotated[dict[str, Any], Body()], core: CoreDependency) -> dict[str, Any]:
    """Configure a source; without a bundle it starts learning. 409 where its live bundle parses otherwise."""
    return await core.configure(name, config)


@router.get("/sources/{name}/templates", responses=refusals(404))
async def templates(name: Name, core: CoreDependency) -> dict[str, Any]:
    """Templates mined so far, by id."""
    live = await core.sources.get(name)
    known = None if live.judge is None else live.judge.known
    return {
        "source": live.name,
        "tree": live.tree.tree_id,
        "tree_version": live.tree.version,
        "templates": [
            {"id": template_id, "template": text, "novel": known is not None and template_id not in known}
            for template_id, text in live.tree.texts().items()
        ],
    }
