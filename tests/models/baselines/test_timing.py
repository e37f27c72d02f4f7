"""Pauses outside what training saw between two events."""

from typing import Any

import numpy as np
import pytest

from models.baselines.timing import TICK_S, Timing
from models.errors import DataError
from models.sessions import BEFORE_SESSION

PREVIOUS = np.array([1, 1, 1, 2, BEFORE_SESSION])
KEYS = np.array([2, 2, 2, 1, 1])
ELAPSED = np.array([2.0, 4.0, 3.0, 0.0, np.nan])


def fitted() -> Timing:
    return Timing.fit(PREVIOUS, KEYS, ELAPSED)


def score(previous: int, key: int, elapsed: float) -> float:
    return float(fitted().score_pauses(np.array([previous]), np.array([key]), np.array([elapsed]))[0])


def test_pauses_inside_the_range_are_not_strange() -> None:
    assert [score(1, 2, elapsed) for elapsed in (2.0, 3.3, 4.0)] == [0.0, 0.0, 0.0]


def test_excess_is_in_relation_to_the_end_passed() -> None:
    assert score(1, 2, 8.0) == pytest.approx(4.0 / (4.0 + TICK_S))
    assert score(1, 2, 1.0) == pytest.approx(1.0 / (1.0 + TICK_S))
    assert score(1, 2, 0.0) == pytest.approx(2.0 / TICK_S)


def test_the_further_outside_the_stranger() -> None:
    above = [score(1, 2, elapsed) for elapsed in (4.0, 4.1, 5.0, 50.0)]
    below = [score(1, 2, elapsed) for elapsed in (2.0, 1.9, 1.0, 0.1)]
    assert above == sorted(set(above))
    assert below == sorted(set(below))


def test_a_pair_that_had_no_pause_can_be_slow() -> None:
    assert score(2, 1, 0.0) == 0.0
    assert score(2, 1, 1.0) == pytest.approx(1.0 / TICK_S)


@pytest.mark.parametrize(
    ("previous", "key", "elapsed"),
    [
        (2, 2, 1.0),
        (BEFORE_SESSION, 1, np.nan),
        (1, 2, np.nan),
        (1, 2, np.inf),
        (1, -2, 1.0),
        (2**40, 1, 1.0),
        (99, 1, 1.0),
    ],
)
def test_what_training_did_not_see_has_no_judgement(previous: int, key: int, elapsed: float) -> None:
    assert np.isnan(score(previous, key, elapsed))


def test_lines_out_of_order_count_as_no_pause() -> None:
    assert score(1, 2, -5.0) == score(1, 2, 0.0)
    assert score(2, 1, -5.0) == 0.0


def test_a_batch_is_judged_as_its_rows_are() -> None:
    timing = fitted()
    previous, keys = np.array([1, 2, 1, 7]), np.array([2, 1, 2, 7])
    elapsed = np.array([9.0, 0.5, 3.0, 1.0])
    before = [part.copy() for part in (previous, keys, elapsed)]
    together = timing.score_pauses(previous, keys, elapsed)
    alone = [score(*row) for row in zip(previous.tolist(), keys.tolist(), elapsed.tolist(), strict=True)]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(timing.score_pauses(previous, keys, elapsed), together)
    for given, kept in zip((previous, keys, elapsed), before, strict=True):
        np.testing.assert_array_equal(given, kept)
    assert timing.score_pauses(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)).tolist() == []


def test_explanation_tells_the_range() -> None:
    told = fitted().explain(1, 2, 8.0)
    assert told == {"previous_template_id": 1, "template_id": 2, "elapsed_s": 8.0, "normal": [2.0, 4.0]}
    assert fitted().explain(5, 6, float("nan"))["normal"] is None
    assert fitted().explain(5, 6, float("nan"))["elapsed_s"] is None


def test_state_is_read_back() -> None:
    timing = Timing.from_dict(fitted().to_dict())
    assert timing.to_dict() == fitted().to_dict()
    assert len(timing) == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"least": [5.0, 0.0]}, {"most": [4.0]}, {"most": [float("nan"), 1.0]}, {"least": [-1.0, 0.0]},
        {"previous": [1, 1], "keys": [2, 2]}, {"keys": [-1, 2]}, {"previous": [], "keys": [], "least": [], "most": []},
    ],
)  # fmt: skip
def test_damaged_state_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Timing.from_dict({**fitted().to_dict(), **broken})


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(DataError, match="no pause"):
        Timing.fit(np.array([BEFORE_SESSION]), np.array([1]), np.array([np.nan]))
