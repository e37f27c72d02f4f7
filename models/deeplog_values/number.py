"""What a parameter of a log line says as a number.

Owns which spellings are numbers and the units that they are brought to. Strict: whatever is no plain number is NaN, as
a wrong number is worse than none.

Numbers: decimal, with an optional sign, fraction and exponent of up to three digits; with a unit of time (``12.5ms``,
``1m30s``), brought to seconds; with a unit of size (``4kB``, ``1.5GiB``), brought to bytes, 1,024 to the kilobyte;
with ``%``; clocks of ``hours:minutes:seconds``, brought to seconds. One comma or semicolon may follow. Not numbers:
hexadecimal (an address, its size means nothing), digits in groups (``1,234`` is read in two ways), dotted versions, NaN
and infinity.
"""

import math
import re

LARGEST = 1e15
"""Numbers beyond it, either way, are taken for it: float64 counts whole numbers that far."""
LONGEST = 40
"""Characters of a number; a longer run of digits is an identifier."""
MISSING = frozenset(
    {"", "-", "--", "?", "null", "NULL", "(null)", "none", "None", "nil", "<nil>", "n/a", "N/A", "undefined"}
)
"""What programs write in place of a number that they do not have."""

_DECIMAL = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_PLAIN = re.compile(_DECIMAL)
_SCALED = re.compile(f"({_DECIMAL})([A-Za-zµμ%]{{1,3}})")
_CLOCK = re.compile(r"([0-9]{1,9}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]{1,9})?)")
_LAPSES = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[a-zµμ]{1,2})+")
_LAPSE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zµμ]{1,2})")

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1.0, "k": 2.0**10, "kB": 2.0**10, "K": 2.0**10, "KB": 2.0**10, "KiB": 2.0**10, "M": 2.0**20, "MB": 2.0**20,
    "MiB": 2.0**20, "G": 2.0**30, "GB": 2.0**30, "GiB": 2.0**30, "T": 2.0**40, "TB": 2.0**40, "TiB": 2.0**40,
}  # fmt: skip
_UNITS = {**_SECONDS, **_BYTES, "%": 1.0}


def number(text: str) -> float:
    """The number that ``text`` is, within ``-LARGEST..LARGEST``; NaN where it is none."""
    if len(text) > LONGEST:
        return math.nan
    if text[-1:] in (",", ";"):
        text = text[:-1]
    if _PLAIN.fullmatch(text):
        return _bounded(float(text))
    scaled = _SCALED.fullmatch(text)
    if scaled is not None and scaled[2] in _UNITS:
        return _bounded(float(scaled[1]) * _UNITS[scaled[2]])
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        return 3600.0 * int(clock[1]) + 60.0 * int(clock[2]) + float(clock[3])
    if _LAPSES.fullmatch(text):
        parts = _LAPSE.findall(text)
        if all(unit in _SECONDS for _, unit in parts):
            return _bounded(sum(float(count) * _SECONDS[unit] for count, unit in parts))
    return math.nan


def _bounded(value: float) -> float:
    return max(-LARGEST, min(LARGEST, value))
