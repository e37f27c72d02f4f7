"""``POST /loki/api/v1/push``: as Promtail, Alloy, Vector, Fluent Bit and logging handlers push to Loki."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.body import BodyError, decompressed
from service.api.declared import BINARY, TEXT, spoken
from service.api.declared import body as described
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Intake
from service.api.reading import read_body
from service.api.shippers import NamedSource, RoutingDependency, content_type
from service.delivery import deliver, first_passing, off_loop, summary
from service.intake import loki
from service.intake.entry import Decoded, Refused

router = APIRouter(tags=["intake"], route_class=Intake)

JSON, PROTOBUF = "application/json", "application/x-protobuf"


@router.post(
    "/loki/api/v1/push",
    status_code=204,
    openapi_extra=described({JSON: {"type": "object"}, PROTOBUF: BINARY}),
    responses=spoken({"text/plain": TEXT}, 400, 404, 408, 413, 422, 429, 503),
)
async def push(
    request: Request, core: CoreDependency, routing: RoutingDependency, named: NamedSource, caller: CallerDependency
) -> Response:
    """Judge log lines (JSON, gzip if wanted; or snappy protobuf). 204; 400 names the entries that were not taken,
    as Loki does: the others were."""
    settings = core.settings
    kind = content_type(request)
    if kind not in (JSON, PROTOBUF, ""):
        return PlainTextResponse(f"content type {kind!r} is not known; send {JSON} or {PROTOBUF}\n", 400)
    try:
        packed = await read_body(request, settings.max_body_bytes, settings.body_s)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        unpack = _unpacked_json if kind == JSON else _unpacked_protobuf
        body = await off_loop(len(packed), unpack, packed, encoding, settings.max_body_bytes)
        decode = loki.decode_json if kind == JSON else loki.decode_protobuf
        decoded: Decoded = await off_loop(len(body), decode, body, settings.max_request_lines)
    except (BodyError, Refused) as error:
        # Loki says 400 also of an encoding that it does not know.
        return PlainTextResponse(f"{error}\n", 400 if error.status == 415 else error.status)
    received = decoded.received
    failures = await deliver(core, caller, routing, decoded, body, named=named, usual=loki.USUAL_NAMES, whole=True)
    passing = first_passing(failures)
    if passing is not None:
        headers = {"Retry-After": str(passing.retry_after_s)}
        return PlainTextResponse(f"{passing.error}\n", passing.status, headers)
    if failures:
        return PlainTextResponse(f"{summary(failures, received)}\n", 400)
    return Response(status_code=204)


def _unpacked_json(body: bytes, encoding: str, limit: int) -> bytes:
    return decompressed(body, encoding, limit)


def _unpacked_protobuf(body: bytes, encoding: str, limit: int) -> bytes:
    """Protobuf is always in snappy, whether a header says so or not; gzip may lie around it."""
    return loki.unsnapped(body if encoding == "snappy" else decompressed(body, encoding, limit), limit)
