import json

import numpy as np
import pytest

from models.baselines.length import Length
from models.errors import DataError


def fitted() -> Length:
    return Length.fit([np.arange(4), np.arange(10), np.arange(6)])


def test_lengths_inside_the_training_range_are_not_strange() -> None:
    assert fitted().score_lengths(np.array([4, 7, 10])).tolist() == [0.0, 0.0, 0.0]


def test_lengths_outside_are_strange_by_how_far_they_pass_the_bound() -> None:
    assert fitted().score_lengths(np.array([3, 1, 15, 20])).tolist() == [0.25, 0.75, 0.5, 1.0]


def test_counts_add_up_to_the_length() -> None:
    assert fitted().score_counts([{1: 2, 9: 3}, {1: 15}]).tolist() == [0.0, 0.5]


def test_it_survives_json_and_explains_with_the_range() -> None:
    detector = Length.from_dict(json.loads(json.dumps(fitted().to_dict())))

    assert detector.explain({1: 2}) == {"length": 2, "shortest": 4, "longest": 10}


def test_training_without_an_event_is_refused() -> None:
    with pytest.raises(DataError, match="at least one session"):
        Length.fit([])
