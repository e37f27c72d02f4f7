"""OTLP logs: ``ExportLogsServiceRequest`` as protobuf or JSON to entries, and the answers in the same encoding.

The line is the record's body: a text as it is, a map or list as JSON; of an event without a body its name. Names are
the record's attributes, ``trace_id``, ``span_id``, ``severity_text`` and ``event_name``, then attributes of its scope
and its resource. Owns the format only.
"""

from functools import cache, partial
from typing import Any

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from service.intake import anyvalue, wire
from service.intake.entry import Decoded, Entry, Labels, Refused, checked_ns
from service.intake.weight import weighs_too_much

USUAL_NAMES = ("service.name",)
"""Where a source is named if nothing else says it."""

MAX_MESSAGE_BYTES = 2**20
"""Of one record, scope or resource: a parsed one may take forty times its size."""

FIELDS_AN_ENTRY, FIELDS_AT_LEAST = 8, 100
"""An exporter that puts every record in a resource of its own needs seven fields for it."""

_RESOURCE_LOGS = 1
_RESOURCE, _SCOPE_LOGS = 1, 2
_SCOPE, _LOG_RECORDS = 1, 2
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _UNAVAILABLE = 3, 8, 14
_GRPC_CODES = {413: _RESOURCE_EXHAUSTED, 429: _RESOURCE_EXHAUSTED, 503: _UNAVAILABLE}


def decode_protobuf(body: bytes, limit: int) -> Decoded:
    """Entries of a protobuf body. Raises Refused: 400 malformed, 413 more than ``limit`` entries."""
    decoded = Decoded()
    budget = wire.Budget(FIELDS_AN_ENTRY * limit + FIELDS_AT_LEAST)
    try:
        (every_resource,) = wire.layers(memoryview(body), budget, _RESOURCE_LOGS)
        for resource_logs in every_resource:
            resources, every_scope = wire.layers(resource_logs, budget, _RESOURCE, _SCOPE_LOGS)
            resource = _layer(Resource, resources, None)
            for scope_logs in every_scope:
                scopes, records = wire.layers(scope_logs, budget, _SCOPE, _LOG_RECORDS)
                scope = _layer(InstrumentationScope, scopes, resource)
                for record in records:
                    index = decoded.next_index(limit)
                    try:
                        decoded.entries.append(_entry(index, record, scope))
                    except (DecodeError, ValueError) as error:
                        decoded.errors[index] = str(error)
    except wire.TooManyFields as error:
        raise Refused(413, f"over {limit} entries in one request; send smaller batches") from error
    except (wire.WireError, DecodeError) as error:
        raise Refused(400, f"the body is no ExportLogsServiceRequest in protobuf: {error}") from error
    return _some(decoded)


def decode_json(body: bytes, limit: int) -> Decoded:
    """The same of OTLP's JSON: ids in hexadecimal, 64-bit numbers as text. Raises Refused."""
    decoded = Decoded()
    if weighs_too_much(body):
        raise Refused(413, "the body holds too many small values; send smaller batches")
    try:
        request = orjson.loads(body)
        for resource_logs in anyvalue.items(request, "resourceLogs"):
            resource = Labels(partial(_json_label, _object(resource_logs, "resource")))
            for scope_logs in anyvalue.items(resource_logs, "scopeLogs"):
                scope = Labels(partial(_json_label, _object(scope_logs, "scope")), resource)
                for record in anyvalue.items(scope_logs, "logRecords"):
                    index = decoded.next_index(limit)
                    try:
                        decoded.entries.append(_json_entry(index, record, scope))
                    except ValueError as error:
                        decoded.errors[index] = str(error)
    except ValueError as error:
        raise Refused(400, f"the body is no ExportLogsServiceRequest in JSON: {error}") from error
    return _some(decoded)


def encode_answer(rejected: int, message: str, *, as_json: bool) -> bytes:
    """The answer to a request that was taken, with a partial success where records were rejected."""
    if as_json:
        partial_success = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": message}}
        return orjson.dumps(partial_success if rejected else {})
    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.CopyFrom(ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message))
    encoded: bytes = answer.SerializeToString()
    return encoded


def encode_status(http_status: int, message: str, *, as_json: bool) -> bytes:
    """A ``google.rpc.Status``, which every refusal carries."""
    code = _GRPC_CODES.get(http_status, _INVALID_ARGUMENT)
    if as_json:
        return orjson.dumps({"code": code, "message": message})
    # Written by hand: field 1 is the code, field 2 the message; the package that has the class is large.
    text = message.encode()
    return bytes((0x08, code, 0x12)) + _varint(len(text)) + text


def _some(decoded: Decoded) -> Decoded:
    """Nothing decodes: then it is the body that is wrong."""
    if decoded.errors and not decoded.entries:
        raise Refused(400, f"no record of the body can be read: {next(iter(decoded.errors.values()))}")
    return decoded


def _layer(kind: type[Resource] | type[InstrumentationScope], parts: list[memoryview], above: Labels | None) -> Labels:
    message = b"".join(_sized(part) for part in parts)
    if len(message) > MAX_MESSAGE_BYTES:
        raise wire.WireError(f"a resource or scope of {len(message)} bytes, at most {MAX_MESSAGE_BYTES} are taken")
    kind.FromString(message)

    # Shared by many entries, and asked for the few names that are configured.
    @cache
    def own(name: str) -> str | None:
        return anyvalue.attribute(kind.FromString(message).attributes, name)

    return Labels(own, above)


def _sized(part: memoryview) -> memoryview:
    if len(part) > MAX_MESSAGE_BYTES:
        raise wire.WireError(f"a message of {len(part)} bytes, at most {MAX_MESSAGE_BYTES} are taken")
    return part


def _entry(index: int, record: memoryview, scope: Labels) -> Entry:
    parsed = LogRecord.FromString(bytes(_sized(record)))
    line = anyvalue.text(anyvalue.from_message(parsed.body)) or parsed.event_name
    return Entry(
        index,
        _with_line(line),
        Labels(partial(_label, record), scope),
        time_ns=checked_ns(parsed.time_unix_nano) if parsed.time_unix_nano else None,
        seen_ns=checked_ns(parsed.observed_time_unix_nano) if parsed.observed_time_unix_nano else None,
    )


def _label(record: memoryview, name: str) -> str | None:
    parsed = LogRecord.FromString(bytes(record))
    found = anyvalue.attribute(parsed.attributes, name)
    if found is not None:
        return found
    match name:
        case "trace_id" | "span_id":
            return getattr(parsed, name).hex() or None
        case "severity_text" | "event_name":
            return getattr(parsed, name) or None
    return None


def _json_entry(index: int, record: Any, scope: Labels) -> Entry:
    if not isinstance(record, dict):
        raise ValueError("a log record must be an object")
    line = anyvalue.text(anyvalue.from_json(record.get("body"))) or record.get("eventName")
    anyvalue.pairs(record.get("attributes"))
    return Entry(
        index,
        _with_line(line),
        Labels(partial(_json_label, record), scope),
        time_ns=_json_time(record.get("timeUnixNano")),
        seen_ns=_json_time(record.get("observedTimeUnixNano")),
    )


def _with_line(line: object) -> str:
    if not isinstance(line, str) or not line:
        raise ValueError("the record has no body")
    return line


_JSON_NAMES = {"trace_id": "traceId", "span_id": "spanId", "severity_text": "severityText", "event_name": "eventName"}


def _json_label(message: dict[str, Any], name: str) -> str | None:
    found = anyvalue.json_attribute(message.get("attributes"), name)
    if found is None and name in _JSON_NAMES:
        value = message.get(_JSON_NAMES[name])
        return value if isinstance(value, str) and value else None
    return found


def _json_time(value: Any) -> int | None:
    number = 0 if value in (None, "") else anyvalue.integer(value)
    return checked_ns(number) if number else None


def _object(parent: Any, name: str) -> dict[str, Any]:
    """A nested message, whose attributes are checked here, so that they can be read later. Raises ValueError."""
    value = parent.get(name) if isinstance(parent, dict) else parent
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object")
    anyvalue.pairs(value.get("attributes"))
    return value


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
