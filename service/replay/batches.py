"""A log cut into the requests of a replay.

Owns: where batches are cut (never inside a record of several lines), which connection a line takes, and where end
records stand. Knows no HTTP.

With several connections the log goes out in rounds of ``connections * batch_lines`` lines. Within a round all lines of
a session, and of sessions that share a line with it, are in one request; the next round begins when all requests of the
last one are answered. So each session keeps its order, while event times of a round may arrive out of order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson

from models.record import Records
from models.sessions import Int64
from models.source.config import Source
from training.corpus import chunks

Ends = Literal["never", "last_line", "end_of_log"]
"""Which end records are sent: none, one after each session's last line, or for all sessions after the last line."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its JSON body; ``items[i]`` is the log line (from 0) of the request's i-th item, -1 for an end."""

    body: bytes
    items: Sequence[int]
    lines: int


def rounds(
    source: Source, lines: Sequence[str], records: Records | None, batch_lines: int, connections: int, ends: Ends
) -> Iterator[list[Batch]]:
    """Requests in order of sending; those of one round may be sent at the same time.

    Args:
        records: the log, split (``training.corpus.split_log``); may be None with one connection and no end records.
    """
    if records is None and (connections > 1 or ends != "never"):
        raise ValueError("end records and several connections need the split log")
    last = _last_lines(records, len(lines)) if records is not None and ends == "last_line" else {}
    for start, stop in chunks(source, lines, batch_lines * connections):
        if records is None or connections == 1:
            lanes: list[Sequence[int]] = [range(start, stop)]
        else:
            lanes = _lanes(records, start, stop, connections)
        yield [_batch(source.name, lines, lane, last) for lane in lanes if len(lane)]
    if records is not None and ends == "end_of_log":
        sessions = records.session.unique(maintain_order=True).to_list()
        for begin in range(0, len(sessions), batch_lines):
            part = sessions[begin : begin + batch_lines]
            yield [_encoded(source.name, [_end(session) for session in part], [-1] * len(part), 0)]


def session_lines(records: Records, line_count: int) -> dict[str, list[range]]:
    """The lines of each session, a range for each of its records; sessions in order of their first line."""
    bounds = np.append(records.index, line_count).tolist()
    found: dict[str, list[range]] = {}
    for record, session in zip(records.session_record.tolist(), records.session.to_list(), strict=True):
        found.setdefault(session, []).append(range(bounds[record], bounds[record + 1]))
    return found


def _last_lines(records: Records, line_count: int) -> dict[int, list[str]]:
    """Sessions by the line after which nothing of them follows."""
    after: dict[int, list[str]] = {}
    for session, ranges in session_lines(records, line_count).items():
        after.setdefault(ranges[-1].stop - 1, []).append(session)
    return after


def _lanes(records: Records, start: int, stop: int, count: int) -> list[Sequence[int]]:
    """Lines ``start:stop`` dealt to ``count`` connections, each record with all that shares a session with it."""
    first, end = np.searchsorted(records.index, [start, stop]).tolist()
    group = _groups(records, first, end)
    loads = [0] * count
    lane_of: dict[int, int] = {}
    lanes: list[list[int]] = [[] for _ in range(count)]
    bounds = np.append(records.index[first:end], stop).tolist()
    # Lines before the first record were rejected; the service is to say so too.
    lanes[0].extend(range(start, bounds[0]))
    sizes = np.bincount(group, minlength=1).tolist()
    for at, own in enumerate(group.tolist()):
        if own not in lane_of:
            lane_of[own] = loads.index(min(loads))
            loads[lane_of[own]] += sizes[own]
        lanes[lane_of[own]].extend(range(bounds[at], bounds[at + 1]))
    return [*lanes]


def _groups(records: Records, first: int, end: int) -> Int64:
    """For each of the records ``first:end`` a number that it shares with those of the same or a connected session."""
    low, high = np.searchsorted(records.session_record, [first, end]).tolist()
    parent = list(range(end - first))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    seen: dict[str, int] = {}
    pairs = zip(records.session_record[low:high].tolist(), records.session[low:high].to_list(), strict=True)
    for record, session in pairs:
        own = root(record - first)
        earlier = root(seen.setdefault(session, own))
        parent[max(own, earlier)] = min(own, earlier)
    return np.array([root(at) for at in range(end - first)], dtype=np.int64)


def _batch(name: str, lines: Sequence[str], numbers: Sequence[int], last: Mapping[int, list[str]]) -> Batch:
    if not last:
        body = orjson.dumps({"source": name, "lines": [lines[number] for number in numbers]})
        return Batch(body, numbers, len(numbers))
    records: list[dict[str, Any]] = []
    items: list[int] = []
    for number in numbers:
        records.append({"line": lines[number]})
        items.append(number)
        for session in last.get(number, ()):
            records.append(_end(session))
            items.append(-1)
    return _encoded(name, records, items, len(numbers))


def _encoded(name: str, records: list[dict[str, Any]], items: Sequence[int], lines: int) -> Batch:
    return Batch(orjson.dumps({"source": name, "records": records}), items, lines)


def _end(session: str) -> dict[str, Any]:
    return {"session": session, "end": True}
