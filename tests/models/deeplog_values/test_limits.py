"""The table of limits: raw outputs of sizes, sizes of raw outputs, and what older bundles held instead."""

import numpy as np
import pytest

from models.deeplog_values.limits import KINDS, LEVELS, SIDES, Limits, of_reach, size_at
from models.sessions import Float64

RISING = np.array([1.0, 1.5, 2.0, 4.0, 7.0, 8.0])
LEAPING = np.array([1.0, 1.0, 3.0, 3.0, 3.0, 5.0])
"""From one level to the next the limit stays."""


def raw(limits: Float64, size: float) -> float:
    table = np.broadcast_to(limits, (1, 1, KINDS, SIDES, len(LEVELS)))
    return float(Limits(table).raws(np.array([0]), 0, np.array([[size]]))[0, 0])


@pytest.mark.parametrize("level", [0.01, 0.25, 0.3, 1.0, 1.7, 6.0, 10.0, 45.0])
def test_a_size_is_read_back_from_its_raw_output(level: float) -> None:
    assert raw(RISING, size_at(RISING, level)) == pytest.approx(level)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.9, 1.0, 3.0, 7.0, 20.0])
def test_where_the_raw_output_leaps_the_size_is_that_before_the_leap(level: float) -> None:
    assert raw(LEAPING, size_at(LEAPING, level) * (1.0 - 1e-9)) <= level


def test_one_reach_of_an_older_bundle_makes_raw_outputs_its_multiples() -> None:
    limits = of_reach(np.array([[2.0, 1.0, 4.0]]))
    assert limits.shape == (1, KINDS, SIDES, len(LEVELS))
    given = Limits(limits[None])
    for kind, reach in enumerate((2.0, 1.0, 4.0)):
        for off in (-30.0, -1.0, 0.1, 2.5, 30.0):
            found = given.raws(np.array([0]), kind, np.array([[off]]))
            assert found == pytest.approx(np.array([[abs(off) / reach]]))
