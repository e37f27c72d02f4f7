"""Loki pushes: ``PushRequest`` as JSON or as protobuf in raw snappy, to entries.

Names are an entry's structured metadata, then the labels of its stream. Owns the format only.
"""

import re
from functools import partial
from typing import Any

import cramjam
import orjson
from google.protobuf.message import DecodeError

from service.intake import lokiproto, wire
from service.intake.entry import Decoded, Entry, Labels, Refused, checked_ns
from service.intake.weight import weighs_too_much

USUAL_NAMES = ("service_name", "app", "job")
"""Where a source is named if nothing else says it, in the order in which they are tried."""

MAX_ENTRY_BYTES = 2**20
"""A parsed entry may take forty times its size."""
FIELDS_AN_ENTRY, FIELDS_AT_LEAST = 4, 100
"""A client that sends a stream for every entry needs four fields for it."""
SNAPPY_MOST = 22
"""No snappy block unpacks to more times its size: three bytes copy 64 at most."""

_STREAMS = 1
_LABELS, _ENTRIES = 1, 2
_PAIR = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_.:]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)\s*(,|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unsnapped(body: bytes, limit: int) -> bytes:
    """A body without its snappy compression. The size that it declares is looked at before anything is unpacked.

    Raises Refused: 400 no snappy, 413 over ``limit`` bytes.
    """
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size <= limit and size <= SNAPPY_MOST * len(body):
            return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise Refused(400, f"the body is not snappy ({error}); send application/json or snappy protobuf") from error
    if size > SNAPPY_MOST * len(body):
        raise Refused(400, f"the body is not snappy: {len(body)} bytes cannot unpack to {size}")
    raise Refused(413, f"the body is over {limit} bytes; send smaller batches")


def decode_protobuf(body: bytes, limit: int) -> Decoded:
    """Entries of a body in protobuf. Raises Refused: 400 malformed, 413 more than ``limit`` entries."""
    decoded = Decoded()
    budget = wire.Budget(FIELDS_AN_ENTRY * limit + FIELDS_AT_LEAST)
    try:
        (streams,) = wire.layers(memoryview(body), budget, _STREAMS)
        for stream in streams:
            names, entries = wire.layers(stream, budget, _LABELS, _ENTRIES)
            try:
                labels: Labels | ValueError = Labels(parse_labels(wire.text(names[-1]) if names else "{}").get)
            except ValueError as error:
                labels = error
            for entry in entries:
                index = decoded.next_index(limit)
                if isinstance(labels, ValueError):
                    decoded.errors[index] = str(labels)
                    continue
                try:
                    decoded.entries.append(_entry(index, entry, labels))
                except (DecodeError, ValueError) as error:
                    decoded.errors[index] = str(error)
    except wire.TooManyFields as error:
        raise Refused(413, f"over {limit} entries in one request; send smaller batches") from error
    except wire.WireError as error:
        raise Refused(400, f"the body is no PushRequest in protobuf: {error}") from error
    return decoded


def decode_json(body: bytes, limit: int) -> Decoded:
    """The same in JSON, ``{"streams": [{"stream": {...}, "values": [["ns", "line", {...}]]}]}``. Raises Refused."""
    decoded = Decoded()
    if weighs_too_much(body):
        raise Refused(413, "the body holds too many small values; send smaller batches")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    for stream in _list(request, "streams"):
        values = _list(stream, "values")
        names = stream.get("stream", {})
        if not isinstance(names, dict):
            raise Refused(400, '"stream" must be an object of labels')
        labels = Labels(partial(_scalar, names))
        for value in values:
            index = decoded.next_index(limit)
            try:
                decoded.entries.append(_json_entry(index, value, labels))
            except ValueError as error:
                decoded.errors[index] = str(error)
    return decoded


def parse_labels(text: str) -> dict[str, str]:
    """Labels as ``{job="shop", host="a"}``. Raises ValueError."""
    inner = text.strip()
    if not (inner.startswith("{") and inner.endswith("}")):
        raise ValueError(f'labels must look like {{name="value"}}, not {text[:80]!r}')
    inner, at, found = inner[1:-1].strip(), 0, {}
    while at < len(inner):
        pair = _PAIR.match(inner, at)
        if pair is None:
            raise ValueError(f"labels do not read at {inner[at : at + 40]!r}")
        name, quoted, raw, _ = pair.groups()
        found[name] = raw if quoted is None else _ESCAPE.sub(_unescaped, quoted)
        at = pair.end()
    return found


def _unescaped(escape: re.Match[str]) -> str:
    *codes, octal, short = escape.groups()
    for code in codes:
        if code is not None:
            return _char(int(code, 16))
    if octal is not None:
        return _char(int(octal, 8))
    return _SHORT.get(short, short)


def _char(code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError("labels hold an escape that is no character")
    return chr(code)


def _entry(index: int, entry: memoryview, stream: Labels) -> Entry:
    if len(entry) > MAX_ENTRY_BYTES:
        raise ValueError(f"an entry of {len(entry)} bytes, at most {MAX_ENTRY_BYTES} are taken")
    parsed = lokiproto.Entry.FromString(bytes(entry))
    if not parsed.HasField("timestamp"):
        raise ValueError("the entry has no timestamp")
    time_ns = checked_ns(parsed.timestamp.seconds * 1_000_000_000 + parsed.timestamp.nanos)
    own = partial(_metadata, entry) if parsed.metadata else _nothing
    return Entry(index, parsed.line, Labels(own, stream), seen_ns=time_ns)


def _metadata(entry: memoryview, name: str) -> str | None:
    """A value of the structured metadata, read anew: few names are ever asked for."""
    for pair in lokiproto.Entry.FromString(bytes(entry)).metadata:
        if pair.name == name:
            return str(pair.value)
    return None


def _nothing(_name: str) -> None:
    return None


def _json_entry(index: int, value: Any, stream: Labels) -> Entry:
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise ValueError('a value must be ["nanoseconds", "line"] or ["nanoseconds", "line", {metadata}]')
    time, line, *rest = value
    if not isinstance(line, str):
        raise ValueError("line must be a string")
    if not isinstance(time, str) or len(time) > 20 or not time.removeprefix("-").isdecimal():
        raise ValueError("timestamp must be nanoseconds since the epoch, as a string")
    metadata = rest[0] if rest else {}
    if not isinstance(metadata, dict):
        raise ValueError("metadata must be an object")
    return Entry(index, line, Labels(partial(_scalar, metadata), stream), seen_ns=checked_ns(int(time)))


def _scalar(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None if value is None else orjson.dumps(value).decode()


def _list(parent: Any, name: str) -> list[Any]:
    value = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(value, list):
        raise Refused(400, f'the body must look like {{"streams": [{{"stream": {{}}, "values": []}}]}}: no list {name}')
    return value
