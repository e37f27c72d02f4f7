"""What routes are handed: the composition of one process."""

from typing import Annotated

from fastapi import Depends, Request

from service.core import Core


async def _core(request: Request) -> Core:
    # Async, or FastAPI would send each request through a thread for it.
    core: Core = request.app.state.core
    return core


CoreDependency = Annotated[Core, Depends(_core)]
