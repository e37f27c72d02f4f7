import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines.ngram import EXPLAINED, Ngram
from models.errors import DataError
from models.sessions import BEFORE_SESSION
from models.vocabulary import END

TRAIN = [np.array([1, 2, 3]), np.array([1, 3])]
SEQUENCES = st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=5)


def grams_by_definition(sequence: list[int], order: int) -> list[tuple[int, ...]]:
    padded = [BEFORE_SESSION] * (order - 1) + sequence + [END]
    return [tuple(padded[i : i + order]) for i in range(len(sequence) + 1)]


def arrays(sequences: list[list[int]]) -> list[np.ndarray]:
    return [np.array(sequence, dtype=np.int64) for sequence in sequences]


def test_the_share_of_unseen_pairs_counts_both_ends_of_a_session() -> None:
    detector = Ngram.fit(TRAIN, 2)

    # (begin 2) is unseen, (2 3) and (3 end) are not; then (1 2) is seen and (2 end) is not.
    assert detector.score_sequences([np.array([2, 3]), np.array([1, 2]), np.array([1, 3])]).tolist() == pytest.approx(
        [1 / 3, 1 / 3, 0.0]
    )


@given(SEQUENCES.filter(lambda train: any(train)), SEQUENCES, st.integers(2, 5))
def test_the_share_is_that_of_the_definition(train: list[list[int]], judged: list[list[int]], order: int) -> None:
    known = {gram for sequence in train if sequence for gram in grams_by_definition(sequence, order)}
    expected = [
        float(np.mean([gram not in known for gram in grams_by_definition(sequence, order)])) if sequence else 0.0
        for sequence in judged
    ]

    assert Ngram.fit(arrays(train), order).score_sequences(arrays(judged)).tolist() == pytest.approx(expected)


def test_all_mismatches_count_and_not_the_first_alone() -> None:
    detector = Ngram.fit(TRAIN, 2)

    assert detector.score_sequences([np.array([1, 9, 3]), np.array([9, 9, 9])]).tolist() == [0.5, 1.0]


def test_long_ngrams_of_many_large_ids_do_not_overflow() -> None:
    keys = np.arange(1, 20_000) * 10**14
    detector = Ngram.fit([keys], 8)
    swapped = keys.copy()
    swapped[[9_000, 9_001]] = swapped[[9_001, 9_000]]

    assert detector.score_sequences([keys, swapped]).tolist() == pytest.approx([0.0, 9 / 20_000])


def test_ids_that_no_source_has_are_unseen() -> None:
    odd = np.array([-(2**63), 2**63 - 1, -5, 0])

    assert Ngram.fit(TRAIN, 3).score_sequences([odd]).tolist() == [1.0]


def test_it_survives_json_and_explains_where_the_unseen_ngrams_are() -> None:
    detector = Ngram.from_dict(json.loads(json.dumps(Ngram.fit(TRAIN, 2).to_dict())))

    assert detector.explain(np.array([2, 3, 1])) == {
        "order": 2,
        "ngrams": 4,
        "unseen": 3,
        "first": [
            {"at": 0, "ngram": [BEFORE_SESSION, 2]},
            {"at": 2, "ngram": [3, 1]},
            {"at": 3, "ngram": [1, END]},
        ],
    }
    assert detector.score_sequences([np.array([2, 3, 1])]).tolist() == [0.75]


def test_an_explanation_stays_short() -> None:
    because = Ngram.fit(TRAIN, 2).explain(np.full(500, 9))

    assert (because["unseen"], len(because["first"])) == (501, EXPLAINED)


def test_an_empty_session_is_not_strange() -> None:
    detector = Ngram.fit(TRAIN, 2)
    nothing = np.array([], dtype=np.int64)

    assert detector.score_sequences([nothing, np.array([9]), nothing]).tolist() == [0.0, 1.0, 0.0]
    assert detector.score_sequences([]).tolist() == []
    assert detector.explain(nothing)["unseen"] == 0


def test_useless_orders_and_empty_training_are_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        Ngram.fit(TRAIN, 1)
    with pytest.raises(DataError, match="at least one session"):
        Ngram.fit([])


@pytest.mark.parametrize("known", [[[1, 2, 3]], [], [1, 2]])
def test_state_of_another_shape_is_refused(known: list[object]) -> None:
    with pytest.raises(DataError, match="no list of n-grams"):
        Ngram.from_dict({"order": 2, "known": known})
