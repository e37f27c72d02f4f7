"""Kafka's messages to entries: a line, or a shipper's JSON document with the line in it.

Names are the document's fields as in ``intake.bulk``, then the message's headers, then ``topic``, ``partition`` and
``key``. Owns what a message means. Does not know how it was fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.intake import bulk
from service.intake.entry import Entry, Labels

USUAL_NAMES = ("topic",)
"""Where a source is named if nothing else says it."""

MAX_MESSAGE_BYTES = 2**20


class Poison(ValueError):
    """A message that can never be judged; ``reason`` is one word for a metric."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"unusable Kafka message: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message as it was fetched; ``seen_ns`` is its timestamp (of its producer, or of the broker)."""

    topic: str
    partition: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    seen_ns: int | None = None

    def get(self, name: str) -> str | None:
        """The value of a header (the last one of that name), or of the message's own; None where it did not come."""
        for header, value in reversed(self.headers):
            if header == name and value is not None:
                return value.decode("utf-8", "replace")
        match name:
            case "topic":
                return self.topic
            case "partition":
                return str(self.partition)
            case "key":
                return None if self.key is None else self.key.decode("utf-8", "replace")
        return None


def entry(index: int, message: Message) -> Entry:
    """The entry of a message.

    Raises Poison: ``empty`` (Kafka's tombstones), ``too_long``, ``encoding`` (no UTF-8), ``document`` (JSON with an
    ``@timestamp`` that is none).
    """
    value = message.value
    if value is None or not value.strip():
        raise Poison("empty")
    if len(value) > MAX_MESSAGE_BYTES:
        raise Poison("too_long")
    try:
        line = value.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Poison("encoding") from None
    labels = Labels(message.get)
    if line.lstrip().startswith("{") and bulk.is_object(value):
        try:
            found = bulk.document_entry(index, value, labels)
        except ValueError:
            raise Poison("document") from None
        return found if found.seen_ns is not None else replace(found, seen_ns=message.seen_ns)
    return Entry(index, line, labels, seen_ns=message.seen_ns)
