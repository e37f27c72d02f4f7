"""From records to timeframes: which frame a record counts in, when a frame is over, and what is counted.

Owns the rule, and a counter in memory that follows it. The service keeps the same counters in Redis and applies the
same rule in Lua (``service/state/frames.py``); a property test holds the two equal. Does not know what a term means,
nor how a frame is judged.

The rule, for the records of one source in order:

* the watermark at record i is the largest time of all records up to and including i, minus ``lateness_s``;
* a record whose frame lies wholly before its watermark, or at or before the newest frame that was closed, is late: it
  counts nowhere and reopens nothing;
* a frame is over when the watermark, which a silent source's wall clock moves on, has passed its end. Frames are closed
  in order, from the first that holds a line. Those without any line between are closed too, as empty ones, but no more
  than ``EMPTY`` in a row: a longer silence has been reported by then, and a wrong clock may skip years;
* in one frame, a bucket of entities keeps its first ``ENTITIES`` and an entity its first ``TERMS`` terms; further ones
  count as ``OTHER``.
"""

import datetime as dt
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import numpy as np
import polars as pl

from models.record import Records
from models.sessions import Float64, Int64, watermarks

BUCKETS = 16
"""Entities are spread over so many by their name; the service's partitions of Redis, which have the same number."""
ENTITIES = 128
"""Entities kept of one bucket in one frame: 2,048 in all, and a thousand find room however their names fall."""
TERMS = 10_000
"""Distinct terms kept of one entity in one frame."""
OTHER = "(other)"
"""Entity, and term, of what is too many. No term can be called so: terms have no punctuation."""
EMPTY = 1_000
"""Empty frames closed in a row: three and a half days of silence at five minutes a frame."""
LINES = ""
"""Stands where a term would for the number of an entity's lines."""
_FARTHEST = 2**52
"""Frames are numbered exactly in a double, as Lua and sorted sets need; no time that is one comes near."""
_TERMS_KEPT = 50_000
"""Messages whose terms are remembered; all are dropped when full."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One closed timeframe: number ``chunk``, how many ``lines`` it holds, and ``{entity: {term: count}}``."""

    chunk: int
    lines: int
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Group:
    """What one entity wrote in one frame within one batch; ``terms`` and ``counts`` of the same length, in order of
    first appearance."""

    chunk: int
    entity: str
    lines: int
    terms: list[str]
    counts: list[int]


@dataclass(frozen=True, slots=True)
class Tally:
    """One batch counted: its groups in order of first appearance; ``late`` records are in none."""

    groups: list[Group]
    late: int


def chunk_of(time: Float64, chunk_s: float) -> Int64:
    """Number of the frame that each time (seconds, float64 [n], no NaN) lies in, int64 [n]."""
    return np.clip(np.floor(time / chunk_s), -_FARTHEST, _FARTHEST).astype(np.int64)


def open_from(watermark: float, chunk_s: float) -> int:
    """The first frame that is not over when the watermark stands at ``watermark`` seconds (-inf: none is over)."""
    return int(chunk_of(np.array([watermark], dtype=np.float64), chunk_s)[0])


def frame_name(chunk: int, chunk_s: float) -> str:
    """What verdicts call a frame: the UTC time of its start, and its length, ``2024-05-01T00:00:00Z/300s``."""
    start = chunk * chunk_s
    try:
        moment = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=start)).replace(tzinfo=None)
        text = moment.isoformat() + "Z"
    except OverflowError:
        # A shipper may send any time that is a number.
        text = f"{start:.0f}s"
    return f"{text}/{chunk_s:g}s"


def bucket_of(entity: str) -> int:
    """Bucket of an entity, 0..BUCKETS-1, as the service partitions."""
    return zlib.crc32(entity.encode()) % BUCKETS


class Countable(Protocol):
    """What counting needs of a timeframe detector; see ``models.detector.TimeframeDetector``."""

    @property
    def chunk_s(self) -> float:
        """Length of a frame in seconds."""

    def entity(self, fields: pl.DataFrame) -> pl.Series:
        """Each record's entity, String [n]."""

    def terms(self, masked: str) -> dict[str, int]:
        """Terms of one masked message."""


class Counting:
    """Counts batches of records by a detector's entities and terms. Remembers the terms of messages; one batch at a
    time."""

    def __init__(self, detector: Countable) -> None:
        self.chunk_s = detector.chunk_s
        self._entity = detector.entity
        self._terms = detector.terms
        self._known: dict[str, dict[str, int]] = {}

    def tally(self, records: Records, prior_max: float, lateness_s: float) -> Tally:
        """Count a batch; ``prior_max`` is the largest time in seconds before it (-inf: none)."""
        chunk = chunk_of(records.time, self.chunk_s)
        late = chunk < chunk_of(watermarks(records.time, prior_max, lateness_s), self.chunk_s)
        frame = pl.DataFrame({"chunk": chunk, "entity": self._entity(records.fields), "masked": records.masked}).filter(
            pl.Series(~late)
        )
        if not len(frame):
            return Tally([], int(late.sum()))
        messages = frame.group_by("chunk", "entity", "masked", maintain_order=True).len("times")
        distinct = messages["masked"].unique(maintain_order=True)
        number = messages.select(pl.col("masked").cast(pl.Enum(distinct)).to_physical()).to_series().to_numpy()
        terms, counts, length = self._terms_of(distinct)
        # Each message's terms in its place: which message, and which of all distinct ones' terms.
        row = np.repeat(np.arange(len(number)), length[number])
        first = np.cumsum(length) - length
        at = np.arange(len(row)) - np.repeat(np.cumsum(length[number]) - length[number], length[number])
        at += first[number][row]
        counted = (
            messages.select("chunk", "entity", "times")[row]
            .with_columns(terms.gather(at), (pl.col("times") * pl.Series(counts[at])).alias("count"))
            .group_by("chunk", "entity", "term", maintain_order=True)
            .agg(pl.col("count").sum())
            .group_by("chunk", "entity", maintain_order=True)
            .agg("term", "count")
        )
        groups = [
            Group(number, entity, counts[0], names[1:], counts[1:])
            for number, entity, names, counts in counted.iter_rows()
        ]
        return Tally(groups, int(late.sum()))

    def _terms_of(self, messages: pl.Series) -> tuple[pl.Series, Int64, Int64]:
        """Terms of distinct messages one after the other, String ``term`` [k], how often each comes, int64 [k], and how
        many each message has, int64 [messages]. Each is led by ``LINES``, which comes once."""
        if len(self._known) + len(messages) > _TERMS_KEPT:
            self._known.clear()
        found = []
        for message in messages.to_list():
            terms = self._known.get(message)
            if terms is None:
                terms = self._known[message] = {LINES: 1, **self._terms(message)}
            found.append(terms)
        length = np.array([len(terms) for terms in found], dtype=np.int64)
        counts = np.fromiter(chain.from_iterable(terms.values() for terms in found), dtype=np.int64)
        return pl.Series("term", list(chain.from_iterable(found)), dtype=pl.String), counts, length


def plan(at: int, last: int, opened: Sequence[int], limit: int, most: int) -> list[int]:
    """Which frames to close next, at most ``most``: from ``at`` on and below ``limit``.

    ``last`` is the newest frame before ``at`` that held a line; ``opened``, sorted, are those that hold one now.
    """
    chunks: list[int] = []
    ahead = iter([chunk for chunk in opened if at <= chunk < limit])
    following = next(ahead, None)
    while len(chunks) < most and at < limit:
        if at == following:
            last, following = at, next(ahead, None)
        elif at - last > EMPTY:
            if following is None:
                break
            at = following
            continue
        chunks.append(at)
        at += 1
    return chunks


@dataclass(slots=True)
class _Bucket:
    """Counters of one bucket of entities in one frame."""

    entities: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, group: Group) -> None:
        entity = group.entity
        if entity not in self.entities and len(self.entities) >= ENTITIES:
            entity = OTHER
        own = self.entities.setdefault(entity, {LINES: 0})
        own[LINES] += group.lines
        # OTHER and LINES take no term's place.
        kept = len(own) - 1 - (OTHER in own)
        for term, count in zip(group.terms, group.counts, strict=True):
            if term in own:
                own[term] += count
            elif kept < TERMS:
                own[term] = count
                kept += 1
            else:
                own[OTHER] = own.get(OTHER, 0) + count


class FrameCounter:
    """The open frames of one source, in memory."""

    def __init__(self, chunk_s: float) -> None:
        """``chunk_s`` is the length of a frame in seconds."""
        self.chunk_s = chunk_s
        self._open: dict[int, dict[int, _Bucket]] = {}
        self._at: int | None = None
        self._last = 0

    def count(self, tally: Tally) -> int:
        """Add a batch; how many of its records were late, those among them that the tally had left out."""
        late = tally.late
        for group in tally.groups:
            if self._at is not None and group.chunk < self._at:
                late += group.lines
                continue
            self._open.setdefault(group.chunk, {}).setdefault(bucket_of(group.entity), _Bucket()).add(group)
        return late

    def close_due(self, watermark: float) -> list[Frame]:
        """Close the frames that are over at ``watermark`` seconds, oldest first."""
        return self._close(open_from(watermark, self.chunk_s))

    def close_all(self) -> list[Frame]:
        """Close every frame up to the newest that holds a line."""
        return self._close(max(self._open, default=-_FARTHEST) + 1)

    def _close(self, limit: int) -> list[Frame]:
        opened = sorted(self._open)
        if self._at is None:
            if not opened or opened[0] >= limit:
                return []
            self._at = self._last = opened[0]
        chunks = plan(self._at, self._last, opened, limit, _FARTHEST)
        frames = [assemble(chunk, self._taken(chunk)) for chunk in chunks]
        if chunks:
            self._at = chunks[-1] + 1
            self._last = max([self._last, *(frame.chunk for frame in frames if frame.lines)])
        return frames

    def _taken(self, chunk: int) -> Iterable[tuple[str, str, int]]:
        buckets = self._open.pop(chunk, {})
        return (
            (entity, term, count)
            for _, bucket in sorted(buckets.items())
            for entity, terms in bucket.entities.items()
            for term, count in terms.items()
        )


def assemble(chunk: int, cells: Iterable[tuple[str, str, int]]) -> Frame:
    """One frame of its counters (entity, term, count), ``LINES`` among the terms; entity ``OTHER`` may come from
    several buckets. Entities and terms are sorted, so that the order of counting leaves no trace."""
    counts: dict[str, dict[str, int]] = {}
    lines = 0
    for entity, term, count in cells:
        own = counts.setdefault(entity, {})
        if term == LINES:
            lines += count
        else:
            own[term] = own.get(term, 0) + count
    return Frame(chunk, lines, {entity: dict(sorted(terms.items())) for entity, terms in sorted(counts.items())})
