import json

import numpy as np
import pytest

from models.baselines.ngram import Ngram
from models.errors import DataError
from models.sessions import BEFORE_SESSION
from models.vocabulary import END

TRAIN = [np.array([1, 2, 3]), np.array([1, 3])]


def test_the_share_of_unseen_pairs_counts_both_ends_of_a_session() -> None:
    detector = Ngram.fit(TRAIN, 2)

    # (begin 2) is unseen, (2 3) and (3 end) are not; then (1 2) is seen and (2 end) is not.
    assert detector.score_sequences([np.array([2, 3]), np.array([1, 2]), np.array([1, 3])]).tolist() == pytest.approx(
        [1 / 3, 1 / 3, 0.0]
    )


def test_a_row_is_judged_by_the_newest_part_of_its_history() -> None:
    detector = Ngram.fit(TRAIN, 2)
    history = np.array([[BEFORE_SESSION, BEFORE_SESSION], [9, 1], [1, 2], [1, 2]])

    assert detector.score(history, np.array([1, 3, 1, END])).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_rows_of_a_session_ring_where_the_whole_session_does() -> None:
    detector = Ngram.fit(TRAIN, 3)
    session = np.array([1, 2, 2, 3])
    padded = np.concatenate([[BEFORE_SESSION] * 2, session, [END]])
    rows = detector.score(np.lib.stride_tricks.sliding_window_view(padded[:-1], 2), padded[2:])

    assert rows.mean() == detector.score_sequences([session])[0] > 0


def test_it_survives_json_and_explains_with_the_ngram() -> None:
    detector = Ngram.from_dict(json.loads(json.dumps(Ngram.fit(TRAIN, 2).to_dict())))

    assert detector.explain(np.array([7, 1]), 2) == {"ngram": [1, 2], "known": True}
    assert detector.explain(np.array([7, 1]), 9) == {"ngram": [1, 9], "known": False}


def test_an_empty_session_is_not_strange() -> None:
    assert Ngram.fit(TRAIN, 2).score_sequences([np.array([], dtype=np.int64)]).tolist() == [0.0]


def test_useless_orders_and_empty_training_are_refused() -> None:
    with pytest.raises(DataError, match="at least 2"):
        Ngram.fit(TRAIN, 1)
    with pytest.raises(DataError, match="at least one session"):
        Ngram.fit([])
