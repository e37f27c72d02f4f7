import json

import numpy as np
import pytest

from models.baselines.new_event import NewEvent
from models.errors import DataError

NO_HISTORY = np.empty((0, 0), dtype=np.int64)


def test_only_templates_outside_training_are_new() -> None:
    detector = NewEvent.fit([np.array([1, 2, 2]), np.array([7])])

    assert detector.score(NO_HISTORY, np.array([7, 1, 3, 2])).tolist() == [0.0, 0.0, 1.0, 0.0]


def test_overflow_template_is_always_new() -> None:
    detector = NewEvent.fit([np.array([0, 1])])

    assert detector.score(NO_HISTORY, np.array([0, 1])).tolist() == [1.0, 0.0]


def test_it_survives_json() -> None:
    detector = NewEvent.from_dict(json.loads(json.dumps(NewEvent.fit([np.array([4, 2])]).to_dict())))

    assert detector.score(NO_HISTORY, np.array([2, 3, 4])).tolist() == [0.0, 1.0, 0.0]


def test_it_explains_with_the_template() -> None:
    detector = NewEvent.fit([np.array([4])])

    assert detector.explain(NO_HISTORY, 5) == {"template_id": 5, "known": False}


@pytest.mark.parametrize("sessions", [[], [np.array([], dtype=np.int64)]])
def test_training_without_an_event_is_refused(sessions: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="at least one session"):
        NewEvent.fit(sessions)
