"""Timestamps one by one are to the last bit what columns of them are."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.source import Timestamp, timestamp
from models.source.stamps import Stamps

FORMATS = [
    ("iso",),
    ("epoch",),
    ("%y%m%d %H%M%S",),
    ("%b %e %H:%M:%S",),
    ("%d %H:%M:%S",),
    ("%H:%M:%S %Y-%m-%d",),
    ("%Y-%m-%dT%H:%M:%S%z",),
    ("%Y-%m-%d %H:%M:%S%.f",),
    ("%Y-%m-%d %H:%M:%S%.3f",),
    ("%Y-%m-%d %H:%M:%S%.6f",),
    ("%Y-%m-%d %H:%M:%S", "iso"),
]
WRITTEN = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%y%m%d %H%M%S", "%b %e %H:%M:%S", "%H:%M:%S %Y-%m-%d", "%s"]
ENDS = ["", ".5", ".123", ".123456", ",250", ".123456789", "Z", "+02:00", ".250+0530", "x", "0", ":60", " "]


@settings(deadline=None, max_examples=400)
@given(
    formats=st.sampled_from(FORMATS), zone=st.sampled_from(["UTC", "Europe/Berlin", "+05:30", "Australia/Lord_Howe"]),
    moments=st.lists(st.tuples(st.integers(-(10**9), 4 * 10**9), st.sampled_from(WRITTEN), st.sampled_from(ENDS)),
                     min_size=1, max_size=5),
    near=st.booleans(), arrival=st.integers(0, 2 * 10**9),
)  # fmt: skip
def test_single_stamps_and_columns_are_the_same(
    formats: tuple[str, ...], zone: str, moments: list[tuple[int, str, str]], near: bool, arrival: int
) -> None:
    settings_ = Timestamp(
        formats, zone, None if any("%Y" in f or "%y" in f or f in ("iso", "epoch") for f in formats) else "arrival"
    )
    stamps = Stamps(settings_)
    texts = []
    for seconds, pattern, end in moments:
        at = arrival + seconds % 200_000 - 100_000 if near else seconds
        text = pl.Series([at * 1_000_000]).cast(pl.Datetime("us")).dt.strftime(pattern)[0]
        texts.append(text + end)
    came = float(arrival)
    expected = timestamp.parse(pl.Series(texts, dtype=pl.String), settings_, np.full(len(texts), came))
    for _ in range(2):  # the second time as remembered
        assert [stamps.seconds(text, came) for text in texts] == pytest.approx(
            expected.tolist(), abs=0, rel=0, nan_ok=True
        )


def test_a_year_is_told_by_the_arrival_each_time() -> None:
    settings_ = Timestamp(("%b %e %H:%M:%S",), "UTC", "arrival")
    stamps = Stamps(settings_)
    spring = 1_780_000_000.0
    for arrival in (spring, spring + 400 * 86_400, spring - 400 * 86_400, spring):
        column = timestamp.parse(pl.Series(["Jun  1 12:00:01"]), settings_, np.array([arrival]))
        assert stamps.seconds("Jun  1 12:00:01", arrival) == column[0]
