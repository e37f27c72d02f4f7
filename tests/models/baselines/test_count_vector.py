import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.baselines.count_vector import CountVector, count_keys
from models.errors import DataError

COUNTS = st.dictionaries(st.integers(1, 6), st.integers(1, 5), min_size=1)


def distance_by_definition(a: dict[int, int], b: dict[int, int]) -> float:
    """sum|a-b| / sum max(a,b) over all keys of L1-normalised vectors, term by term."""
    size_a, size_b = sum(a.values()), sum(b.values())
    pairs = [(a.get(key, 0) / size_a, b.get(key, 0) / size_b) for key in a.keys() | b.keys()]
    return sum(abs(x - y) for x, y in pairs) / sum(max(x, y) for x, y in pairs)


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=5), COUNTS)
def test_distance_is_that_of_the_definition(train: list[dict[int, int]], session: dict[int, int]) -> None:
    expected = min(distance_by_definition(session, vector) for vector in train)

    assert CountVector(train).score_counts([session])[0] == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=5), st.integers(1, 7))
def test_the_same_mix_at_any_length_is_exactly_zero(train: list[dict[int, int]], times: int) -> None:
    longer = {key: count * times for key, count in train[-1].items()}

    assert CountVector(train).score_counts([longer]).tolist() == [0.0]


@settings(deadline=None)
@given(COUNTS, COUNTS)
def test_any_other_mix_is_above_zero(train: dict[int, int], session: dict[int, int]) -> None:
    size_t, size_s = sum(train.values()), sum(session.values())
    same = all(train.get(k, 0) * size_s == session.get(k, 0) * size_t for k in train.keys() | session.keys())

    assert (CountVector([train]).score_counts([session])[0] > 0) == (not same)


def test_unseen_keys_count_as_dimensions_of_their_own() -> None:
    detector = CountVector([{1: 1}])

    assert detector.score_counts([{1: 1, 99: 1}, {99: 5}]).tolist() == pytest.approx([2 / 3, 1.0])


def test_an_empty_session_is_not_strange() -> None:
    assert CountVector([{1: 1}]).score_counts([{}]).tolist() == [0.0]


def test_nearest_tells_what_departs_the_largest_first() -> None:
    nearest = CountVector([{1: 2, 2: 2}, {8: 1}]).nearest({1: 2, 2: 1, 3: 5})

    assert nearest.counts == {1: 2, 2: 2}
    assert [(d.template, d.count, d.expected) for d in nearest.differences] == [(3, 5, 0.0), (2, 1, 4.0), (1, 2, 4.0)]


def test_nearest_of_a_known_mix_has_no_differences() -> None:
    nearest = CountVector([{1: 2, 2: 2}]).nearest({1: 5, 2: 5})

    assert (nearest.distance, nearest.differences) == (0.0, ())


def test_a_departure_names_what_is_new_gone_more_and_fewer_whatever_else_came_as_ever() -> None:
    detector = CountVector([{1: 3, 2: 3, 4: 1}, {1: 3, 2: 3, 4: 1, 5: 1}])
    departs, distance = detector.departure({1: 4, 2: 2, 3: 1})

    assert departs == ("1:more", "2:fewer", "3:new", "4:gone")
    assert distance == detector.nearest({1: 4, 2: 2, 3: 1}).distance
    # The nearest is another one, the departure the same.
    assert detector.departure({1: 5, 2: 1, 3: 2, 5: 1})[0] == departs
    assert detector.departure({1: 9, 2: 6, 4: 2})[0] == ("1:more",)


def test_a_known_mix_and_no_event_at_all_depart_from_nothing() -> None:
    detector = CountVector([{1: 2, 2: 2}])

    assert detector.departure({1: 4, 2: 4}) == detector.departure({}) == ((), 0.0)


def test_it_survives_json() -> None:
    detector = CountVector.fit([np.array([5, 5, 2]), np.array([2])])
    restored = CountVector.from_dict(json.loads(json.dumps(detector.to_dict())))
    sessions = [count_keys(np.array(keys)) for keys in ([5, 2, 5], [5], [2, 9])]

    assert restored.score_counts(sessions).tolist() == detector.score_counts(sessions).tolist()
    assert restored.explain(sessions[1]) == detector.explain(sessions[1])


def test_training_without_an_event_is_refused() -> None:
    with pytest.raises(DataError, match="at least one session"):
        CountVector.fit([np.array([], dtype=np.int64)])


def test_nearest_of_an_empty_session_is_refused() -> None:
    with pytest.raises(DataError, match="no event"):
        CountVector([{1: 1}]).nearest({})


def test_it_explains_in_template_ids_and_plain_numbers() -> None:
    because = CountVector([{1: 1, 2: 1}]).explain({1: 3, 2: 1})

    assert because["distance"] == pytest.approx(0.4)
    assert because["differences"] == [
        {"template_id": 1, "count": 3, "expected": 2.0},
        {"template_id": 2, "count": 1, "expected": 2.0},
    ]


def test_what_was_learned_is_normal_as_far_as_a_rule_about_it_reached() -> None:
    trained = CountVector([{1: 4, 2: 2}])
    lesson, like, beyond, other = {1: 4, 2: 2, 3: 2}, {1: 4, 2: 2, 3: 1}, {1: 4, 2: 2, 3: 9}, {1: 4, 2: 2, 4: 2}
    detector = CountVector([{1: 4, 2: 2}], [lesson])
    assert detector.score_counts([lesson, like]).tolist() == [0.0, 0.0]
    raws = detector.score_counts([beyond, other])
    assert (raws > 0.0).all()
    # Nearer to the learned one, and called what it was called before.
    assert (raws <= trained.score_counts([beyond, other])).all()
    sessions = (lesson, like, beyond, other, {1: 4, 2: 2})
    assert [detector.departure(one) for one in sessions] == [trained.departure(one) for one in sessions]


def test_what_was_learned_is_written_and_read_back() -> None:
    detector = CountVector([{1: 4, 2: 2}], [{1: 8, 2: 4}, {1: 1, 3: 1}, {1: 2, 3: 2}])
    state = json.loads(json.dumps(detector.to_dict()))
    assert (len(detector), state["learned"]) == (2, 1)
    assert "learned" not in CountVector([{1: 1}]).to_dict()
    sessions = [{1: 1, 3: 1}, {1: 5, 3: 4, 2: 1}, {1: 9}]
    restored = CountVector.from_dict(state)
    assert restored.score_counts(sessions).tolist() == detector.score_counts(sessions).tolist()
    assert [restored.departure(one) for one in sessions] == [detector.departure(one) for one in sessions]
