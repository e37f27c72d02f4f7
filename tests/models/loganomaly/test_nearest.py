"""Unknown templates beside known ones: the nearest is taken where it is near enough, once and for all."""

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.loganomaly.nearest import Match, Nearest
from models.vocabulary import END, OVERFLOW

KNOWN = np.array([[1.0, 0.0], [0.96, 0.28], [0.0, 1.0], [0.0, 0.0]], dtype=np.float32)
KEYS = (10, 20, 30, 40)
UNKNOWN = {
    50: [0.954, 0.3],  # cosine above 0.9 with 10 too, the first; 20 is nearer
    60: [0.7071, 0.7071],
    70: [0.0, 0.0],
    80: [np.nan, 0.0],
}


class Vectors:
    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, ids: Sequence[int]) -> NDArray[np.float32]:
        self.asked.extend(ids)
        return np.array([UNKNOWN[template_id] for template_id in ids], dtype=np.float32)


def test_the_nearest_is_taken_and_not_the_first_that_is_near_enough() -> None:
    assert Nearest(KEYS, KNOWN, 0.9, Vectors()).of(np.array([50, 50])).tolist() == [20, 20]


def test_what_is_near_to_nothing_stays_unknown() -> None:
    found = Nearest(KEYS, KNOWN, 0.9, Vectors())
    assert found.of(np.array([60, 70, 80])).tolist() == [OVERFLOW] * 3
    assert found.match(60) is None
    assert Nearest(KEYS, KNOWN, 0.7, Vectors()).match(60) is not None


def test_overflow_and_marks_are_never_asked_for() -> None:
    vectors = Vectors()
    found = Nearest(KEYS, KNOWN, 0.9, vectors)
    assert found.of(np.array([OVERFLOW, END, -7])).tolist() == [OVERFLOW] * 3
    assert vectors.asked == []


def test_each_id_is_searched_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    vectors = Vectors()
    found = Nearest(KEYS, KNOWN, 0.9, vectors)
    with caplog.at_level(logging.INFO):
        found.of(np.array([50, 60, 50]))
        found.of(np.array([60, 50, 70]))
        assert found.match(50) == Match(20, pytest.approx(0.9998, abs=1e-3))
    assert sorted(vectors.asked) == [50, 60, 70]
    assert [record.getMessage() for record in caplog.records] == [
        "loganomaly reads template 50 as template 20 (cosine 1.000) until it is trained with it"
    ]


def test_without_known_templates_all_stay_unknown() -> None:
    empty = Nearest((), np.empty((0, 2), np.float32), 0.9, Vectors())
    assert empty.of(np.array([50])).tolist() == [OVERFLOW]
