"""``GET /models`` and ``POST /models/{source}/activate``: versions, and which one is live."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from service.api.dependencies import CoreDependency

router = APIRouter(tags=["models"])


class Activation(BaseModel):
    """Which version is to be live."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(min_length=1, max_length=64)]
    reset_sessions: bool = False


@router.get("/models")
async def list_models(core: CoreDependency) -> dict[str, Any]:
    """Versions of each source, which one is live, and which one this replica judges by."""
    return {"models": await core.sources.versions()}


@router.post("/models/{source}/activate")
async def activate(source: str, activation: Activation, core: CoreDependency) -> dict[str, Any]:
    """Make a version live: 409 where another template tree or session rule would need ``reset_sessions``."""
    return await core.sources.activate(source, activation.version, activation.reset_sessions)
