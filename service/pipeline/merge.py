"""Requests that arrive together become one batch; each line keeps the way back to its request."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from models.parser import End, Parser
from models.record import Records
from models.source.config import SessionRule, Source
from service.pipeline.request import IngestRequest


@dataclass(frozen=True, slots=True)
class Merged:
    """Lines of several requests in order.

    ``offsets`` holds the first place of each request; a line's place in the batch is its request's offset plus its
    place there. ``place`` maps line number to place, as rejected records and end records take places too. ``strays``
    are (place, line) of lines that carry on a record whose first line their own request does not have: they must not
    carry on another request's.
    """

    lines: list[str]
    place: list[int]
    sessions: list[str | None] | None
    times: list[float | None] | None
    ends: list[End]
    offsets: list[int]
    strays: list[tuple[int, str]]

    def request_of(self, place: int) -> tuple[int, int]:
        """Which request a place belongs to, and the place there."""
        request = bisect_right(self.offsets, place) - 1
        return request, place - self.offsets[request]

    def split(self, parser: Parser, arrival: float | Sequence[float]) -> Records:
        """The lines' records and what is rejected, strays among them, by place; ``arrival`` as ``Parser.split``."""
        records = parser.split(self.lines, arrival, self.sessions, self.times)
        if self.place and self.place[-1] == len(self.lines) - 1 and not self.strays:
            return records
        place = np.array(self.place, dtype=np.int64)
        rejected = [replace(rejection, index=int(place[rejection.index])) for rejection in records.rejected]
        if self.strays:
            # No record comes of them, whenever they came.
            alone = parser.split([line for _, line in self.strays], 0.0).rejected
            rejected += [replace(rejection, index=self.strays[rejection.index][0]) for rejection in alone]
        return replace(records, index=place[records.index], rejected=rejected)


def merge(requests: Sequence[IngestRequest], source: Source) -> Merged:
    """Join requests of one source. Sessions that ``fields`` of a record spell out are taken from them."""
    lines: list[str] = []
    place: list[int] = []
    ends: list[End] = []
    offsets: list[int] = []
    offset = 0
    any_sessions = any(r.sessions is not None or r.fields is not None for r in requests)
    any_times = any(r.times is not None for r in requests)
    sessions: list[str | None] = []
    times: list[float | None] = []
    strays: list[tuple[int, str]] = []
    for request, stray in zip(requests, _strays(requests, source.starts_with), strict=True):
        offsets.append(offset)
        strays.extend((offset + request.index[i], request.lines[i]) for i in range(stray))
        lines.extend(request.lines[stray:] if stray else request.lines)
        place.extend(request.index if offset == 0 else [offset + i for i in request.index[stray:]])
        ends.extend(End(offset + end.index, end.session) for end in request.ends)
        if any_sessions:
            sessions.extend(_sessions(request, source.session)[stray:])
        if any_times:
            times.extend((request.times or [None] * len(request.lines))[stray:])
        offset += request.received
    return Merged(lines, place, sessions if any_sessions else None, times if any_times else None, ends, offsets, strays)


def _strays(requests: Sequence[IngestRequest], starts_with: str | None) -> list[int]:
    """How many lines at the head of each request begin no record. The first request's stay: the splitter sees them."""
    found = [0] * len(requests)
    if starts_with is None:
        return found
    later = [number for number, request in enumerate(requests) if number and request.lines]
    begins = begin_records([requests[number].lines[0] for number in later], starts_with)
    for number in (number for number, begin in zip(later, begins, strict=True) if not begin):
        own = begin_records(requests[number].lines, starts_with)
        found[number] = own.index(True) if True in own else len(own)
    return found


def begin_records(lines: Sequence[str], starts_with: str) -> list[bool]:
    """Whether each line begins a record."""
    return pl.Series(lines, dtype=pl.String).str.strip_chars_end("\r\n").str.contains(starts_with).to_list()


def _sessions(request: IngestRequest, rule: SessionRule) -> list[str | None]:
    given = request.sessions or [None] * len(request.lines)
    if request.fields is None or not rule.fields:
        return given
    return [
        session
        if session is not None or fields is None or any(name not in fields for name in rule.fields)
        else "/".join(fields[name] for name in rule.fields)
        for session, fields in zip(given, request.fields, strict=True)
    ]
