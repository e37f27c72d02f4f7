"""``/_bulk`` as Filebeat, Vector, Fluent Bit and Elasticsearch's clients call it, and what they ask before that.

Nothing is kept of templates and policies: whatever is asked for is there, and whatever is put is acknowledged.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response

from models.errors import TocsinError
from service.api.body import BodyError, decompressed
from service.api.declared import TEXT, Responses, spoken
from service.api.declared import body as described
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Intake, Open
from service.api.reading import read_body
from service.api.shippers import NamedSource, RoutingDependency, content_type
from service.delivery import deliver, off_loop
from service.errors import http_status
from service.intake import bulk
from service.intake.entry import Refused


class _Spoken(Intake):
    """Refuses as Elasticsearch does, so that its clients know what to do."""

    def spoken(self, request: Request, error: TocsinError) -> Response:
        status, retry_after_s = http_status(error)
        return _error(status, REFUSALS.get(status, "illegal_argument_exception"), str(error), retry_after_s)


router = APIRouter(tags=["intake"], route_class=Open)
"""What clients ask before they send is the same for everybody, and says nothing of anybody's logs."""

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
"""Elasticsearch's own clients refuse an answer without it."""
BODY_TYPES = (
    "application/x-ndjson",
    "application/json",
    "application/vnd.elasticsearch+x-ndjson",
    "application/vnd.elasticsearch+json",
)
VERSION = "9.99.0"
"""Of the calls that are answered here: Beats refuse to talk to a server that is older than they are."""
REFUSALS = {
    401: "security_exception",
    403: "security_exception",
    413: "content_too_large",
    429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
}

Name = Annotated[str, Path(max_length=255)]

_ACTIONS = described(dict.fromkeys(BODY_TYPES, TEXT))
_REFUSED: Responses = spoken(
    {"application/json": {"type": "object"}}, 400, 401, 403, 404, 406, 408, 413, 415, 422, 429, 503
)


async def take(
    request: Request,
    core: CoreDependency,
    routing: RoutingDependency,
    named: NamedSource,
    caller: CallerDependency,
) -> Response:
    """Judge documents (NDJSON of actions and documents; gzip if wanted) and answer for each whether it was taken."""
    began = time.perf_counter()
    settings = core.settings
    kind = content_type(request)
    if kind not in BODY_TYPES:
        return _error(406, "media_type_header_exception", f"Content-Type header [{kind}] is not supported")
    try:
        packed = await read_body(request, settings.max_body_bytes, settings.body_s)
        encoding = request.headers.get("content-encoding", "")
        body = await off_loop(len(packed), decompressed, packed, encoding, settings.max_body_bytes)
        index = request.path_params.get("index")
        taken = await off_loop(len(body), bulk.decode, body, index, settings.max_request_lines)
    except (BodyError, Refused) as error:
        return _error(error.status, REFUSALS.get(error.status, "illegal_argument_exception"), str(error))
    if not taken.items:
        return _error(400, "parse_exception", "request body is required")
    failures = await deliver(
        core, caller, routing, taken.decoded, body, named=named, usual=bulk.USUAL_NAMES, whole=False
    )
    if len(failures) == len(taken.items) and all(failure.passes for failure in failures.values()):
        first = failures[0]
        return _error(first.status, REFUSALS[first.status], first.error, first.retry_after_s)
    failed = {place: (failure.status, failure.error) for place, failure in failures.items()}
    took_ms = round((time.perf_counter() - began) * 1_000)
    return _answer(await off_loop(len(body), bulk.encode_answer, taken.items, failed, took_ms, f"{uuid.uuid4().hex}-"))


for path in ("/_bulk", "/{index}/_bulk"):
    for method in ("POST", "PUT"):
        router.add_api_route(
            path, take, methods=[method], route_class_override=_Spoken, openapi_extra=_ACTIONS, responses=_REFUSED
        )


@router.get("/")
async def about() -> Response:
    """What Elasticsearch says of itself, as far as clients look at it."""
    version = {
        "number": VERSION,
        "build_flavor": "default",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    }
    return _json({"name": "tocsin", "cluster_name": "tocsin", "version": version, "tagline": "You Know, for Search"})


@router.head("/")
async def is_there() -> Response:
    """The server answers."""
    return Response(headers=PRODUCT)


@router.get("/_license")
async def license_() -> Response:
    """Beats ask for a licence that is active."""
    return _json({"license": {"status": "active", "type": "basic", "mode": "basic", "uid": "tocsin"}})


@router.get("/_xpack")
async def features() -> Response:
    """Older Beats look for the licence and life cycles here."""
    there = {"available": True, "enabled": True}
    return _json({"license": {"status": "active", "type": "basic", "mode": "basic"}, "features": {"ilm": there}})


@router.get("/_cluster/health")
async def cluster_health(core: CoreDependency) -> Response:
    """Vector's health check: 503 where lines cannot be judged now."""
    ready = (await core.readiness())["ready"]
    return _json({"cluster_name": "tocsin", "status": "green" if ready else "red"}, 200 if ready else 503)


@router.head("/_index_template/{name}")
async def template_is_there(name: Name) -> Response:
    """Every template is there."""
    return Response(headers=PRODUCT)


@router.get("/_index_template/{name}")
async def template(name: Name) -> Response:
    """An empty template of that name."""
    return _json({"index_templates": [{"name": name, "index_template": {"index_patterns": []}}]})


@router.get("/_ilm/policy/{name}")
async def policy(name: Name) -> Response:
    """An empty policy of that name."""
    return _json({name: {"version": 1, "policy": {"phases": {}}}})


@router.get("/_data_stream/{name}")
async def data_stream(name: Name) -> Response:
    """Every data stream is there."""
    return _json({"data_streams": [{"name": name, "status": "GREEN"}]})


@router.put("/_index_template/{name}")
@router.put("/_ilm/policy/{name}")
async def acknowledged(name: Name) -> Response:
    """Nothing is kept of it."""
    return _json({"acknowledged": True})


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return _answer(orjson.dumps(content), status)


def _answer(body: bytes, status: int = 200, retry_after_s: int | None = None) -> Response:
    headers = PRODUCT if retry_after_s is None else {**PRODUCT, "Retry-After": str(retry_after_s)}
    return Response(body, status, headers, media_type="application/json")


def _error(status: int, kind: str, reason: str, retry_after_s: int | None = None) -> Response:
    return _answer(bulk.encode_error(status, kind, reason), status, retry_after_s)
