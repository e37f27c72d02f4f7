"""What the routes of shippers' protocols read of a request beside its body: its media type, and who its entries are of.

Does not know what becomes of the body (``service.delivery``).
"""

from typing import Annotated

from fastapi import Depends, Header, Query, Request

from service.intake.routing import Routing


async def _routing(request: Request) -> Routing:
    routing: Routing = request.app.state.routing
    return routing


async def _named(
    source: Annotated[str | None, Query(description="source of every entry, above all that the entries say")] = None,
    x_tocsin_source: Annotated[str | None, Header(description="the same as a header")] = None,
) -> str | None:
    return source or x_tocsin_source


RoutingDependency = Annotated[Routing, Depends(_routing)]
NamedSource = Annotated[str | None, Depends(_named)]


def content_type(request: Request) -> str:
    """The media type of the body without its parameters."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
