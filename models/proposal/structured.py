"""JSON lines and logfmt: which keys are time, message and level, and which others are worth keeping.

Owns names that such keys usually have, and how they are told where they have others. Does not know which of them makes
a session.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from models.proposal.layout import LEVELS
from models.proposal.stamps import Read, Stamp, reading, stamp_of
from models.source.config import Header, HeaderKind

FITS = 0.9
"""Share of the lines that must be JSON objects, or pairs."""
HELD = 0.5
"""Share of the lines that must have a key for it to be the time or the message."""
MOST_KEYS = 40
"""Keys that are looked at, the most frequent."""
LONGEST = 200
"""Characters of a value that are kept; a field is a name, not a text."""
DEEPEST = 3

_TIME = (
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "t",
    "date",
    "datetime",
    "eventtime",
    "asctime",
    "__realtime_timestamp",
)
_MESSAGE = ("message", "msg", "@message", "log", "event", "text", "body", "short_message")
_LEVEL = ("level", "severity", "lvl", "levelname", "loglevel", "log.level", "level_name", "priority", "severity_text")
_KEPT = re.compile(r"(?:^|[._])(?:logger|service|host|hostname|component|module|app|name|caller|pod|namespace)$")
_PAIR = re.compile(r'([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))')


@dataclass(frozen=True, slots=True)
class Structured:
    """What structured lines hold. ``keys``: keys that may be kept or name a session, the most frequent first;
    ``kept``: those of them that are worth keeping whatever makes a session."""

    kind: HeaderKind
    message: tuple[str, ...]
    timestamp: str | None
    stamp: Read | None
    keys: tuple[str, ...]
    kept: tuple[str, ...]

    def header(self, fields: Sequence[str]) -> Header:
        """As a source has it, with the keys ``fields``."""
        stamps = () if self.timestamp is None else (self.timestamp,)
        return Header(self.kind, message=self.message, timestamp=stamps, fields=tuple(fields))


def find_structure(lines: Sequence[str], timezone: str | None, arrival: float) -> Structured | None:
    """What ``lines`` hold; None where they are neither JSON objects nor pairs key=value."""
    for kind, read in (("json", _json), ("logfmt", _logfmt)):
        entries = [entry for line in lines if (entry := read(line)) is not None]
        if entries and len(entries) >= FITS * len(lines):
            found = _structure("json" if kind == "json" else "logfmt", entries, timezone, arrival)
            if found is not None:
                return found
    return None


def _structure(
    kind: HeaderKind, entries: Sequence[Mapping[str, str]], timezone: str | None, arrival: float
) -> Structured | None:
    values: dict[str, list[str]] = {}
    for entry in entries:
        for key, value in entry.items():
            values.setdefault(key, []).append(value)
    keys = sorted(values, key=lambda key: -len(values[key]))[:MOST_KEYS]
    time, read = _time(keys, values, len(entries), timezone, arrival)
    message = _message([key for key in keys if key != time], values, len(entries))
    if message is None and kind == "json":
        return None
    level = next((key for key in _named(keys, _LEVEL) if _levels(values[key])), None)
    level = level or next((key for key in keys if _levels(values[key])), None)
    others = tuple(key for key in keys if key not in (time, message))
    kept = tuple(key for key in others if key == level or _KEPT.search(key.lower()))
    # A line without a message key is its own message, for logfmt; naming one that no line has would change nothing.
    return Structured(kind, (message,) if message is not None else ("msg",), time, read, others, kept)


def _time(
    keys: Sequence[str], values: Mapping[str, list[str]], size: int, timezone: str | None, arrival: float
) -> tuple[str | None, Read | None]:
    named = _named(keys, _TIME)
    for key in [*named, *(key for key in keys if key not in named)]:
        stamp = stamp_of(values[key]) if len(values[key]) >= HELD * size else None
        read = None if stamp is None or (_is_number(stamp) and key not in named) else reading(
            values[key], stamp, timezone, arrival
        )  # fmt: skip
        if read is not None:
            return key, read
    return None, None


def _is_number(stamp: Stamp) -> bool:
    """Whether the stamp could be any number: only a name then tells that it is a time."""
    return stamp.formats[0] in ("epoch", "%y%m%d %H%M%S")


def _message(keys: Sequence[str], values: Mapping[str, list[str]], size: int) -> str | None:
    """The key of a usual name, else the one with the longest texts of several words."""
    held = [key for key in keys if len(values[key]) >= HELD * size]
    named = _named(held, _MESSAGE)
    if named:
        return named[0]
    worded = [key for key in held if sum(" " in value for value in values[key]) >= HELD * len(values[key])]
    return max(worded, key=lambda key: sum(map(len, values[key])) / len(values[key]), default=None)


def _levels(values: Sequence[str]) -> bool:
    return sum(value.lower() in LEVELS for value in values) >= FITS * len(values)


def _named(keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """Keys of those names, in the order of the names; the case does not count."""
    by_name = {key.lower(): key for key in reversed(keys)}
    return [by_name[name] for name in names if name in by_name]


def _json(line: str) -> dict[str, str] | None:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(entry, dict):
        return None
    flat: dict[str, str] = {}
    _flatten(entry, "", flat, 0)
    return flat


def _flatten(entry: Mapping[str, object], prefix: str, flat: dict[str, str], depth: int) -> None:
    for key, value in entry.items():
        name = prefix + key
        if not key or len(name) > LONGEST:
            continue
        if isinstance(value, dict):
            if depth < DEEPEST:
                _flatten(value, f"{name}.", flat, depth + 1)
        elif isinstance(value, str):
            flat[name] = value[:LONGEST]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[name] = orjson.dumps(value).decode()


def _logfmt(line: str) -> dict[str, str] | None:
    """The pairs of a line that holds hardly anything else."""
    pairs = list(_PAIR.finditer(line[: 16 * LONGEST]))
    inside = sum(pair.end() - pair.start() for pair in pairs) + len(pairs)
    if len(pairs) < 2 or inside < FITS * min(len(line), 16 * LONGEST):
        return None
    return {pair[1]: (pair[2] if pair[2] is not None else pair[3])[:LONGEST] for pair in pairs}
