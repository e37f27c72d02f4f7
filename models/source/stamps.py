"""Timestamps one by one: those of lines that follow each other are mostly alike, up to parts of a second.

Owns what is remembered. ``models.source.timestamp`` owns what a text means, and is asked whenever it is not remembered.
Safe to share between threads: at worst two of them ask for the same text.
"""

import math
import re

import numpy as np
import polars as pl

from models.source import timestamp
from models.source.config import Timestamp

_KEPT = 4_096
_DAY_S = 86_400.0
_YEAR_S = 363 * _DAY_S
"""Less than any year, by more than any zone's clock is ever moved."""
_FRACTIONS = {"": 0, "%.3f": 3, "%.6f": 6}
_ISO = re.compile(r"(?P<minute>.*:)(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]{1,9}))?(?P<zone>[^0-9.,:].*)?")
# Seconds in this range are multiples of one power of two, and stay so when whole numbers are added: nothing is rounded.
_EXACT_FROM, _EXACT_TO = 1.1e9, 2.1e9


class Stamps:
    """Reads single timestamps as ``timestamp.parse`` reads columns, to the last bit.

    Only minutes are asked for, where the format ends in seconds: zones are moved, and skip, by whole minutes.
    """

    def __init__(self, settings: Timestamp) -> None:
        self._settings = settings
        fixed = isinstance(settings.year, int)
        formats = settings.formats
        self._timeless = all(fixed or timestamp.has_year(pattern) for pattern in formats)
        """Whether a text means the same whenever it comes."""
        self._yearly = len(formats) == 1 and not self._timeless
        """Whether it means the latest year up to its arrival."""
        alone = formats[0] if len(formats) == 1 else ""
        self._iso = alone == "iso"
        digits = next((count for end, count in _FRACTIONS.items() if alone.endswith("%S" + end)), None)
        self._minute: re.Pattern[str] | None = None
        if digits is not None:
            self._minute = re.compile(r"(.*)([0-5][0-9])" + (rf"\.([0-9]{{{digits}}})" if digits else "()"))
        self._tail = "00." + "0" * digits if digits else "00"
        self._scale = int(10 ** (6 - (digits or 0)))
        self._known: dict[str, float] = {}

    def seconds(self, text: str, arrival: float) -> float:
        """Seconds since the epoch; NaN where the text has none of the formats. ``arrival`` (seconds) dates a missing
        year."""
        found = math.nan
        if self._iso:
            found = self._by_minute_of_iso(text, arrival)
        elif self._minute is not None:
            found = self._by_minute(self._minute, text, arrival)
        dated = _EXACT_FROM < found < _EXACT_TO and (self._timeless or found - _DAY_S <= arrival)
        return found if dated else self._whole(text, arrival)

    def _by_minute(self, minute: re.Pattern[str], text: str, arrival: float) -> float:
        parts = minute.fullmatch(text)
        if parts is None:
            return math.nan
        begin = self._whole(parts[1] + self._tail, arrival)
        if not math.isfinite(begin):
            return math.nan
        # As in a column: microseconds as a whole number, divided once.
        microseconds: int = round(begin * 1e6) + int(parts[2]) * 1_000_000 + int(parts[3] or 0) * self._scale
        return microseconds / 1e6

    def _by_minute_of_iso(self, text: str, arrival: float) -> float:
        parts = _ISO.fullmatch(text)
        if parts is None:
            return math.nan
        begin = self._whole(f"{parts['minute']}00{parts['zone'] or ''}", arrival)
        return begin + int(parts["second"]) + float("0." + (parts["fraction"] or "0"))

    def _whole(self, text: str, arrival: float) -> float:
        known = self._known.get(text)
        if known is not None and (self._timeless or known - _DAY_S <= arrival < known + _YEAR_S - _DAY_S):
            return known
        column = pl.Series([text], dtype=pl.String)
        found = float(timestamp.parse(column, self._settings, np.array([arrival]))[0])
        if (self._timeless or self._yearly) and math.isfinite(found):
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[text] = found
        return found
