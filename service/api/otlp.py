"""``POST /v1/logs``: OTLP over HTTP, as OpenTelemetry's exporters and collectors speak it."""

from fastapi import APIRouter, Request, Response

from models.errors import TocsinError
from service.api.body import BodyError, decompressed
from service.api.declared import BINARY, spoken
from service.api.declared import body as described
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Intake
from service.api.reading import read_body
from service.api.shippers import NamedSource, RoutingDependency, content_type
from service.delivery import deliver, first_passing, off_loop, summary
from service.errors import http_status
from service.intake import otlp
from service.intake.entry import Refused


class _Spoken(Intake):
    """Refuses as OTLP does."""

    def spoken(self, request: Request, error: TocsinError) -> Response:
        status, retry_after_s = http_status(error)
        as_json = content_type(request) != PROTOBUF
        return _refusal(status, str(error), as_json=as_json, retry_after_s=retry_after_s)


router = APIRouter(tags=["intake"], route_class=_Spoken)

JSON, PROTOBUF = "application/json", "application/x-protobuf"


@router.post(
    "/v1/logs",
    openapi_extra=described({JSON: {"type": "object"}, PROTOBUF: BINARY}),
    responses=spoken(
        {JSON: {"type": "object"}, PROTOBUF: BINARY}, 200, 400, 401, 403, 404, 408, 413, 415, 422, 429, 503
    ),
)
async def logs(
    request: Request, core: CoreDependency, routing: RoutingDependency, named: NamedSource, caller: CallerDependency
) -> Response:
    """Judge log records (protobuf or JSON; gzip if wanted). Records that cannot be taken make a partial success."""
    kind = content_type(request)
    as_json = kind != PROTOBUF
    if kind not in (JSON, PROTOBUF):
        return _refusal(415, f"content type {kind!r} is not known; send {PROTOBUF} or {JSON}", as_json=True)
    limit = core.settings.max_body_bytes
    try:
        packed = await read_body(request, limit, core.settings.body_s)
        body = await off_loop(len(packed), decompressed, packed, request.headers.get("content-encoding", ""), limit)
        decode = otlp.decode_json if as_json else otlp.decode_protobuf
        decoded = await off_loop(len(body), decode, body, core.settings.max_request_lines)
    except (BodyError, Refused) as error:
        return _refusal(error.status, str(error), as_json=as_json)
    received = decoded.received
    failures = await deliver(core, caller, routing, decoded, body, named=named, usual=otlp.USUAL_NAMES, whole=True)
    passing = first_passing(failures)
    if passing is not None:
        return _refusal(passing.status, passing.error, as_json=as_json, retry_after_s=passing.retry_after_s)
    answer = otlp.encode_answer(len(failures), summary(failures, received), as_json=as_json)
    return Response(answer, media_type=kind)


def _refusal(status: int, message: str, *, as_json: bool, retry_after_s: int | None = None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = otlp.encode_status(status, message, as_json=as_json)
    return Response(body, status, headers, media_type=JSON if as_json else PROTOBUF)
