"""``POST /ingest``: lines in, verdicts out, at once or later."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from service.api.body import MAX_SESSION_BYTES, BodyError, Limits, decompressed, read_request, source_at_once
from service.api.declared import TEXT, in_header, in_query, refusals
from service.api.declared import body as described
from service.api.dependencies import core_of
from service.api.guarded import Intake, caller_of
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


class Asked(BaseModel):
    """What the address asks for."""

    source: Annotated[str | None, Field(max_length=64, description="source, where the body does not name it")] = None
    wait: Annotated[bool, Field(description="true answers with verdicts, false once the lines are safe")] = True
    verdicts: Annotated[Wanted, Field(description="which verdicts to send back")] = "all"
    mode: Annotated[
        Literal["live", "backfill"], Field(description="backfill: history, of whose incidents nobody is told")
    ] = "live"


_USUAL = Asked()


def _asked(request: Request) -> Asked:
    """Read here, as most requests ask for nothing and FastAPI goes through all parameters of each. Raises
    RequestValidationError."""
    if not request.url.query:
        return _USUAL
    try:
        return Asked.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise RequestValidationError(
            [{**wrong, "loc": ("query", *wrong["loc"])} for wrong in error.errors()]
        ) from error


@router.post(
    "/ingest",
    openapi_extra={
        **described({"application/json": _BATCH, "application/x-ndjson": TEXT, "text/plain": TEXT}),
        "parameters": [*in_query(Asked), in_header("idempotency-key", MAX_KEY_LENGTH)],
    },
    responses={
        202: {"model": Accepted, "description": "In the durable queue, but for what was rejected"},
        **refusals(400, 404, 408, 409, 413, 415, 429),
    },
)
async def ingest(request: Request) -> Response:
    """Judge a batch of log lines (JSON, NDJSON or text; gzip if wanted) and answer with a verdict for each, or accept
    it (202) once it is in the durable queue."""
    core, caller, headers = core_of(request), caller_of(request), request.headers
    asked = _asked(request)
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise WrongValue(f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable characters; or leave the header out")
    limits = Limits(core.settings.max_body_bytes, core.settings.max_request_lines)
    try:
        body = await read_body(request, limits.body_bytes, core.settings.body_s)
        # A retry that was compressed otherwise, or not, is the same request.
        plain = decompressed(body, headers.get("content-encoding", ""), limits.body_bytes)
        content_type = headers.get("content-type", "")
        named = source_at_once(plain, content_type, asked.source)
        if asked.wait and named is not None:
            core.gate.check_source(caller, named)
            core.check_room(named)
        decoded = read_request(plain, content_type, asked.source, limits)
    except BodyError as error:
        return JSONResponse({"error": str(error)}, error.status)
    core.gate.check_source(caller, decoded.source)
    core.gate.charge(caller, decoded.received)
    given = replace(decoded, backfill=asked.mode == "backfill")
    answer = await core.ingest(given, plain, asked.verdicts, key, wait=asked.wait)
    return Response(answer.body, answer.status, media_type="application/json")
