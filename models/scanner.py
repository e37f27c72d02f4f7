"""A few lines, read one by one: what ``models.wellformed`` does to columns, without the price of beginning a query.

Owns the way of the batch of one line, which is what a service with many small senders gets. ``models.splitter`` owns
what a record is: whatever is not plainly well formed, or holds more than printable ASCII and tabs, is left to it, and a
property test holds the two against each other.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import polars as pl

from models.record import Records
from models.source import linear, regex
from models.source.config import SessionRule, Source, header_fields
from models.source.header import HEAD, head_pattern
from models.source.linear import EmptyMatch, LinearRegex
from models.source.session import ABSENT
from models.source.stamps import Stamps

FEW = 16
"""Lines up to which this is quicker than polars."""


class _Unlike(Exception):
    """The line is not one of those that are read here."""


class Scanner:
    """Reads small batches of one source; remembers timestamps, and nothing else."""

    def __init__(self, source: Source, max_ahead_s: float) -> None:
        """Raises ValueError where the source's patterns cannot be read alike here."""
        self._source = source
        self._max_ahead_s = max_ahead_s
        self._begins = _compiled(source.starts_with) if source.starts_with is not None else None
        self._names = header_fields(source.header)
        self._header: LinearRegex | None = None
        self._headed = False
        if source.header.kind == "regex":
            pattern = source.header.pattern or ""
            head = head_pattern(pattern)
            self._headed = head is not None
            self._header = _compiled(head or f"(?s){pattern}")
        elif source.header.kind != "raw":
            raise ValueError(f"lines of kind {source.header.kind} are not taken apart by a regex")
        groups = {} if self._header is None else self._header.groups
        self._message = None if self._header is None else groups[HEAD if self._headed else "message"] - 1
        stamped = source.timestamp is not None and "timestamp" in groups
        self._stamp = groups["timestamp"] - 1 if stamped else None
        self._stamps = Stamps(source.timestamp) if stamped and source.timestamp is not None else None
        self._places = [groups[name] - 1 for name in self._names]
        self._masks = [
            (_compiled(mask.pattern), b"<%s>" % mask.name.encode(), "keep" in regex.groups(mask.pattern))
            for mask in source.masks
        ]
        self._sessions = _Sessions(source.session, self._names)

    @classmethod
    def of(cls, source: Source, max_ahead_s: float) -> Self | None:
        """None where the source's lines cannot be read here."""
        try:
            return cls(source, max_ahead_s)
        except ValueError:
            return None

    def read(self, lines: Sequence[str], arrival: float) -> Records | None:
        """n lines that came at ``arrival``, seconds; None where one is not plainly well formed."""
        messages: list[str] = []
        masked: list[str] = []
        times: list[float] = []
        fields: list[list[str | None]] = []
        record: list[int] = []
        session: list[str] = []
        try:
            for number, line in enumerate(lines):
                message, own, time, ids = self._read(line.rstrip("\r\n"), arrival)
                messages.append(message.decode())
                masked.append(self._masked(message))
                times.append(time)
                fields.append([None if value is None else value.decode() for value in own])
                record += [number] * len(ids)
                session += ids
        except (_Unlike, EmptyMatch):
            return None
        return Records(
            np.arange(len(lines)),
            pl.Series("message", messages, dtype=pl.String),
            pl.Series("masked", masked, dtype=pl.String),
            np.array(times, dtype=np.float64),
            _frame(self._names, fields, len(lines)),
            np.array(record, dtype=np.int64),
            pl.Series("session", session, dtype=pl.String),
            rejected=[],
        )

    def _read(self, line: str, arrival: float) -> tuple[bytes, list[bytes | None], float, list[str]]:
        """Message, fields, time in seconds and session ids of one line."""
        if len(line) > self._source.max_line_bytes or not linear.readable(line):
            raise _Unlike
        text = line.encode()
        if not (text.strip() if self._begins is None else self._begins.contains(text)):
            raise _Unlike
        message, own, time = text, [], arrival
        if self._header is not None and self._message is not None:
            groups = self._header.extract(text)
            if groups is None:
                raise _Unlike
            found = groups[self._message]
            if found is None:
                raise _Unlike
            message = text[len(found) :] if self._headed else found
            own = [groups[place] for place in self._places]
            if self._stamp is not None and self._stamps is not None:
                stamp = groups[self._stamp]
                if stamp is None:
                    raise _Unlike
                time = self._stamps.seconds(stamp.decode(), arrival)
        if not abs(time) < np.inf or time - arrival > self._max_ahead_s:
            raise _Unlike
        ids = self._sessions.ids(text, message, own, time)
        if not ids:
            raise _Unlike
        return message, own, time, ids

    def _masked(self, message: bytes) -> str:
        for mask, name, keeps in self._masks:
            message = mask.replace_all(message, name, mask.groups["keep"] if keeps else None)
        return b" ".join(message.split()).decode()


class _Sessions:
    """Session ids of one line."""

    def __init__(self, rule: SessionRule, names: Sequence[str]) -> None:
        self._rule = rule
        self._pattern = None if rule.pattern is None else _compiled(rule.pattern)
        self._grouped = rule.pattern is not None and bool(regex.groups(rule.pattern))
        self._places = [names.index(name) for name in rule.fields]
        if rule.window_s is not None and not float(rule.window_s).is_integer():
            raise ValueError("windows of parts of a second are named by polars")

    def ids(self, line: bytes, message: bytes, fields: Sequence[bytes | None], time: float) -> list[str]:
        """Nothing where the line has none."""
        rule = self._rule
        if self._pattern is not None:
            found = dict.fromkeys(self._pattern.find_all(line if rule.over == "line" else message))
            if self._grouped:
                parts = [self._pattern.extract(match) for match in found]
                found = dict.fromkeys(part[0] for part in parts if part is not None and part[0] is not None)
            return [name.decode() for name in found]
        if rule.fields:
            values = [fields[place] for place in self._places]
            if all(value is None for value in values):
                return []
            return ["/".join(ABSENT if value is None else value.decode() for value in values)]
        if rule.window_s is not None:
            return [str(int(np.floor(time / rule.window_s) * rule.window_s))]
        return ["all"]


def _compiled(pattern: str) -> LinearRegex:
    found = linear.compiled(pattern)
    if found is None:
        raise ValueError(f"{pattern!r} may mean something else to RE2")
    return found


def _frame(names: Sequence[str], rows: Sequence[Sequence[str | None]], height: int) -> pl.DataFrame:
    if not names:
        return pl.DataFrame(height=height)
    columns = zip(*rows, strict=True)
    return pl.DataFrame([pl.Series(name, own, dtype=pl.String) for name, own in zip(names, columns, strict=True)])
