"""What counts as a number in a log line."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.deeplog_values.number import LARGEST, number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0), ("-3.5", -3.5), ("+4", 4.0), (".5", 0.5), ("7.", 7.0), ("1e3", 1000.0), ("2.5E-2", 0.025),
        ("12.5ms", 0.0125), ("300us", 3e-4), ("2s", 2.0), ("3min", 180.0), ("1m30s", 90.0), ("1h2m3.5s", 3723.5),
        ("4kB", 4096.0), ("1.5GiB", 1.5 * 2**30), ("17B", 17.0), ("93%", 93.0), ("0:00:00.379", 0.379),
        ("26:03:04", 93784.0), ("12,", 12.0), ("12;", 12.0),
    ],
)  # fmt: skip
def test_numbers_with_their_units(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "null", "nan", "inf", "-Infinity", "0x1f", "1,234", "1.2.3", "1_000", "12 ms", "12parsecs", "e5", "1e",
        "--1", "٣", "12:99:00", "1m30x", "9" * 41, "abc",
    ],
)  # fmt: skip
def test_whatever_is_no_plain_number_is_nan(text: str) -> None:
    assert math.isnan(number(text))


def test_huge_numbers_are_bounded() -> None:
    assert number("1e999") == LARGEST
    assert number("-1e300") == -LARGEST
    assert number("9" * 40) == LARGEST


@given(st.text(max_size=60))
def test_any_text_is_nan_or_a_bounded_number(text: str) -> None:
    value = number(text)
    assert math.isnan(value) or abs(value) <= LARGEST


@given(st.floats(min_value=-1e14, max_value=1e14, allow_nan=False))
def test_what_python_writes_is_read_back(value: float) -> None:
    assert number(repr(value)) == value
