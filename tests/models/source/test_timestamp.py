"""Timestamps: formats, zones, and the year that is not there."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.source import Timestamp
from models.source.timestamp import parse


def seconds(text: str | None, *formats: str, arrival: float = 0.0, **settings: object) -> float:
    column = pl.Series([text], dtype=pl.String)
    return float(parse(column, Timestamp(formats, **settings), np.array([arrival]))[0])  # type: ignore[arg-type]


def utc(*parts: int) -> float:
    return dt.datetime(*parts, tzinfo=dt.UTC).timestamp()  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01T12:00:00Z", utc(2024, 5, 1, 12)),
        ("2024-05-01T12:00:00.250Z", utc(2024, 5, 1, 12) + 0.25),
        ("2024-05-01 12:00:00,250", utc(2024, 5, 1, 12) + 0.25),
        ("2024-05-01T12:00:00+02:00", utc(2024, 5, 1, 10)),
        ("2024-05-01T12:00:00-0530", utc(2024, 5, 1, 17, 30)),
        ("2024-05-01 12:00:00 UTC", utc(2024, 5, 1, 12)),
    ],
)
def test_iso_in_its_usual_spellings(text: str, expected: float) -> None:
    assert seconds(text, "iso") == pytest.approx(expected, abs=1e-6)


def test_zone_setting_holds_for_naive_stamps_only() -> None:
    berlin = {"timezone": "Europe/Berlin"}
    assert seconds("2024-07-01T12:00:00", "iso", **berlin) == utc(2024, 7, 1, 10)
    assert seconds("2024-07-01T12:00:00Z", "iso", **berlin) == utc(2024, 7, 1, 12)
    assert seconds("2024-01-01 12:00:00", "%Y-%m-%d %H:%M:%S", **berlin) == utc(2024, 1, 1, 11)
    assert seconds("2024-01-01 12:00:00", "%Y-%m-%d %H:%M:%S", timezone="-05:30") == utc(2024, 1, 1, 17, 30)
    assert seconds("01/Jan/2024:12:00:00 +0200", "%d/%b/%Y:%H:%M:%S %z", **berlin) == utc(2024, 1, 1, 10)


def test_stamp_in_the_hour_that_spring_skips_is_still_a_time() -> None:
    text = "2024-03-31 02:30:00"
    assert seconds(text, "%Y-%m-%d %H:%M:%S", timezone="Europe/Berlin") == utc(2024, 3, 31, 1, 30)


def test_epochs_by_unit_and_by_magnitude() -> None:
    assert seconds("1700000000", "epoch_s") == 1_700_000_000
    assert seconds("1700000000.5", "epoch_s") == 1_700_000_000.5
    assert seconds("1700000000500", "epoch_ms") == 1_700_000_000.5
    for text in ("1700000000", "1700000000000", "1700000000000000", "1700000000000000000"):
        assert seconds(text, "epoch") == 1_700_000_000
    for text in ("inf", "nan", "-5", "1e300", "soon", ""):
        assert math.isnan(seconds(text, "epoch_s"))


def test_formats_are_tried_in_order_and_absent_stamps_take_the_arrival() -> None:
    column = pl.Series(["2024-05-01T00:00:00Z", "1714521600", None, "noon"])
    found = parse(column, Timestamp(("iso", "epoch_s")), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found[:3].tolist() == [utc(2024, 5, 1), utc(2024, 5, 1), 3.0]
    assert math.isnan(found[3])


@pytest.mark.parametrize(
    ("text", "arrival", "expected"),
    [
        ("Dec 31 23:59:59", utc(2024, 1, 1, 0, 0, 5), utc(2023, 12, 31, 23, 59, 59)),
        ("Jan  1 00:00:01", utc(2023, 12, 31, 23, 59), utc(2024, 1, 1, 0, 0, 1)),
        ("Jun 14 15:16:01", utc(2024, 6, 14, 15, 16, 3), utc(2024, 6, 14, 15, 16, 1)),
        ("Jun 16 15:16:01", utc(2024, 6, 14), utc(2023, 6, 16, 15, 16, 1)),
        ("Feb 29 01:00:00", utc(2027, 3, 1), utc(2024, 2, 29, 1)),
    ],
)
def test_missing_year_is_the_latest_that_is_no_day_after_arrival(text: str, arrival: float, expected: float) -> None:
    assert seconds(text, "%b %e %H:%M:%S", arrival=arrival, year="arrival") == expected


def test_missing_year_of_lines_that_arrived_in_different_years() -> None:
    column = pl.Series(["Mar  1 00:00:00", "Mar  1 00:00:00", "Foo 1"])
    arrival = np.array([utc(2020, 4, 1), utc(2024, 4, 1), utc(2024, 4, 1)])
    found = parse(column, Timestamp(("%b %e %H:%M:%S",), year="arrival"), arrival)
    assert found[:2].tolist() == [utc(2020, 3, 1), utc(2024, 3, 1)]
    assert math.isnan(found[2])


def test_fixed_year_stands_whatever_the_arrival() -> None:
    assert seconds("Jun 14 15:16:01", "%b %e %H:%M:%S", arrival=utc(2024, 1, 1), year=2005) == utc(
        2005, 6, 14, 15, 16, 1
    )


@settings(deadline=None)  # machines under load
@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2200, 1, 1)))
def test_iso_agrees_with_python(moment: dt.datetime) -> None:
    assert seconds(moment.isoformat(), "iso") == pytest.approx(moment.replace(tzinfo=dt.UTC).timestamp(), abs=1e-5)
