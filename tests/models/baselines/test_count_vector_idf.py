import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.count_vector_idf import CountVectorIdf
from models.errors import DataError

COUNTS = st.dictionaries(st.integers(1, 6), st.integers(1, 5), min_size=1)
SESSIONS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=8), min_size=1, max_size=6)
TRAIN = [np.array([1, 2]), np.array([1, 2, 2]), np.array([1, 3])]


def weight_by_definition(train: list[list[int]], key: int) -> float:
    df = sum(key in session for session in train)
    return math.log10((1 + len(train)) / df) if df else 1.0


def distance_by_definition(train: list[list[int]], a: dict[int, int], b: dict[int, int]) -> float:
    """sum w|a-b| / sum w max(a,b) over all keys of L1-normalised vectors, term by term."""
    size_a, size_b = sum(a.values()), sum(b.values())
    terms = [
        (weight_by_definition(train, key), a.get(key, 0) / size_a, b.get(key, 0) / size_b)
        for key in a.keys() | b.keys()
    ]
    return sum(w * abs(x - y) for w, x, y in terms) / sum(w * max(x, y) for w, x, y in terms)


@settings(deadline=None)
@given(SESSIONS, COUNTS)
def test_distance_is_that_of_the_definition(train: list[list[int]], session: dict[int, int]) -> None:
    arrays = [np.array(keys) for keys in train]
    expected = min(distance_by_definition(train, session, count_keys(keys)) for keys in arrays)

    assert CountVectorIdf.fit(arrays).score_counts([session])[0] == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=5), COUNTS)
def test_equal_weights_change_nothing(train: list[dict[int, int]], session: dict[int, int]) -> None:
    weighted = CountVectorIdf(train, dict.fromkeys(range(1, 7), 1.0))

    assert weighted.score_counts([session])[0] == pytest.approx(CountVector(train).score_counts([session])[0])


def test_a_rare_template_counts_more_than_common_ones() -> None:
    train = [np.array([1, 2])] * 9 + [np.array([1, 3])]
    sessions = [{1: 3, 2: 1}, {1: 1, 2: 2, 3: 1}]
    common, rare = CountVectorIdf.fit(train).score_counts(sessions)

    assert CountVector.fit(train).score_counts(sessions).tolist() == [0.4, 0.4]
    assert common < rare


def test_the_same_mix_is_zero_and_an_empty_session_is_not_strange() -> None:
    assert CountVectorIdf.fit(TRAIN).score_counts([{1: 4, 2: 4}, {}, {9: 1}]).tolist() == [0.0, 0.0, 1.0]


def test_it_survives_json_and_explains_by_weight() -> None:
    detector = CountVectorIdf.from_dict(json.loads(json.dumps(CountVectorIdf.fit(TRAIN).to_dict())))
    session = {1: 3, 3: 1, 9: 1}
    because = detector.explain(session)

    assert detector.score_counts([session]).tolist() == CountVectorIdf.fit(TRAIN).score_counts([session]).tolist()
    assert [(d["template_id"], d["count"]) for d in because["differences"]] == [(9, 1), (3, 1), (1, 3)]
    assert because["differences"][0]["weight"] == 1.0


def test_training_without_an_event_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        CountVectorIdf.fit([np.array([], dtype=np.int64)])


@pytest.mark.parametrize("weights", [{}, {1: 0.0}, {1: math.nan}, {1: -1.0}, {1: math.inf}])
def test_weights_that_cannot_be_are_refused(weights: dict[int, float]) -> None:
    with pytest.raises(DataError, match="weight"):
        CountVectorIdf([{1: 1}], weights)


def test_what_was_learned_is_normal_and_departures_are_told_from_training() -> None:
    trained = CountVectorIdf.fit(TRAIN)
    state = {**trained.to_dict(), "weighted": [1, 2, 3, 9], "learned": 1}
    state = {**state, "weights": [*trained.to_dict()["weights"], 1.0]}
    state["keys"], state["counts"] = [*state["keys"], [1, 2, 9]], [*state["counts"], [1, 1, 2]]
    detector = CountVectorIdf.from_dict(json.loads(json.dumps(state)))
    assert detector.to_dict() == state
    lesson, like, other = {1: 1, 2: 1, 9: 2}, {1: 2, 2: 2, 9: 3}, {1: 1, 9: 9}
    raws = detector.score_counts([lesson, like, other])
    assert (raws > 0.0).tolist() == [False, False, True]
    assert [detector.departure(one) for one in (lesson, like, other)] == [
        trained.departure(one) for one in (lesson, like, other)
    ]
