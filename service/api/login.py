"""``/login`` and ``/logout``: for people with a browser, a cookie in the place of their API key.

Owns the cookie and where the browser goes next. Forms, not JSON, so that it works without a script; no other site's
page may send them.
"""

from typing import Annotated
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from service.api.body import BodyError
from service.api.dependencies import CoreDependency
from service.api.guarded import COOKIE, SECURE_COOKIE, Open, address_of, login_of
from service.api.origin import check_origin
from service.api.page import HEADERS
from service.api.reading import read_body
from service.errors import NoKey, ServiceError, WrongValue
from service.page.rendering import render
from service.state.keys import LOGIN_TTL_S

FORM_BYTES = 8 * 1024
NEXT_LONGEST = 1_024

router = APIRouter(include_in_schema=False, route_class=Open)

Next = Annotated[str, Query(max_length=NEXT_LONGEST)]


@router.get("/login")
async def form(request: Request, core: CoreDependency, next: Next = "/", here: bool = False) -> Response:
    """The form; or on, where there is a log-in already.

    A browser that comes from another site, by a link in a notice say, keeps its cookie back (SameSite=Strict). So the
    first answer makes it ask again, from here (``here``).
    """
    if not core.gate.asks or await core.gate.known({}, login_of(request)) is not None:
        return RedirectResponse(_local(next), 303)
    if not here:
        return _html(again="/login?" + urlencode({"next": _local(next), "here": 1}))
    return _html(next=_local(next))


@router.post("/login")
async def log_in(request: Request, core: CoreDependency) -> Response:
    """Take a key, set the cookie, go on."""
    check_origin(request)
    given = await _form(request, core.settings.body_s)
    caller = await core.gate.owner(given.get("key", "").strip())
    if caller is None:
        refusal: ServiceError = core.gate.failed(address_of(request), "key")
        problem = "This key lets nobody in." if isinstance(refusal, NoKey) else str(refusal)
        return _html(refusal.status, next=_local(given.get("next", "/")), problem=problem)
    cookie = await core.gate.logins.begin(caller.id)
    response = RedirectResponse(_local(given.get("next", "/")), 303)
    secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE, cookie,
        max_age=LOGIN_TTL_S, path="/", secure=secure, httponly=True, samesite="strict",
    )  # fmt: skip
    return response


@router.post("/logout")
async def log_out(request: Request, core: CoreDependency) -> Response:
    """Forget the log-in, here and in Redis."""
    check_origin(request)
    cookie = login_of(request)
    if cookie is not None:
        await core.gate.logins.end(cookie)
    response = RedirectResponse("/login?here=1", 303)
    secure = request.url.scheme == "https"
    response.delete_cookie(
        SECURE_COOKIE if secure else COOKIE, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return response


def address(path: str) -> str:
    """Where a browser logs in before it sees a path."""
    return "/login?" + urlencode({"next": _local(path)})


async def _form(request: Request, within_s: float) -> dict[str, str]:
    try:
        body = await read_body(request, FORM_BYTES, within_s)
        fields = parse_qs(body.decode(), max_num_fields=10)
    except (BodyError, ValueError) as error:
        raise WrongValue(f"this is no form of a log-in: {error}") from error
    return {name: values[0] for name, values in fields.items()}


def _local(path: str) -> str:
    """A path of this service, and nothing that leads elsewhere."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if plain and len(path) <= NEXT_LONGEST else "/"


def _html(status: int = 200, *, next: str = "/", again: str = "", problem: str = "") -> Response:
    return HTMLResponse(render("login.html", next=next, again=again, problem=problem), status, HEADERS)
