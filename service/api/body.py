"""Bodies of ``POST /ingest``: JSON, NDJSON or plain text, gzip or not, decoded once into an ``IngestRequest``.

A wrong body is a ``BodyError`` with its HTTP status; a wrong line or record is a ``LineError`` and costs nothing but
itself. Does not know what lines mean.
"""

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from models.parser import End
from service.intake.weight import line_ends, weighs_too_much
from service.pipeline.request import IngestRequest, LineError

MAX_SESSION_BYTES = 512
"""A session id becomes a Redis hash field; longer ones are rejected."""

JSON = ("application/json", "")
_BEGINS = re.compile(rb'\s*\{\s*"source"\s*:\s*"([A-Za-z0-9_.-]{1,64})"')
RECORD_FIELDS = frozenset({"line", "session", "timestamp", "fields", "end", "source"})


class BodyError(Exception):
    """A body that cannot be read at all; ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest body in bytes (also after decompression) and most lines of one request."""

    body_bytes: int
    lines: int


@dataclass(slots=True)
class _Gathered:
    """Columns of an ``IngestRequest`` while its records are read."""

    lines: list[str] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    sessions: list[str | None] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    fields: list[Mapping[str, str] | None] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    rejected: list[LineError] = field(default_factory=list)


def read_request(plain: bytes, content_type: str, source: str | None, limits: Limits) -> IngestRequest:
    """Decode a body that is not compressed (any more). ``content_type`` is the header, ``source`` the query parameter.

    Raises BodyError: 400 malformed, 413 too large, 415 unknown type or encoding, 422 nothing to do.
    """
    kind = _kind(content_type)
    if kind in JSON:
        return _read_json(plain, source, limits)
    if kind in ("application/x-ndjson", "application/ndjson", "application/jsonl"):
        return _read_ndjson(plain, _named(source), limits)
    if kind == "text/plain":
        return _read_text(plain, _named(source), limits)
    raise BodyError(
        415, f"content type {kind!r} is not known; send application/json, application/x-ndjson or text/plain"
    )


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its Content-Encoding (gzip or none), at most ``limit`` bytes. Raises BodyError: 400, 413, 415."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        plain = body
    elif encoding == "gzip":
        plain = _gunzipped(body, limit)
    else:
        raise BodyError(415, f"content encoding {encoding!r} is not known; send gzip or nothing")
    if len(plain) > limit:
        raise BodyError(413, f"the body is over {limit} bytes; send smaller batches")
    return plain


def _gunzipped(body: bytes, limit: int) -> bytes:
    """All members of a gzip body, at most ``limit + 1`` bytes of them."""
    members: list[bytes] = []
    size = 0
    while True:
        reader = zlib.decompressobj(wbits=31)
        try:
            member = reader.decompress(body, limit + 1 - size)
        except zlib.error as error:
            raise BodyError(400, f"the body is not gzip, though Content-Encoding says so ({error})") from error
        members.append(member)
        size += len(member)
        if size > limit:
            break
        if not reader.eof:
            raise BodyError(400, "the gzip body ends too early")
        body = reader.unused_data
        if not body.rstrip(b"\0"):
            break
    return b"".join(members)


def source_at_once(plain: bytes, content_type: str, source: str | None) -> str | None:
    """The source of a body without decoding it: where JSON begins with it, or the query parameter ``source`` where it
    is not JSON. None where only decoding tells."""
    if _kind(content_type) not in JSON:
        return source
    begins = _BEGINS.match(plain)
    return None if begins is None else begins[1].decode()


def _kind(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def _named(source: str | None) -> str:
    if not source:
        raise BodyError(422, "no source: add ?source=NAME to the address")
    return source


def _counted_at_least(size: int, limits: Limits) -> None:
    """Before lines are told apart: 64 MiB of line ends would take gigabytes."""
    _counted(max(1, size), limits)


def _counted(size: int, limits: Limits) -> None:
    if size == 0:
        raise BodyError(422, "the batch is empty: send at least one line")
    if size > limits.lines:
        raise BodyError(413, f"{size} lines in one request, at most {limits.lines} are taken; send smaller batches")


def _read_json(plain: bytes, source: str | None, limits: Limits) -> IngestRequest:
    if weighs_too_much(plain):
        raise BodyError(413, "the body holds too many small values; send smaller batches")
    try:
        body = orjson.loads(plain)
    except orjson.JSONDecodeError as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BodyError(
            422,
            'the body must be an object: {"source": ..., "lines": [...]} or {"source": ..., "records": [...]}',
        )
    unknown = sorted(set(body) - {"source", "lines", "records"})
    if unknown:
        raise BodyError(422, f"unknown field {unknown[0]!r}; known are source, lines, records")
    name = body.get("source", source)
    if not isinstance(name, str) or not name:
        raise BodyError(422, 'no source: add "source": NAME to the body')
    if ("lines" in body) == ("records" in body):
        raise BodyError(422, 'give either "lines" or "records"')
    items = body.get("lines", body.get("records"))
    if not isinstance(items, list):
        raise BodyError(422, '"lines" and "records" must be lists')
    _counted(len(items), limits)
    gathered = _Gathered()
    if "lines" in body:
        if set(map(type, items)) == {str}:
            return IngestRequest(name, len(items), items, list(range(len(items))))
        for index, line in enumerate(items):
            if isinstance(line, str):
                gathered.lines.append(line)
                gathered.index.append(index)
            else:
                gathered.rejected.append(LineError(index, "a line must be a string"))
        return IngestRequest(name, len(items), gathered.lines, gathered.index, rejected=gathered.rejected)
    for index, record in enumerate(items):
        _take_record(gathered, index, record)
    return _request(name, len(items), gathered)


def _read_ndjson(plain: bytes, source: str, limits: Limits) -> IngestRequest:
    _counted_at_least(line_ends(plain), limits)
    raw = plain.splitlines() if b"\r" in plain else plain.split(b"\n")
    if raw and not raw[-1].strip():
        raw.pop()
    _counted(len(raw), limits)
    gathered = _Gathered()
    for index, line in enumerate(raw):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            gathered.rejected.append(LineError(index, f"not JSON: {error}"))
            continue
        if isinstance(record, dict) and record.get("source", source) != source:
            gathered.rejected.append(
                LineError(index, f"source differs from ?source={source}; send one source a request")
            )
            continue
        _take_record(gathered, index, {"line": record} if isinstance(record, str) else record)
    return _request(source, len(raw), gathered)


def _read_text(plain: bytes, source: str, limits: Limits) -> IngestRequest:
    _counted_at_least(plain.count(b"\n"), limits)
    raw = plain.split(b"\n")
    if raw and not raw[-1]:
        raw.pop()
    _counted(len(raw), limits)
    try:
        lines = plain.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        return _read_text_with_errors(raw, source)
    if not lines[-1]:
        lines.pop()
    if "\r" in lines[0]:
        lines = [line.removesuffix("\r") for line in lines]
    return IngestRequest(source, len(lines), lines, list(range(len(lines))))


def _read_text_with_errors(raw: list[bytes], source: str) -> IngestRequest:
    gathered = _Gathered()
    for index, line in enumerate(raw):
        try:
            gathered.lines.append(line.decode("utf-8").removesuffix("\r"))
            gathered.index.append(index)
        except UnicodeDecodeError as error:
            gathered.rejected.append(LineError(index, f"not UTF-8: byte {line[error.start]:#04x} at {error.start}"))
    return IngestRequest(source, len(raw), gathered.lines, gathered.index, rejected=gathered.rejected)


def _request(source: str, received: int, gathered: _Gathered) -> IngestRequest:
    return IngestRequest(
        source,
        received,
        gathered.lines,
        gathered.index,
        gathered.sessions if any(session is not None for session in gathered.sessions) else None,
        gathered.times if any(time is not None for time in gathered.times) else None,
        gathered.fields if any(fields for fields in gathered.fields) else None,
        gathered.ends,
        gathered.rejected,
    )


def _take_record(gathered: _Gathered, index: int, record: Any) -> None:
    """Add one record, or its error."""
    try:
        if not isinstance(record, dict):
            raise ValueError("a record must be an object with a line or an end")
        if not record.keys() <= RECORD_FIELDS:
            unknown = sorted(set(record) - RECORD_FIELDS)
            raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(RECORD_FIELDS))}")
        session = _session(record.get("session"))
        time = _seconds(record.get("timestamp"))
        end = record.get("end", False)
        if not isinstance(end, bool):
            raise ValueError("end must be true or false")
        line = record.get("line")
        if line is None:
            if not end:
                raise ValueError("a record needs a line, or a session with end: true")
            if session is None:
                raise ValueError("an end record needs the session that ends")
            gathered.ends.append(End(index, session))
            return
        if not isinstance(line, str):
            raise ValueError("line must be a string")
        if end and session is None:
            raise ValueError("a line that ends its session must name the session")
        named = _fields(record.get("fields"))
    except ValueError as error:
        gathered.rejected.append(LineError(index, str(error)))
        return
    gathered.lines.append(line)
    gathered.index.append(index)
    gathered.sessions.append(session)
    gathered.times.append(time)
    gathered.fields.append(named)
    if end and session is not None:
        gathered.ends.append(End(index, session))


def _fields(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("fields must be an object")
    for name, content in value.items():
        if isinstance(content, dict | list):
            raise ValueError(f"field {name[:40]!r} must be text, a number, true, false or null")
    return {name: str(content) for name, content in value.items()} or None


def _session(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise ValueError("session must be a string that is not empty")
    if 4 * len(value) > MAX_SESSION_BYTES and len(value.encode("utf-8", "surrogatepass")) > MAX_SESSION_BYTES:
        raise ValueError(f"session is over {MAX_SESSION_BYTES} bytes")
    return value


def _seconds(value: Any) -> float | None:
    """Seconds since the epoch, from a number or an ISO 8601 text (UTC where it names no zone)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("timestamp must be seconds since the epoch or ISO 8601 text")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"timestamp {value[:40]!r} is not ISO 8601") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(value) or not -62135596800 <= value <= 253402300799:
        raise ValueError("timestamp is not within years 1 to 9999")
    return float(value)
