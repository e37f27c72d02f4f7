import numpy as np
import pytest

from models.errors import DataError
from training.classical.counts import Columns, idf

TRAIN = [{3: 1, 7: 2}, {3: 1}, {7: 2, 3: 1}]


def test_equal_sessions_share_a_row_and_unseen_templates_a_column() -> None:
    columns = Columns.fit(TRAIN)
    table = columns.table([*TRAIN, {9: 2, 7: 1, -4: 1}, {}])

    assert columns.keys.tolist() == [3, 7]
    assert table.rows.tolist() == [[1, 2, 0], [1, 0, 0], [0, 1, 3], [0, 0, 0]]
    assert table.index.tolist() == [0, 1, 0, 2, 3]
    assert table.weights.tolist() == [2, 1, 1, 1]


def test_idf_is_that_of_sessions_and_the_unseen_weigh_as_one_would() -> None:
    table = Columns.fit(TRAIN).table(TRAIN)

    assert idf(table).tolist() == pytest.approx([0.0, np.log(3 / 2), np.log(3)])


def test_no_session_is_judged_without_asking() -> None:
    def never(_rows: np.ndarray) -> np.ndarray:
        raise AssertionError

    assert Columns.fit(TRAIN).score([], never).tolist() == []


@pytest.mark.parametrize("sessions", [[], [{}], [{3: 0}]])
def test_training_without_an_event_is_refused(sessions: list[dict[int, int]]) -> None:
    with pytest.raises(DataError, match="at least one session"):
        Columns.fit(sessions)
