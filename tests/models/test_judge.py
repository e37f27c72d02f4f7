"""The judge: a cache that changes nothing, one threshold for rows and sessions, and reasons in order of weight."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines.count_vector import CountVector
from models.baselines.new_event import NewEvent
from models.ensemble import Ensemble
from models.judge import Judge, RawCache, end_histories
from models.sessions import Closing, Float64, Int64, SessionState
from models.vocabulary import END


class Sum:
    """An event detector without a network: the sum of window and key, and of nothing else."""

    name = "sum"
    judges_end = True

    def __init__(self, window: int = 2) -> None:
        self.window = window
        self.asked = 0

    def score(self, history: Int64, keys: Int64) -> Float64:
        assert history.shape == (len(keys), self.window)
        self.asked += len(keys)
        return (history.sum(axis=1) + 10 * np.abs(keys)).astype(np.float64)

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        return {"template_id": key, "before": history.tolist()}


def closing(counts: Mapping[int, int], tail: Sequence[int] = (), peaks: Mapping[int, float] | None = None) -> Closing:
    n = sum(counts.values())
    return Closing("s", SessionState(0.0, 1.0, n, tuple(tail), dict(counts)), dict(peaks or {}), None)


NORMALS = 1000


def judge_of(budget: float = 0.01) -> Judge:
    """New event, ``Sum`` and count vector, calibrated on a thousand normals with a rare tail each."""
    rng = np.random.default_rng(3)
    raws = {
        "new_event": np.where(np.arange(NORMALS) % 500 == 0, 1.0, 0.0),
        "sum": rng.permutation(NORMALS).astype(np.float64) / 10,
        "count_vector": rng.permutation(NORMALS).astype(np.float64) / (2 * NORMALS),
    }
    known = [1, 2, 3]
    return Judge(
        [NewEvent(np.array(known)), Sum()], [CountVector([{1: 1, 2: 1}])], Ensemble.fit(raws, budget), frozenset(known)
    )


batches = st.lists(
    st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4), st.integers(-1, 4), st.integers(1, 4)), max_size=12),
    max_size=5,
)


@given(batches, st.integers(0, 12), st.integers(0, 3))
def test_cached_outputs_are_the_direct_ones_whatever_the_capacity(
    asked: list[list[tuple[int, int, int, int]]], capacity: int, window: int
) -> None:
    cache = RawCache(Sum(window), capacity)
    direct = Sum(window)
    for batch in asked:
        cells = np.array(batch, dtype=np.int64).reshape(-1, 4)
        np.testing.assert_array_equal(
            cache.score(cells[:, :3], cells[:, 3]), direct.score(cells[:, 3 - window : 3], cells[:, 3])
        )


def test_cache_asks_for_each_distinct_window_once_and_counts() -> None:
    detector = Sum()
    cache = RawCache(detector)
    history, keys = np.array([[1, 2], [1, 2], [9, 1]]), np.array([3, 3, 3])
    cache.score(history, keys)
    assert (detector.asked, cache.take_counts()) == (2, (1, 2))
    cache.score(np.array([[7, 1, 2]]), np.array([3]))
    assert (detector.asked, cache.take_counts()) == (2, (1, 0))
    assert cache.take_counts() == (0, 0)


def test_full_cache_is_dropped_and_filled_anew() -> None:
    detector = Sum(1)
    cache = RawCache(detector, 2)
    same = np.array([[7]])
    for key in (1, 2, 3, 3, 1):
        cache.score(same, np.array([key]))
    assert detector.asked == 4


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=20),
    st.dictionaries(st.integers(1, 5), st.integers(1, 3)),
    st.sampled_from([0.001, 0.01, 0.2]),
)
def test_session_is_anomalous_wherever_a_row_of_it_is(
    cells: list[tuple[int, int, int]], counts: dict[int, int], budget: float
) -> None:
    judge = judge_of(budget)
    table = np.array(cells, dtype=np.int64)
    rows = judge.rows(table[:, :2], table[:, 2])
    np.testing.assert_array_equal(rows.anomalous, rows.evidence >= judge.ensemble.threshold)
    peaks: dict[int, float] = {}
    for peak in judge.peaks(rows):
        peaks[peak.member] = max(peak.raw, peaks.get(peak.member, -np.inf))
    closed = judge.closings([closing(counts, (), peaks)], 2)
    assert closed.evidence[0] >= rows.evidence.max()
    assert closed.anomalous[0] or not rows.anomalous.any()


def test_row_without_enough_evidence_does_not_ring_and_has_a_score() -> None:
    judge = judge_of()
    rows = judge.rows(np.array([[1, 1], [1, 1]]), np.array([1, 50]))
    assert rows.anomalous.tolist() == [False, True]
    assert 0.0 <= rows.score[0] < rows.score[1] <= 1.0


def test_end_of_a_session_is_an_event_to_members_that_judge_it() -> None:
    judge = judge_of()
    quiet = closing({1: 1, 2: 1}, (1, 2))
    loud = closing({1: 1, 2: 1}, (500, 600))
    closed = judge.closings([quiet, loud], 2)
    assert closed.raws["sum"].tolist() == [1 + 2 + 20, 500 + 600 + 20]
    assert closed.raws["new_event"].tolist() == [-np.inf, -np.inf]
    assert closed.anomalous.tolist() == [False, True]


def test_reasons_are_the_members_that_took_part_the_strongest_first() -> None:
    judge = judge_of()
    history = np.array([7, 8, 2])
    rows = judge.rows(history[None, :], np.array([9]))
    reasons = judge.row_reasons(rows, 0, history, 9)
    assert {reason.detector for reason in reasons} == {"new_event", "sum"}
    assert [reason.share for reason in reasons] == sorted((reason.share for reason in reasons), reverse=True)
    assert sum(reason.share for reason in reasons) == pytest.approx(1.0)
    own = next(reason for reason in reasons if reason.detector == "sum")
    assert own.because == {"template_id": 9, "before": [8, 2]}


def test_session_says_whether_its_end_or_an_earlier_event_rang() -> None:
    judge = judge_of()
    by_end = closing({1: 1, 2: 1}, (500, 600))
    by_event = closing({1: 1, 2: 1}, (1, 2), {1: 5000.0})
    closed = judge.closings([by_end, by_event], 2)
    (end,) = judge.closing_reasons(closed, 0, by_end, 2)
    (event,) = judge.closing_reasons(closed, 1, by_event, 2)
    assert end.because == {"template_id": END, "before": [500, 600]}
    assert event.because == {"at": "an earlier event of this session"}
    assert event.raw == 5000.0


def test_nothing_to_judge_is_no_error() -> None:
    judge = judge_of()
    assert len(judge.rows(np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.int64)).evidence) == 0
    assert len(judge.closings([], 2).evidence) == 0


def test_end_histories_are_padded_on_the_left() -> None:
    assert end_histories([closing({}, (1, 2, 3)), closing({}, (4,))], 2).tolist() == [[2, 3], [-1, 4]]
