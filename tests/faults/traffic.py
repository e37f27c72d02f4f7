"""Requests without end, made of a log: in lanes, each of which goes over the log again and again.

Owns what is in a request: whole records (one of several lines counts as one line), sessions of each lane and pass of
their own, event times that end now and go at most as slowly as the log's. A lane's requests follow one another, so its
sessions keep their order; one that was not taken is that lane's next again, under the same key.
"""

from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import orjson

from tests.faults.house import Material

BATCH = 500
"""Lines of one request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A body, its Idempotency-Key, and how many lines it holds."""

    body: bytes
    key: str
    lines: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one request takes of the log; ``share`` is when in its time each line came, 0 to 1, over ``span`` s."""

    lines: list[str]
    sessions: list[str]
    share: list[float]
    span: float


class Lanes:
    """The log in pieces, and every lane that was ever used."""

    def __init__(self, material: Material) -> None:
        records = material.records
        bounds = np.append(records.index, len(material.lines)).tolist()
        first = dict(zip(records.session_record.tolist()[::-1], records.session.to_list()[::-1], strict=True))
        self.source = material.source.name
        self.pieces = []
        for at in range(0, len(records), BATCH):
            rows = range(at, min(at + BATCH, len(records)))
            times = records.time[rows.start : rows.stop]
            span = float(times.max() - times.min())
            share = (times - times.min()) / span if span > 0 else np.ones(len(rows))
            whole = ["\n".join(material.lines[bounds[row] : bounds[row + 1]]) for row in rows]
            self.pieces.append(_Piece(whole, [first[row] for row in rows], share.tolist(), span))
        self._made = 0
        self._idle: list[Lane] = []

    def take(self) -> "Lane":
        """The lane that was left last, or a new one: there are as many as requests under way."""
        if self._idle:
            return self._idle.pop()
        self._made += 1
        return Lane(self, f"lane{self._made}")

    def leave(self, lane: "Lane") -> None:
        """Nothing of this lane is under way any more."""
        self._idle.append(lane)


class Lane:
    """One after the other, the requests of one shipper."""

    def __init__(self, lanes: Lanes, name: str) -> None:
        self._lanes = lanes
        self._name = name
        self._sent = 0
        self._until = 0.0
        self._waiting: Request | None = None

    def request(self, now: float) -> Request:
        """The next request at wall clock ``now``; the same again until it is ``taken``."""
        if self._waiting is None:
            self._waiting = self._made(now)
        return self._waiting

    def taken(self) -> None:
        """The request was answered for good."""
        self._waiting = None
        self._sent += 1

    def _made(self, now: float) -> Request:
        number, at = divmod(self._sent, len(self._lanes.pieces))
        piece = self._lanes.pieces[at]
        begins = max(self._until, now - piece.span)
        self._until = now
        rows = [
            {"line": line, "session": f"{session}-{self._name}-{number}", "timestamp": begins + (now - begins) * share}
            for line, session, share in zip(piece.lines, piece.sessions, piece.share, strict=True)
        ]
        return Request(orjson.dumps({"source": self._lanes.source, "records": rows}), uuid4().hex, len(rows))
