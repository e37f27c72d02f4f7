"""What routes are handed: the composition of one process."""

from typing import Annotated

from fastapi import Depends, Request

from service.core import Core


def core_of(request: Request) -> Core:
    """What a request's application is made of."""
    core: Core = request.app.state.core
    return core


async def _core(request: Request) -> Core:
    # Async, or FastAPI would send each request through a thread for it.
    return core_of(request)


CoreDependency = Annotated[Core, Depends(_core)]
