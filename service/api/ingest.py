"""``POST /ingest``: lines in, verdicts out, at once or later."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api.body import MAX_SESSION_BYTES, BodyError, Limits, decompressed, read_request, source_at_once
from service.api.declared import TEXT, refusals
from service.api.declared import body as described
from service.api.dependencies import CoreDependency
from service.api.guarded import CallerDependency, Intake
from service.api.reading import read_body
from service.errors import WrongValue
from service.pipeline.answer import Wanted

router = APIRouter(tags=["ingest"], route_class=Intake)

MAX_KEY_LENGTH = 200


_RECORD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "line": TEXT,
        "session": {"type": "string", "minLength": 1, "maxLength": MAX_SESSION_BYTES},
        "timestamp": {"type": ["number", "string"], "description": "seconds since the epoch, or ISO 8601"},
        "fields": {"type": "object"},
        "end": {"type": "boolean"},
    },
    "additionalProperties": False,
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "properties": {
        "source": TEXT,
        "lines": {"type": "array", "items": TEXT, "minItems": 1},
        "records": {"type": "array", "items": _RECORD, "minItems": 1},
    },
    "oneOf": [{"required": ["lines"]}, {"required": ["records"]}],
    "additionalProperties": False,
}


class Accepted(BaseModel):
    """A batch that is judged later: ``GET /verdicts?batch=`` says what became of it."""

    batch: str
    source: str
    received: int
    rejected: list[dict[str, Any]]


@router.post(
    "/ingest",
    openapi_extra=described({"application/json": _BATCH, "application/x-ndjson": TEXT, "text/plain": TEXT}),
    responses={
        202: {"model": Accepted, "description": "In the durable queue, but for what was rejected"},
        **refusals(400, 404, 408, 409, 413, 415, 429),
    },
)
async def ingest(
    request: Request,
    core: CoreDependency,
    caller: CallerDependency,
    source: Annotated[str | None, Query(max_length=64, description="source, where the body does not name it")] = None,
    wait: Annotated[bool, Query(description="true answers with verdicts, false once the lines are safe")] = True,
    verdicts: Annotated[Literal["all", "anomalous", "none"], Query(description="which verdicts to send back")] = "all",
    mode: Annotated[
        Literal["live", "backfill"], Query(description="backfill: history, of whose incidents nobody is told")
    ] = "live",
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY_LENGTH)] = None,
) -> Response:
    """Judge a batch of log lines (JSON, NDJSON or text; gzip if wanted) and answer with a verdict for each, or accept
    it (202) once it is in the durable queue."""
    limits = Limits(core.settings.max_body_bytes, core.settings.max_request_lines)
    headers = request.headers
    try:
        body = await read_body(request, limits.body_bytes, core.settings.body_s)
        # A retry that was compressed otherwise, or not, is the same request.
        plain = decompressed(body, headers.get("content-encoding", ""), limits.body_bytes)
        content_type = headers.get("content-type", "")
        named = source_at_once(plain, content_type, source)
        if wait and named is not None:
            core.gate.check_source(caller, named)
            core.check_room(named)
        decoded = read_request(plain, content_type, source, limits)
    except BodyError as error:
        return JSONResponse({"error": str(error)}, error.status)
    if idempotency_key is not None and not (idempotency_key and idempotency_key.isprintable()):
        raise WrongValue("Idempotency-Key must be printable text; leave the header out where there is none")
    core.gate.check_source(caller, decoded.source)
    core.gate.charge(caller, decoded.received)
    wanted: Wanted = verdicts
    given = replace(decoded, backfill=mode == "backfill")
    answer = await core.ingest(given, plain, wanted, idempotency_key, wait=wait)
    return Response(answer.body, answer.status, media_type="application/json")
