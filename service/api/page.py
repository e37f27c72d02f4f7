"""The web page: ``GET /`` for browsers, and what it leads to. HTML only; what it changes, it changes by the calls that
everybody has.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.routing import Match
from starlette.types import Scope

from service.api.guarded import CallerDependency, Open, Shown
from service.api.headers import PAGE_POLICY
from service.errors import NotFound
from service.page.page import Page

HEADERS = {"Content-Security-Policy": PAGE_POLICY}
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class BrowserRoute(Shown):
    """A route for whoever asks for HTML: shippers ask for the same address, and get what they expect."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.NONE and not wants_html(scope):
            return Match.NONE, {}
        return match, child


def wants_html(scope: Scope) -> bool:
    accepted = (value for name, value in scope.get("headers", ()) if name == b"accept")
    return any(b"text/html" in value.lower() for value in accepted)


class _OfSource(Shown):
    source = "name"


router = APIRouter(include_in_schema=False, route_class=Shown)


async def _page(request: Request) -> Page:
    page: Page = request.app.state.page
    return page


PageDependency = Annotated[Page, Depends(_page)]
Name = Annotated[str, Path(max_length=64)]
Incident = Annotated[str, Path(max_length=64)]
State = Literal["", "open", "acknowledged", "resolved", "silenced"]
Filter = Annotated[str, Query(max_length=64)]
Cursor = Annotated[str, Query(max_length=200)]


async def home(
    page: PageDependency,
    caller: CallerDependency,
    source: Filter = "",
    state: State = "",
    cursor: Cursor = "",
) -> Response:
    """Incidents, newest first."""
    return _html(await page.incidents(caller, source, state, cursor))


router.add_api_route("/", home, methods=["GET"], route_class_override=BrowserRoute)


@router.get("/page/incidents")
async def rows(
    page: PageDependency,
    caller: CallerDependency,
    source: Filter = "",
    state: State = "",
    cursor: Cursor = "",
) -> Response:
    """The rows of the list alone."""
    return _html(await page.rows(caller, source, state, cursor))


@router.get("/page/incidents/{incident}")
async def incident(page: PageDependency, caller: CallerDependency, incident: Incident) -> Response:
    """One incident."""
    return _html(await page.incident(caller, incident))


@router.get("/page/incidents/{incident}/answer")
async def answer(page: PageDependency, caller: CallerDependency, incident: Incident) -> Response:
    """What answers to an incident would do, and those that it has."""
    return _html(await page.answer(caller, incident))


@router.get("/page/sources")
async def sources(page: PageDependency, caller: CallerDependency) -> Response:
    """Sources."""
    return _html(await page.sources(caller))


async def templates(
    page: PageDependency, caller: CallerDependency, name: Name, find: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Templates of a source that hold a text."""
    return _html(await page.templates(caller, name, find))


router.add_api_route("/page/sources/{name}", templates, methods=["GET"], route_class_override=_OfSource)


@router.get("/page/versions")
async def versions(page: PageDependency, caller: CallerDependency) -> Response:
    """Versions of every source."""
    return _html(await page.versions(caller))


async def changes(page: PageDependency, caller: CallerDependency, name: Name, version: Name) -> Response:
    """What a version would change."""
    return _html(await page.changes(caller, name, version))


router.add_api_route("/page/versions/{name}/{version}", changes, methods=["GET"], route_class_override=_OfSource)


@router.get("/page/traffic")
async def traffic(page: PageDependency, caller: CallerDependency) -> Response:
    """Charts of throughput and alerts."""
    return _html(await page.traffic(caller))


async def static(request: Request, name: Name) -> Response:
    """Scripts, styles and the icon."""
    found = _files().get(name)
    if found is None:
        raise NotFound(f"the page has no file {name!r}")
    content, tag = found
    headers = {**HEADERS, "ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=TYPES[name.rsplit(".", 1)[-1]], headers=headers)


router.add_api_route("/page/static/{name}", static, methods=["GET"], route_class_override=Open)


@cache
def _files() -> Mapping[str, tuple[bytes, str]]:
    """Content and ETag of each file."""
    found: dict[str, tuple[bytes, str]] = {}
    for entry in files("service.page").joinpath("static").iterdir():
        if entry.name.rsplit(".", 1)[-1] in TYPES:
            content = entry.read_bytes()
            found[entry.name] = content, f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return found


def _html(shown: tuple[int, str]) -> Response:
    status, html = shown
    return HTMLResponse(html, status, HEADERS)
