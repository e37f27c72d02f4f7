"""PSI is the published formula, finite for empty bins, and zero only where nothing has moved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift.stability import SMALLEST, psi
from models.errors import DataError

COUNTS = st.integers(1, 12).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.integers(0, 10**6), min_size=size, max_size=size).filter(lambda counts: sum(counts) > 0)] * 2
    )
)


def test_two_bins_by_hand() -> None:
    # (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln(2/3) = 0.25 (ln 2 + ln 1.5) = 0.25 ln 3
    assert psi([25, 75], [50, 50]) == pytest.approx(0.25 * math.log(3))
    # Shares, not counts.
    assert psi([0.25, 0.75], [7, 7]) == pytest.approx(0.25 * math.log(3))


def test_three_bins_by_hand() -> None:
    # (.5-.6) ln(.5/.6) + (.3-.3) ln 1 + (.2-.1) ln 2
    assert psi([60, 30, 10], [50, 30, 20]) == pytest.approx(0.1 * math.log(1.2) + 0.1 * math.log(2))


def test_an_empty_bin_counts_as_the_smallest_share() -> None:
    # (.05 - .0001) ln(.05/.0001) + (.95 - 1) ln .95
    by_hand = 0.0499 * math.log(500) - 0.05 * math.log(0.95)
    assert psi([100, 0], [95, 5]) == pytest.approx(by_hand)
    assert psi([100, 0], [95, 5], smallest=0.02) == pytest.approx(0.03 * math.log(2.5) - 0.05 * math.log(0.95))
    assert psi([100, 0], [10**9, 1]) == pytest.approx(0.0, abs=1e-12)


@given(COUNTS)
def test_it_is_symmetric_finite_and_not_negative(both: tuple[list[int], list[int]]) -> None:
    one, other = both
    found = psi(one, other)
    assert 0.0 <= found < len(one) * -math.log(SMALLEST)
    assert found == pytest.approx(psi(other, one), abs=1e-12)


@given(COUNTS, st.integers(1, 1000))
def test_it_is_zero_for_equal_shares_whatever_the_size(both: tuple[list[int], list[int]], times: int) -> None:
    counts = np.array(both[0])
    assert psi(counts, counts * times) == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="count both over the same ones"):
        psi([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="holds nothing"):
        psi([1, 2], [0, 0])
