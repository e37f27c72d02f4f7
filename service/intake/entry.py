"""What every protocol's body comes down to: log entries with the names that came along, and errors of single ones.

Owns the common shape and what names are looked up by. Does not know any protocol, nor which source an entry goes to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

EARLIEST_S, LATEST_S = -62_135_596_800, 253_402_300_799
"""Seconds since the epoch of years 1 and 9999, as for ``POST /ingest``."""


class Refused(Exception):
    """A body that cannot be taken at all: 400 where it does not decode, 413 where it holds too much."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Names and values that came with an entry: attributes, labels or fields. Read when asked for, and kept nowhere:
    a body of many small names must not take many times its own size.

    ``stream`` holds what several entries share: a resource, a stream, an index. The entry's own values stand above it.
    """

    own: Callable[[str], str | None]
    stream: "Labels | None" = None

    def get(self, name: str) -> str | None:
        """The value of a name, as text; None where it did not come."""
        found = self.own(name)
        return found if found is not None or self.stream is None else self.stream.get(name)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One log entry.

    ``index`` is its place in the request. ``time_ns`` is when it happened, in nanoseconds since the epoch, and stands
    above the line's own timestamp; ``seen_ns`` is when a shipper saw it, and serves where the line has none.
    ``document`` is the JSON object that the line was taken from, for sources that read JSON. ``written`` gives the line
    with its header, and the time that stands above that, for sources that read one of the forms of ``intake.syslog``.
    """

    index: int
    line: str
    labels: Labels
    time_ns: int | None = None
    seen_ns: int | None = None
    document: str | None = None
    written: Callable[[int], tuple[str, int | None]] | None = None


@dataclass(slots=True)
class Decoded:
    """A body's entries in order, and by index what was wrong with the others."""

    entries: list[Entry] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """How many entries the body held, good and bad."""
        return len(self.entries) + len(self.errors)

    def next_index(self, limit: int) -> int:
        """The place of the entry that comes next. Raises Refused where the body holds more than ``limit``."""
        if self.received >= limit:
            raise Refused(413, f"over {limit} entries in one request; send smaller batches")
        return self.received


def checked_ns(nanoseconds: int) -> int:
    """A time within years 1 to 9999. Raises ValueError."""
    if not EARLIEST_S <= nanoseconds // 1_000_000_000 <= LATEST_S:
        raise ValueError("the timestamp is not within years 1 to 9999; it must be in nanoseconds since the epoch")
    return nanoseconds
