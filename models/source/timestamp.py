"""Timestamps as columns: text to seconds since the epoch.

Owns: the formats a timestamp may have, time zones, and the year that a format lacks. Does not know where in a line the
timestamp stands.
"""

import datetime as dt
import re
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import ConfigError

if TYPE_CHECKING:
    from models.source.config import Timestamp

_DAY_S = 86_400.0
_LATEST_S = 253_402_300_800.0  # the year 10000: what lies past it is no time but a number
_EPOCH_UNITS = {"epoch_s": 1.0, "epoch_ms": 1e3}
_NAMED = ("iso", "epoch", *_EPOCH_UNITS)
_YEAR = re.compile(r"%[-_0]?[YyFDGgscx+C]")
_ZONE = re.compile(r"%(?:[:#]*z|\+|s)")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_ISO = (
    r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r" ?(?:Z|z|UTC|GMT|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?|(?P<naive>))$"
)
# Eight years reach past the longest distance between two 29ths of February.
_YEARS_BACK = 8

Float64 = NDArray[np.float64]
_Column = TypeVar("_Column", pl.Series, pl.Expr)


def has_year(pattern: str) -> bool:
    """Whether the format says the year."""
    return pattern in _NAMED or _YEAR.search(pattern) is not None


def check_format(pattern: str, setting: str) -> None:
    """Refuse a format that cannot read back what it writes.

    Raises:
        ConfigError: with the setting's name and what to write instead.
    """
    if pattern in _NAMED:
        return
    if "%" not in pattern:
        raise ConfigError(f"{setting} {pattern!r} is neither a strptime pattern nor one of {', '.join(_NAMED)}")
    if "%f" in pattern:
        raise ConfigError(f"{setting} {pattern!r}: write %.f for '.123', %3f for '123', %6f for '123456'")
    moment = pl.Series([dt.datetime(2024, 2, 3, 4, 5, 6, 7000)], dtype=pl.Datetime("us", "UTC"))
    try:
        back = _strptime(moment.dt.strftime(pattern), pattern, 2024)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ConfigError(f"{setting} {pattern!r} is no strptime pattern: {error}") from None
    if not np.array_equal(_physical(back) // 60, _physical(moment) // 60):
        raise ConfigError(
            f"{setting} {pattern!r} does not read back the day, hour and minute that it writes; the patterns are "
            "chrono's: https://docs.rs/chrono/latest/chrono/format/strftime"
        )


def check_timezone(name: str, setting: str) -> str:
    """The name, once it is known to be a time zone or an offset.

    Raises:
        ConfigError: it is neither.
    """
    if _OFFSET.fullmatch(name) is None:
        try:
            pl.Series([dt.datetime(2024, 1, 1)]).dt.replace_time_zone(name)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise ConfigError(
                f"{setting} {name!r} is no time zone: write an IANA name such as Europe/Berlin or an offset, +02:00"
            ) from None
    return name


def parse(column: pl.Series, settings: "Timestamp", arrival: Float64) -> Float64:
    """Seconds since the epoch.

    Args:
        column: String [n], null where there is no timestamp.
        arrival: float64 [n], seconds since the epoch: the time that stands in for a null, and dates a missing year.

    Returns:
        float64 [n], NaN where the text has none of the formats.
    """
    seconds = _first_that_reads(column, settings, arrival)
    return np.where(column.is_null().to_numpy(), arrival, seconds) if column.null_count() else seconds


def _first_that_reads(column: pl.Series, settings: "Timestamp", arrival: Float64) -> Float64:
    seconds = _read(column, settings.formats[0], settings, arrival)
    for pattern in settings.formats[1:]:
        unread = np.flatnonzero(np.isnan(seconds))
        if not len(unread):
            break
        seconds[unread] = _read(column.gather(unread), pattern, settings, arrival[unread])
    return seconds


def _read(column: pl.Series, pattern: str, settings: "Timestamp", arrival: Float64) -> Float64:
    if pattern == "iso":
        return _iso(column, settings.timezone)
    if pattern in _NAMED:
        return _epoch(column, pattern)
    if has_year(pattern) or isinstance(settings.year, int):
        year = settings.year if isinstance(settings.year, int) else None
        return epoch_seconds(_strptime(column, pattern, year), settings.timezone)
    return _nearest_year(column, pattern, settings.timezone, arrival)


def moment(column: pl.Expr, settings: "Timestamp") -> pl.Expr | None:
    """Datetime of a String column by the first of the formats, null where it does not read; None where that format says
    no year, or has a name."""
    pattern = settings.formats[0]
    if pattern in _NAMED or not (has_year(pattern) or isinstance(settings.year, int)):
        return None
    return _strptime(column, pattern, settings.year if isinstance(settings.year, int) else None)


def is_universal(settings: "Timestamp") -> bool:
    """Whether the first format's times are UTC as they stand: it says a zone, or naive ones are UTC's."""
    return settings.timezone == "UTC" or _ZONE.search(settings.formats[0]) is not None


def _strptime(column: _Column, pattern: str, year: int | None) -> _Column:
    """Datetime [n], null where it does not read; the year goes in front where the pattern has none."""
    if year is not None and not has_year(pattern):
        text = f"{year:04d} "
        column, pattern = (text + column if isinstance(column, pl.Series) else pl.lit(text) + column), "%Y " + pattern
    zone = "UTC" if _ZONE.search(pattern) else None
    return column.str.to_datetime(pattern, time_unit="us", time_zone=zone, strict=False)


def _nearest_year(column: pl.Series, pattern: str, timezone: str, arrival: Float64) -> Float64:
    """The latest year that puts the stamp at most a day after its arrival."""
    seconds = np.full(len(column), np.nan)
    latest = arrival + _DAY_S
    years = np.full(len(column), 1970)
    finite = np.isfinite(latest) & (np.abs(latest) < _LATEST_S)
    years[finite] = 1970 + latest[finite].astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64)
    open_rows = np.arange(len(column))
    for back in range(_YEARS_BACK + 1):
        for year in np.unique(years[open_rows]).tolist():
            rows = open_rows[years[open_rows] == year]
            found = epoch_seconds(_strptime(column.gather(rows), pattern, year - back), timezone)
            found[found > latest[rows]] = np.nan
            seconds[rows] = found
        open_rows = open_rows[np.isnan(seconds[open_rows])]
        if back == 0 and len(open_rows):
            # A text that does not read in a leap year reads in none.
            open_rows = open_rows[_strptime(column.gather(open_rows), pattern, 2024).is_not_null().to_numpy()]
        if not len(open_rows):
            break
    return seconds


def epoch_seconds(moments: pl.Series, timezone: str) -> Float64:
    """Datetime [n], naive ones in ``timezone``, to float64 [n] seconds; NaN for null."""
    if moments.dtype.time_zone is not None:  # type: ignore[attr-defined]
        return _physical(moments)
    offset = _OFFSET.fullmatch(timezone)
    if offset is not None:
        sign, hours, minutes = offset.groups()
        return _physical(moments) - float(f"{sign}1") * (int(hours) * 3600 + int(minutes) * 60)
    if timezone == "UTC":
        return _physical(moments)
    placed = _place(moments, timezone)
    skipped = placed.is_null() & moments.is_not_null()
    if skipped.any():
        # A stamp from the hour that the clock skips in spring: the machine had not changed its clock yet.
        hour = dt.timedelta(hours=1)
        placed = placed.zip_with(~skipped, _place(moments - hour, timezone) + hour)
    return _physical(placed)


def _place(moments: pl.Series, timezone: str) -> pl.Series:
    return moments.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")


def _physical(moments: pl.Series) -> Float64:
    return _numpy(moments.to_physical()) / 1e6


def _iso(column: pl.Series, timezone: str) -> Float64:
    parts = column.str.extract_groups(_ISO).struct.unnest()
    moments = (parts["day"] + " " + parts["clock"]).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    fraction = _numpy(("0." + parts["fraction"]).cast(pl.Float64).fill_null(0.0))
    hours = _numpy(parts["hours"].cast(pl.Float64).fill_null(0.0))
    minutes = _numpy(parts["minutes"].cast(pl.Float64).fill_null(0.0))
    sign = np.where((parts["sign"] == "-").fill_null(False).to_numpy(), -1.0, 1.0)
    seconds = _physical(moments)
    naive = parts["naive"].is_not_null().to_numpy()
    if naive.any() and timezone != "UTC":
        seconds[naive] = epoch_seconds(moments.filter(naive), timezone)
    return np.asarray(seconds + fraction - sign * (hours * 3600 + minutes * 60), dtype=np.float64)


def _epoch(column: pl.Series, unit: str) -> Float64:
    value = _numpy(column.str.strip_chars().cast(pl.Float64, strict=False))
    if unit == "epoch":
        # Seconds have ten digits from 2001 to 2286; each finer unit has three more.
        size = np.abs(value)
        seconds = value / np.select([size < 1e11, size < 1e14, size < 1e17], [1.0, 1e3, 1e6], 1e9)
    else:
        seconds = value / _EPOCH_UNITS[unit]
    return np.where((seconds >= 0) & (seconds < _LATEST_S), seconds, np.nan)


def _numpy(column: pl.Series) -> Float64:
    """Numbers to float64 that may be written to; NaN for null."""
    return np.array(column.to_numpy(), dtype=np.float64)
