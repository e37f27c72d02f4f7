"""Bodies for the decoders, small enough to read."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from service.intake.entry import Decoded, Refused

TIME_NS = 1_714_521_600_000_000_123


def otlp_request(*lines: str, service: str | None = "app", **attributes: str) -> ExportLogsServiceRequest:
    """One resource, one scope, a record for each line with the attributes."""
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    if service is not None:
        name = resource_logs.resource.attributes.add(key="service.name")
        name.value.string_value = service
    scope_logs = resource_logs.scope_logs.add()
    for line in lines:
        record = scope_logs.log_records.add(time_unix_nano=TIME_NS)
        record.body.string_value = line
        for key, value in attributes.items():
            record.attributes.add(key=key).value.string_value = value
    return request


def otlp_json(*records: Any, service: str | None = "app") -> dict[str, Any]:
    """The same in OTLP's JSON; a text becomes a record."""
    whole = [
        {"timeUnixNano": str(TIME_NS), "body": {"stringValue": one}} if isinstance(one, str) else one for one in records
    ]
    attributes = [] if service is None else [{"key": "service.name", "value": {"stringValue": service}}]
    return {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": whole}]}]}


def varint(number: int) -> bytes:
    """An unsigned integer as protobuf writes it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def message(number: int, content: bytes | str) -> bytes:
    """A length-delimited field."""
    content = content.encode() if isinstance(content, str) else content
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def loki_entry(line: str | bytes, time_ns: int = TIME_NS, **metadata: str) -> bytes:
    """An ``EntryAdapter``."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    stamp = b"\x08" + varint(seconds % 2**64) + b"\x10" + varint(nanos)
    pairs = b"".join(message(3, message(1, name) + message(2, value)) for name, value in metadata.items())
    return message(1, stamp) + message(2, line) + pairs


def loki_push(labels: str, *entries: bytes) -> bytes:
    """A ``PushRequest`` of one stream, not compressed."""
    return message(1, message(1, labels) + b"".join(message(2, entry) for entry in entries))


def loki_json(*values: Any, **labels: Any) -> dict[str, Any]:
    """The same in JSON; a text becomes a value."""
    whole = [[str(TIME_NS), value] if isinstance(value, str) else value for value in values]
    return {"streams": [{"stream": labels, "values": whole}]}


def ndjson(*lines: Any) -> bytes:
    """A line for each; bytes as they are, anything else as JSON."""
    return b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines)


def created(*documents: Any, index: str = "shop") -> bytes:
    """A bulk body that creates each document in the index."""
    return ndjson(*(line for document in documents for line in ({"create": {"_index": index}}, document)))


def outcome(decode: Callable[[], Decoded]) -> Decoded | Refused:
    """What a decoder makes of a body: entries and errors, or a refusal. Anything else that it raises is a fault."""
    try:
        return decode()
    except Refused as refused:
        return refused


def accounted(found: Decoded | Refused, names: Sequence[str]) -> bool:
    """Whether a refusal has a status of its own kind, or else every entry is taken or named as wrong, once, with text
    or nothing under each of ``names``."""
    if isinstance(found, Refused):
        return found.status in (400, 413)
    places = sorted([*(entry.index for entry in found.entries), *found.errors])
    texts = [entry.labels.get(name) for entry in found.entries for name in names]
    return places == list(range(found.received)) and all(isinstance(text, str | None) for text in texts)
