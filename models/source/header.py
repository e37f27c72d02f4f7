"""Headers as columns: lines to message, timestamp text and fields.

Owns: the four kinds of header (regex, JSON, logfmt, raw). Does not know what the timestamp's text means, nor how
records of several lines are joined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import polars as pl

from models.source import regex
from models.source.config import Header, header_fields

_LOGFMT_PAIR = r'[^\s="]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*)'
_LOGFMT_PARTS = r'(?s)^(?P<key>[^=]+)=(?:"(?P<quoted>.*)"|(?P<bare>.*))$'
_MESSAGE_TAILS = ("(?P<message>.*)$", "(?<message>.*)$", "(?P<message>.*)", "(?<message>.*)")
HEAD = "_head"
"""Group of what stands before the message, in the pattern that ``head_pattern`` makes."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Lines taken apart, n rows each.

    ``message`` String [n], null where the line does not have the format; ``timestamp`` String [n] or None where the
    format has none; ``fields`` n rows of String columns; ``errors`` says more of a null message, by row.
    """

    message: pl.Series
    timestamp: pl.Series | None
    fields: pl.DataFrame
    errors: Mapping[int, str] = field(default_factory=dict)


class HeaderParser:
    """Takes lines apart by one header; holds no state besides its settings."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._names = header_fields(header)
        self._whole = f"(?s){header.pattern}"
        self._head = head_pattern(header.pattern) if header.pattern is not None else None

    def parse(self, lines: pl.Series) -> Parsed:
        """Take String [n] apart; never raises for what a line holds."""
        kind = self._header.kind
        if kind == "regex":
            return self._by_regex(lines)
        if kind == "json":
            return self._by_json(lines)
        if kind == "logfmt":
            return self._by_logfmt(lines)
        return Parsed(lines, None, pl.DataFrame(height=len(lines)))

    def _by_regex(self, lines: pl.Series) -> Parsed:
        groups = pl.col("line").str.extract_groups(self._head or self._whole)
        parts = lines.alias("line").to_frame().select(groups.alias("groups")).unnest("groups")
        message = parts["message"] if self._head is None else lines.str.strip_prefix(parts[HEAD])
        timestamp = parts["timestamp"] if "timestamp" in parts.columns else None
        return Parsed(message, timestamp, _frame({name: parts[name] for name in self._names}, len(lines)))

    def _by_json(self, lines: pl.Series) -> Parsed:
        header = self._header
        message: list[str | None] = []
        timestamp: list[str | None] = []
        fields: list[list[str | None]] = [[] for _ in self._names]
        errors: dict[int, str] = {}
        for row, line in enumerate(lines.to_list()):
            entry: object = None
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                errors[row] = f"not JSON: {error}"
            else:
                if not isinstance(entry, dict):
                    errors[row] = f"JSON, but no object: {regex.shown(line)}"
            found = _first(entry, header.message)
            if found is None and row not in errors:
                errors[row] = f"no message: none of the keys {', '.join(header.message)} is there: {regex.shown(line)}"
            message.append(found)
            timestamp.append(_first(entry, header.timestamp))
            for column, name in zip(fields, self._names, strict=True):
                column.append(_first(entry, (name,)))
        return Parsed(
            pl.Series(message, dtype=pl.String),
            pl.Series(timestamp, dtype=pl.String) if header.timestamp else None,
            _frame(
                {name: pl.Series(column, dtype=pl.String) for name, column in zip(self._names, fields, strict=True)},
                len(lines),
            ),
            errors,
        )

    def _by_logfmt(self, lines: pl.Series) -> Parsed:
        header = self._header
        pairs = lines.str.extract_all(_LOGFMT_PAIR)
        parts = (
            pl.DataFrame({"row": pl.int_range(len(lines), eager=True), "pair": pairs})
            .explode("pair", empty_as_null=True)
            .drop_nulls()
            .select("row", pl.col("pair").str.extract_groups(_LOGFMT_PARTS))
            .unnest("pair")
            .with_columns(value=pl.coalesce(pl.col("quoted").str.replace_all(r'\\(["\\])', "${1}"), "bare"))
        )
        columns: dict[str, pl.Series] = {}
        for key in {*header.message, *header.timestamp, *self._names}:
            own = parts.filter(pl.col("key") == key).unique("row", keep="first", maintain_order=True)
            column = pl.Series([None], dtype=pl.String).new_from_index(0, len(lines))
            columns[key] = column.scatter(own["row"], own["value"])
        # Without a message key the pairs themselves are what the line says (as routers and proxies write it).
        has_pairs = pl.Series(pairs.list.len() > 0)
        whole = lines.zip_with(has_pairs, pl.Series([None], dtype=pl.String).new_from_index(0, len(lines)))
        message = _coalesced([*(columns[key] for key in header.message), whole])
        timestamp = _coalesced([columns[key] for key in header.timestamp]) if header.timestamp else None
        return Parsed(message, timestamp, _frame({name: columns[name] for name in self._names}, len(lines)))


def head_pattern(pattern: str) -> str | None:
    """The pattern without its message, where the message is all that is left of the line; None where it is not.

    ``^head(?P<message>.*)$`` then means the same as ``^(?P<_head>head)`` with the message being what follows the head,
    at a third of the cost: the engine need not walk through the message.
    """
    for tail in _MESSAGE_TAILS:
        if not pattern.endswith(tail):
            continue
        head = pattern.removesuffix(tail)
        if not head.startswith("^") or HEAD in head or not _is_plain(head[1:]):
            return None
        return f"(?s)^(?P<{HEAD}>{head[1:]})"
    return None


def _is_plain(pattern: str) -> bool:
    """Whether the pattern means the same inside a group: no open end, no alternatives outside a group, no flags."""
    depth = brackets = position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            position += 1
            if position == len(pattern):
                return False
        elif char == "[":
            brackets += 1
        elif char == "]" and brackets:
            brackets -= 1
        elif not brackets:
            if char == "(":
                if pattern.startswith("(?", position) and not pattern.startswith(("(?P<", "(?<", "(?:"), position):
                    return False
                depth += 1
            elif char == ")":
                depth -= 1
            elif char == "|" and depth == 0:
                return False
        position += 1
    return depth == 0 and brackets == 0


def _first(entry: object, keys: Sequence[str]) -> str | None:
    """The first of the keys that the JSON object has, as text."""
    for key in keys:
        value = _at(entry, key)
        if value is not None:
            return value if isinstance(value, str) else orjson.dumps(value).decode()
    return None


def _at(entry: object, key: str) -> object:
    """The value at a key, or at a path of keys joined by dots; None where there is none."""
    if not isinstance(entry, dict):
        return None
    if key in entry or "." not in key:
        return entry.get(key)
    value: object = entry
    for step in key.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _coalesced(columns: Sequence[pl.Series]) -> pl.Series:
    first, *rest = columns
    for column in rest:
        first = first.zip_with(first.is_not_null(), column)
    return first


def _frame(columns: Mapping[str, pl.Series], height: int) -> pl.DataFrame:
    return pl.DataFrame(dict(columns)) if columns else pl.DataFrame(height=height)
