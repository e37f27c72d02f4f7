"""Elasticsearch's bulk format: pairs of lines, an action and its document, to entries; and the answer item by item.

The line is the document's ``message``, ``log``, ``msg`` or ``event.original``, whichever is a text first; of a document
without any, the document. Names are ``_index`` and the document's fields, nested ones joined by dots. Owns the format
only.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from service.intake.entry import Decoded, Entry, Labels, Refused, checked_ns

USUAL_NAMES = ("_index",)
"""Where a source is named if nothing else says it."""

TAKEN, UNSUPPORTED = ("create", "index"), ("update", "delete")
WITHOUT_DOCUMENT = "delete"
MESSAGES = ("message", "log", "msg", "event.original")
ERROR_TYPES = {
    400: "document_parsing_exception",
    403: "security_exception",
    404: "index_not_found_exception",
    429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
}

_BLANK = re.compile(rb"\s*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS = re.compile(r"\.[0-9]{6}([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Item:
    """One action: which, on which index, under which id (None where the client leaves it to the server)."""

    op: str
    index: str | None
    id: str | None


@dataclass(slots=True)
class Bulk:
    """A body's actions in order, with their entries and errors under the same indexes."""

    items: list[Item] = field(default_factory=list)
    decoded: Decoded = field(default_factory=Decoded)


def decode(body: bytes, index: str | None, limit: int) -> Bulk:
    """Entries of a body; ``index`` serves actions that name none.

    Raises Refused, as Elasticsearch refuses the whole body: 400 an action that does not read, 413 too many.
    """
    bulk = Bulk()
    streams: dict[str | None, Labels] = {}
    lines = _lines(body)
    for number, raw in lines:
        place = bulk.decoded.next_index(limit)
        item = _item(number, raw, index)
        bulk.items.append(item)
        if item.op == WITHOUT_DOCUMENT:
            document = b""
        else:
            _, document = next(lines, (0, b""))
            if not document:
                raise Refused(400, f"Malformed content, found no document after the action in line [{number}]")
        if item.op in UNSUPPORTED:
            bulk.decoded.errors[place] = f"{item.op} is not taken: lines of a log are only created (create, index)"
            continue
        if item.index not in streams:
            streams[item.index] = Labels({"_index": item.index}.get)
        try:
            bulk.decoded.entries.append(document_entry(place, document, streams[item.index]))
        except ValueError as error:
            bulk.decoded.errors[place] = str(error)
    return bulk


def encode_answer(items: list[Item], failed: Mapping[int, tuple[int, str]], took_ms: int, ids: str) -> bytes:
    """The answer to a body: every item's result, in order.

    ``failed`` holds status and reason by index; ``ids`` begins the ids of documents that came without one.
    """
    results = []
    for place, item in enumerate(items):
        result: dict[str, Any] = {"_index": item.index, "_id": item.id or f"{ids}{place}"}
        if place in failed:
            status, reason = failed[place]
            result |= {"status": status, "error": {"type": ERROR_TYPES[status], "reason": reason}}
        else:
            result |= {"_version": 1, "result": "created", "status": 201}
        results.append({item.op: result})
    return orjson.dumps({"took": took_ms, "errors": bool(failed), "items": results})


def encode_error(status: int, kind: str, reason: str) -> bytes:
    """An error of a whole request."""
    cause = {"type": kind, "reason": reason}
    return orjson.dumps({"error": {"root_cause": [cause], **cause}, "status": status})


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1 without blank ones, one at a time: a body may be nothing but feeds."""
    at = number = 0
    while True:
        blank = _BLANK.match(body, at)
        assert blank is not None
        at = blank.end()
        if at == len(body):
            return
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        number += 1
        yield number, body[at:end]
        at = end


def _item(number: int, raw: bytes, index: str | None) -> Item:
    try:
        action = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"Malformed action/metadata line [{number}]: {error}") from error
    op, about = next(iter(action.items())) if isinstance(action, dict) and len(action) == 1 else ("", None)
    if op not in TAKEN + UNSUPPORTED or not isinstance(about, dict):
        raise Refused(
            400, f'Malformed action/metadata line [{number}], expected {{"create": {{...}}}} or {{"index": {{...}}}}'
        )
    given_index, given_id = about.get("_index", index), about.get("_id")
    for value in (given_index, given_id):
        if value is not None and not isinstance(value, str):
            raise Refused(400, f"Malformed action/metadata line [{number}], _index and _id must be strings")
    return Item(op, given_index, given_id)


def is_object(raw: bytes) -> bool:
    """Whether it is a JSON object."""
    try:
        return isinstance(orjson.loads(raw), dict)
    except orjson.JSONDecodeError:
        return False


def document_entry(place: int, raw: bytes, stream: Labels) -> Entry:
    """The entry of one document. Raises ValueError where it is no JSON object, or its ``@timestamp`` none."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the document is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("the document must be an object")
    text = raw.rstrip().decode()
    said = (_at(document, name) for name in MESSAGES)
    line = next((message for message in said if isinstance(message, str) and message), text)
    seen_ns = _nanoseconds(document.get("@timestamp"))
    return Entry(place, line, Labels(partial(_field, raw), stream), seen_ns=seen_ns, document=text)


def _field(raw: bytes, name: str) -> str | None:
    """A field of the document as text, read anew: few names are ever asked for."""
    value = _at(orjson.loads(raw), name)
    if value is None or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _at(document: dict[str, Any], name: str) -> Any:
    """The value of a field, or at a path of fields joined by dots."""
    if name in document:
        return document[name]
    value: Any = document
    for step in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _nanoseconds(value: Any) -> int | None:
    """``@timestamp``: ISO 8601 (UTC where it names no zone) or milliseconds since the epoch. Raises ValueError."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"@timestamp {value[:40]!r} is not ISO 8601") from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        finer = _NANOS.search(value)
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
        return checked_ns(microseconds * 1_000 + (int(finer[1].ljust(3, "0")) if finer else 0))
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
        raise ValueError("@timestamp must be ISO 8601 text, or milliseconds since the epoch")
    return checked_ns(round(value * 1_000_000))
