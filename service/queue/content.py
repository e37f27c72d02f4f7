"""What an entry of the durable queue holds: one partition's piece of an accepted request, and its form in Redis.

Owns the form: JSON, compressed, with a mark of its version. Does not know how a request is divided.
"""

import zlib
from dataclasses import dataclass, field

import orjson

from models.errors import StateError, TocsinError
from models.parser import End
from service.pipeline.answer import Wanted
from service.pipeline.request import IngestRequest, Queued
from service.state.compression import pack, unpack
from service.state.leases import Fence
from service.state.queue import Entry

FORM = 1
_ZLIB = b"x"


def plain(data: bytes) -> bytes:
    """What an entry or a result says; those that an earlier version packed with zlib are still read. Raises StateError
    or zlib.error where it is neither."""
    return zlib.decompress(data) if data.startswith(_ZLIB) else unpack(data)


class UnreadableEntry(TocsinError):
    """An entry that this version cannot read."""


@dataclass(slots=True)
class Content:
    """Lines of one source in order, as for ``IngestRequest``: ``index`` is each line's place among the ``received`` of
    the request. ``secondary`` are places of lines that are counted in another partition; ``pieces`` is how many
    partitions have a piece; ``wanted`` which verdicts are kept."""

    received: int
    pieces: int
    wanted: Wanted
    backfill: bool
    lines: list[str] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    sessions: list[str | None] | None = None
    times: list[float | None] | None = None
    ends: list[End] = field(default_factory=list)
    secondary: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Lines and end records."""
        return len(self.lines) + len(self.ends)

    def encode(self) -> bytes:
        """As it lies in the queue."""
        ends = [[end.index, end.session] for end in self.ends]
        columns = [
            FORM, self.received, self.pieces, self.wanted, self.backfill, self.lines, self.index, self.sessions,
            self.times, ends, self.secondary,
        ]  # fmt: skip
        return pack(orjson.dumps(columns))

    @classmethod
    def decode(cls, data: bytes) -> "Content":
        """Read back ``encode``. Raises UnreadableEntry for what another version wrote."""
        try:
            form, *columns = orjson.loads(plain(data))
            if form != FORM:
                raise UnreadableEntry(f"an entry of the durable queue has form {form}; this version reads {FORM}")
            received, pieces, wanted, backfill, lines, index, sessions, times, ends, secondary = columns
            return cls(
                received, pieces, wanted, backfill, lines, index, sessions, times,
                [End(place, session) for place, session in ends], secondary,
            )  # fmt: skip
        except (zlib.error, StateError, orjson.JSONDecodeError, TypeError, ValueError) as error:
            raise UnreadableEntry(f"an entry of the durable queue cannot be read: {error}") from error

    def request(self, source: str, entry: Entry, fence: Fence, run: str) -> IngestRequest:
        """The request that a worker takes."""
        queued = Queued(run, fence, entry.prior, entry.arrival, frozenset(self.secondary))
        return IngestRequest(
            source, self.received, self.lines, self.index, self.sessions, self.times, None, self.ends,
            batch_id=entry.batch_id, backfill=self.backfill, queued=queued,
        )  # fmt: skip
