"""What a browser may be made to send: no other site's page acts here in the name of whoever looks at it.

Browsers say on whose behalf a request comes (``Sec-Fetch-Site`` where the address is https or loopback, ``Origin``
always where something would change); other clients do not, and are not held up. JSON is demanded of browsers because no
form can send it. Does not know who asks.
"""

from urllib.parse import urlsplit

from fastapi import Request

from service.errors import ForeignPage, NotJson

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def own_page(request: Request) -> None:
    """Raises ForeignPage for what another site's page sends, NotJson for what a form could have sent."""
    if request.method in SAFE or not check_origin(request):
        return
    kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if request.method != "DELETE" and kind != "application/json":
        raise NotJson("send it as application/json")


def check_origin(request: Request) -> bool:
    """Whether a browser sends it. Raises ForeignPage where that does so for another site's page."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return False
    if site is not None:
        if site not in ("same-origin", "none"):
            raise ForeignPage("a page of another site must not change anything here")
    elif origin is not None and _host(origin) not in _own_hosts(request):
        raise ForeignPage(f"a page of {origin[:100]!r} must not change anything here; a proxy must keep Host as it is")
    return True


def _host(origin: str) -> str | None:
    """Host and port that an Origin names; None for "null" and what is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _own_hosts(request: Request) -> set[str]:
    """As the request names them, or a proxy before it: no page of another site can set either header."""
    named = (request.headers.get("host", ""), *request.headers.get("x-forwarded-host", "").split(","))
    return {host.strip().lower() for host in named} - {""}
