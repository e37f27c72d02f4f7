"""A request divided by the partitions of its lines' sessions, by the source's own parser.

Owns that every line goes to each partition that one of its sessions lies in, whole records together, or is rejected.
Does not know what becomes of the pieces.
"""

from dataclasses import dataclass

import numpy as np

from models.parser import End, Parser
from models.record import Records
from models.sessions import Int64
from models.source.config import Source
from service.pipeline.answer import Wanted
from service.pipeline.merge import Merged, begin_records, merge
from service.pipeline.request import IngestRequest, LineError
from service.queue.content import Content
from service.state import keys


@dataclass(frozen=True, slots=True)
class Divided:
    """The ``contents`` of each partition that gets any, what was ``rejected``, and the largest event time in seconds
    (-inf where no line has one)."""

    contents: dict[int, Content]
    rejected: list[LineError]
    newest: float


def divide(request: IngestRequest, source: Source, parser: Parser, arrival: float, wanted: Wanted) -> Divided:
    """Divide a request that came at ``arrival``, seconds."""
    merged = merge([request], source)
    records = parser.split(merged.lines, arrival, merged.sessions, merged.times)
    rejected = [*request.rejected]
    rejected += [LineError(request.index[line.index], line.error) for line in records.rejected]
    contents: dict[int, Content] = {}

    def content(partition: int) -> Content:
        found = contents.get(partition)
        if found is None:
            found = contents[partition] = Content(request.received, 0, wanted, request.backfill)
        return found

    if len(records):
        stops = _stops(merged, records, source.starts_with)
        names = records.session.to_list()
        of_name = {name: keys.partition_of(name.encode()) for name in set(names)}
        partition = np.array([of_name[name] for name in names], dtype=np.int64)
        _, first = np.unique(records.session_record, return_index=True)
        home = partition[first]
        pairs = np.unique(records.session_record * keys.PARTITIONS + partition)
        for p in np.unique(partition).tolist():
            own = pairs[pairs % keys.PARTITIONS == p] // keys.PARTITIONS
            piece = content(p)
            lines = _lines(records.index[own], stops[own])
            piece.lines = [merged.lines[line] for line in lines]
            piece.index = [request.index[line] for line in lines]
            if merged.sessions is not None:
                piece.sessions = [merged.sessions[line] for line in lines]
            if merged.times is not None:
                piece.times = [merged.times[line] for line in lines]
            piece.secondary = [request.index[line] for line in records.index[own[home[own] != p]].tolist()]
    for end in request.ends:
        content(keys.partition_of(end.session.encode())).ends.append(End(end.index, end.session))
    for piece in contents.values():
        piece.pieces = len(contents)
    newest = float(records.time.max()) if len(records) else -np.inf
    return Divided(dict(sorted(contents.items())), sorted(rejected, key=lambda error: error.index), newest)


def _stops(merged: Merged, records: Records, starts_with: str | None) -> Int64:
    """Where each record's lines end, int64 [n]: before the next line that begins one, a rejected one included, and
    before what is too much of it."""
    if starts_with is None:
        return records.index + 1
    heads = np.flatnonzero(begin_records(merged.lines, starts_with))
    walls = np.unique(np.concatenate([heads, [rejection.index for rejection in records.rejected], [len(merged.lines)]]))
    stops: Int64 = walls[np.searchsorted(walls, records.index, side="right")].astype(np.int64)
    return stops


def _lines(starts: Int64, stops: Int64) -> list[int]:
    """The numbers from each start up to its stop."""
    length = stops - starts
    if len(length) == length.sum():
        return list(starts.tolist())
    first = np.cumsum(length) - length
    return list((np.repeat(starts - first, length) + np.arange(length.sum())).tolist())
