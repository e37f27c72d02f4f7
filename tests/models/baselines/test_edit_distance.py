import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines import edit_distance
from models.baselines.edit_distance import EXPLAINED, EditDistance
from models.errors import DataError
from models.sessions import Int64

KEYS = st.lists(st.integers(1, 6), min_size=1, max_size=10)
TRAIN = [np.array([1, 2, 3, 4]), np.array([1, 1, 1])]


def levenshtein(a: list[int], b: list[int]) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def arrays(sequences: list[list[int]]) -> list[Int64]:
    return [np.array(sequence, dtype=np.int64) for sequence in sequences]


@given(st.lists(KEYS, min_size=1, max_size=30), KEYS)
def test_the_distance_is_that_of_the_definition(train: list[list[int]], judged: list[int]) -> None:
    expected = min(levenshtein(judged, other) / max(len(judged), len(other)) for other in train)

    assert EditDistance(arrays(train)).score_sequences(arrays([judged]))[0] == pytest.approx(expected)


def test_pruning_leaves_the_distance_of_long_sequences_as_it_is() -> None:
    rng = np.random.default_rng(0)
    train = [rng.integers(1, 9, rng.integers(20, 80)) for _ in range(60)]
    judged = [np.concatenate([train[3][:15], rng.integers(1, 11, 20)]), rng.integers(1, 9, 50), train[7][::-1]]
    expected = [min(levenshtein(s.tolist(), t.tolist()) / max(len(s), len(t)) for t in train) for s in judged]

    assert EditDistance(train).score_sequences(judged).tolist() == pytest.approx(expected)


def test_training_sequences_are_zero_and_unseen_templates_equal_nothing() -> None:
    detector = EditDistance(TRAIN)

    assert detector.score_sequences([TRAIN[1], np.array([1, 2, 9, 4]), np.array([8, 9])]).tolist() == [0.0, 0.25, 1.0]


def test_one_answer_does_not_change_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit_distance, "CACHE_SEQUENCES", 2)
    judged = arrays([[1, 2], [2, 1], [7], [1, 2], [3, 4, 1], [2, 1]])
    detector = EditDistance(TRAIN)
    together = detector.score_sequences(judged).tolist()

    assert together == [EditDistance(TRAIN).score_sequences([one])[0] for one in judged]
    assert together == detector.score_sequences(judged).tolist()


def test_it_survives_json_and_explains_by_edits() -> None:
    detector = EditDistance.from_dict(json.loads(json.dumps(EditDistance(TRAIN).to_dict())))
    because = detector.explain(np.array([7, 1, 2, 8, 4]))

    assert because == {
        "distance": 0.4,
        "nearest": [1, 2, 3, 4],
        "edits": 2,
        "first": [{"at": 0, "template_id": 7, "expected": None}, {"at": 3, "template_id": 8, "expected": 3}],
    }
    assert detector.explain(np.array([1, 2, 4]))["first"] == [{"at": 2, "template_id": None, "expected": 3}]
    assert json.loads(json.dumps(because)) == because


def test_an_explanation_stays_short() -> None:
    because = EditDistance(TRAIN).explain(np.full(500, 9))

    assert (because["edits"], len(because["first"])) == (500, EXPLAINED)


def test_more_sequences_than_the_cap_are_sampled_by_seed() -> None:
    train = [np.array([number, number]) for number in range(1, 51)]
    kept = [EditDistance.fit(train, seed, cap=10).to_dict() for seed in (1, 1, 2)]

    assert len(kept[0]["sequences"]) == 10
    assert kept[0] == kept[1] != kept[2]
    assert len(EditDistance.fit(train * 2, 0, cap=50)) == 50


def test_the_cap_of_events_holds_where_sequences_are_long() -> None:
    train = [np.full(100, number) for number in range(1, 21)]

    assert len(EditDistance.fit(train, 0, cap_events=550)) == 5
    assert len(EditDistance.fit(train, 0, cap_events=99)) == 1


def test_ids_that_no_source_has_are_unseen() -> None:
    assert EditDistance(TRAIN).score_sequences([np.array([-(2**63), 2**63 - 1, 0])]).tolist() == [1.0]


def test_so_many_templates_that_their_characters_reach_surrogates_are_told_apart() -> None:
    keys = np.arange(1, 60_001)
    detector = EditDistance([keys])

    assert detector.score_sequences([keys, keys[::-1][:1]]).tolist() == [0.0, 1 - 1 / 60_000]


def test_an_empty_session_is_not_strange() -> None:
    nothing = np.array([], dtype=np.int64)

    assert EditDistance(TRAIN).score_sequences([nothing]).tolist() == [0.0]
    with pytest.raises(DataError, match="no event"):
        EditDistance(TRAIN).explain(nothing)


def test_training_without_an_event_is_refused() -> None:
    with pytest.raises(DataError, match="at least one session"):
        EditDistance.fit([np.array([], dtype=np.int64)], 0)
