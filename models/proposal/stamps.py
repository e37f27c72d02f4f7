"""Timestamps that can be told by their look, and how a source is told to read them.

Owns the table. Does not know where in a line they stand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from models.source import timestamp
from models.source.config import Timestamp

_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_ZONED = re.compile(r"(?:Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)$")
READS = 0.95
"""Share of the stamps that a format must read."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One look of a timestamp: ``pattern`` and the formats that may read it, the first that does is taken.
    ``zoned``: the text, or what it counts from, says the zone."""

    pattern: str
    formats: tuple[str, ...]
    zoned: bool = False


STAMPS = (
    Stamp(
        rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}(?:[.,][0-9]{{1,9}})?"
        r"(?:Z\b| ?(?:UTC|GMT)\b| ?[+-][0-9]{2}(?::?[0-9]{2})?\b)?",
        ("iso",),
    ),
    Stamp(rf"[0-9]{{2}}/{_MONTH}/[0-9]{{4}}:{_CLOCK} [+-][0-9]{{4}}", ("%d/%b/%Y:%H:%M:%S %z",), zoned=True),
    Stamp(
        rf"{_DAY} {_MONTH} [ 0-9]?[0-9] {_CLOCK}(?:\.[0-9]{{1,9}})? [0-9]{{4}}",
        ("%a %b %d %H:%M:%S %Y", "%a %b %e %H:%M:%S %Y", "%a %b %d %H:%M:%S%.f %Y"),
    ),
    Stamp(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]{6}", ("%Y-%m-%d-%H.%M.%S%.f",)),
    Stamp(rf"[0-9]{{4}}/[0-9]{{2}}/[0-9]{{2}}[T ]{_CLOCK}(?:\.[0-9]{{1,9}})?", ("%Y/%m/%d %H:%M:%S%.f",)),
    Stamp(rf"[0-9]{{2}}\.[0-9]{{2}}\.[0-9]{{4}} {_CLOCK}(?:\.[0-9]{{1,9}})?", ("%d.%m.%Y %H:%M:%S%.f",)),
    # Which of the two is the month shows where one is above 12; where none is, the day comes first.
    Stamp(
        rf"[0-9]{{2}}/[0-9]{{2}}/[0-9]{{4}} {_CLOCK}(?:\.[0-9]{{1,9}})?",
        ("%d/%m/%Y %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S%.f"),
    ),
    Stamp(rf"[0-9]{{8}} {_CLOCK}(?:\.[0-9]{{1,9}})?", ("%Y%m%d %H:%M:%S%.f",)),
    Stamp(rf"{_MONTH} [ 0-9]?[0-9] {_CLOCK}", ("%b %e %H:%M:%S", "%b %d %H:%M:%S")),
    Stamp(rf"[0-9]{{4}} {_CLOCK}\.[0-9]{{6}}", ("%m%d %H:%M:%S%.f",)),
    Stamp(r"[0-9]{6} [0-9]{6}\b", ("%y%m%d %H%M%S",)),
    Stamp(r"1[0-9]{9}(?:\.[0-9]{1,9}|[0-9]{3}|[0-9]{6}|[0-9]{9})?\b", ("epoch",), zoned=True),
)
"""Tried in order: the ones that say most come first."""


@dataclass(frozen=True, slots=True)
class Read:
    """How timestamps read: the setting, and what was assumed because their text does not say it."""

    setting: Timestamp
    assumed: tuple[str, ...] = ()


def reading(texts: Sequence[str], stamp: Stamp, timezone: str | None, arrival: float) -> Read | None:
    """The format that reads ``texts``, None where none does. ``timezone``: the zone where the texts name none, None
    for UTC; ``arrival``: seconds since the epoch, dates a missing year."""
    column = pl.Series(texts, dtype=pl.String)
    if not len(column):
        return None
    for pattern in stamp.formats:
        yearless = not timestamp.has_year(pattern)
        setting = Timestamp((pattern,), timezone or "UTC", "arrival" if yearless else None)
        seconds = timestamp.parse(column, setting, np.full(len(column), arrival))
        if np.isfinite(seconds).mean() >= READS:
            assumed = []
            if yearless:
                assumed.append("the timestamp names no year: the latest year is taken that is not ahead of its arrival")
            if timezone is None and not stamp.zoned and not _zoned(texts):
                assumed.append("the timestamp names no time zone: UTC is assumed (--timezone says otherwise)")
            return Read(setting, tuple(assumed))
    return None


def stamp_of(texts: Sequence[str]) -> Stamp | None:
    """The look that whole texts have, None where they have none."""
    for stamp in STAMPS:
        whole = re.compile(stamp.pattern)
        if sum(whole.fullmatch(text) is not None for text in texts) >= READS * len(texts) > 0:
            return stamp
    return None


def _zoned(texts: Sequence[str]) -> bool:
    return sum(_ZONED.search(text) is not None for text in texts) >= READS * len(texts)
