"""``/notifications``: notifiers, test notices, and what could not be delivered."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from service.api.declared import refusals
from service.api.dependencies import CoreDependency
from service.api.guarded import Guarded


class _Notifiers(Guarded):
    look, whole = "read", True


router = APIRouter(tags=["notifications"], route_class=_Notifiers)

Name = Annotated[str, Path(max_length=64)]
Notifier = Annotated[str | None, Query(max_length=64, description="one notifier; all where it is left out")]


@router.get("/notifications")
async def notifiers(core: CoreDependency) -> dict[str, Any]:
    """Every notifier, without its secrets, and how many notices wait or are dead."""
    return {"notifiers": await core.notifying.described()}


@router.post("/notifications/{name}/test", responses=refusals(404, 502))
async def test(name: Name, core: CoreDependency) -> JSONResponse:
    """Send a test notice, once, and say whether it was taken: 502 where it was not."""
    outcome = await core.notifying.test(name)
    if outcome.sent:
        return JSONResponse({"sent": True})
    return JSONResponse({"sent": False, "error": f"notifier {name}: {outcome.reason}"}, 502)


@router.get("/notifications/dead", responses=refusals(404))
async def dead(
    core: CoreDependency, notifier: Notifier = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """Notices that could not be delivered, newest first."""
    return {"dead": await core.notifying.dead(notifier, limit)}


@router.post("/notifications/dead/retry", responses=refusals(404))
async def retry(core: CoreDependency, notifier: Notifier = None) -> dict[str, Any]:
    """Try them all again, each under the delivery that it had."""
    return {"retried": await core.notifying.raise_dead(notifier, again=True)}


@router.delete("/notifications/dead", responses=refusals(404))
async def drop(core: CoreDependency, notifier: Notifier = None) -> dict[str, Any]:
    """Forget them all."""
    return {"dropped": await core.notifying.raise_dead(notifier, again=False)}
