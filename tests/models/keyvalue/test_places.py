"""Keys and header fields as numbers: known, unknown, absent and before the session."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from models.errors import DataError
from models.keyvalue.places import Places, before_session
from models.notes import NO_CODE
from models.sessions import BEFORE_SESSION
from models.vocabulary import BOS, UNK, Vocabulary

PLACES = Places(Vocabulary([10, 20]), {"level": ["INFO", "WARN"], "user": [None, "anna"]})


def test_codes_are_of_known_values_alone() -> None:
    fields = pl.DataFrame({"user": ["anna", None, "", "x" * 10_000], "level": ["WARN", "INFO", None, "\x00\ud7ff"]})
    assert PLACES.codes(fields).tolist() == [[2, 2], [1, 1], [0, 0], [0, 0]]
    assert PLACES.codes(fields).dtype == np.int64


def test_a_field_that_a_batch_lacks_is_absent() -> None:
    assert PLACES.codes(pl.DataFrame({"other": ["a", "b"]})).tolist() == [[0, 1], [0, 1]]
    assert PLACES.codes(pl.DataFrame({"user": [None, None], "level": [1, 2]})).tolist() == [[0, 1], [0, 1]]
    assert PLACES.codes(pl.DataFrame({"user": [], "level": []})).shape == (0, 2)


def test_windows_hold_the_key_and_then_each_field() -> None:
    history, earlier = np.array([[BEFORE_SESSION, 99]]), np.array([[[NO_CODE, NO_CODE], [1, 0]]])
    window = PLACES.windows(history, np.array([20]), earlier, np.array([[2, 1]]))
    assert window.tolist() == [[[BOS, 0, 0], [UNK, 2, 1], [5, 3, 2]]]
    assert before_session(window).tolist() == [[[True] * 3, [False] * 3, [False] * 3]]
    assert PLACES.sizes == (6, 4, 4)


def test_codes_that_no_value_has_are_unknown() -> None:
    codes = np.array([[3, 65_534], [-2, -(10**12)]])
    window = PLACES.windows(np.empty((2, 0), np.int64), np.array([10, 10]), np.empty((2, 0, 2), np.int64), codes)
    assert window.tolist() == [[[4, 1, 1]], [[4, 1, 1]]]


def test_places_say_what_stands_there() -> None:
    assert PLACES.shown(0, 4) == 10
    assert [PLACES.shown(1, place) for place in (1, 2, 3)] == [None, "INFO", "WARN"]
    assert (PLACES.hidden(0), PLACES.hidden(2)) == (UNK, 1)


def test_state_round_trips_and_differs_where_the_places_do() -> None:
    again = Places.from_dict(PLACES.to_dict())
    assert again.fingerprint() == PLACES.fingerprint()
    assert (again.names, again.sizes) == (PLACES.names, PLACES.sizes)
    for other in (
        Places(Vocabulary([20, 10]), {"level": ["INFO", "WARN"], "user": [None, "anna"]}),
        Places(Vocabulary([10, 20]), {"user": [None, "anna"], "level": ["INFO", "WARN"]}),
        Places(Vocabulary([10, 20]), {"level": ["WARN", "INFO"], "user": [None, "anna"]}),
    ):
        assert other.fingerprint() != PLACES.fingerprint()


@pytest.mark.parametrize("values", [[], ["a", "a"], [None, None], [1, 2], list(map(str, range(65_535)))])
def test_values_that_cannot_be_are_refused(values: list[Any]) -> None:
    with pytest.raises(DataError, match="field 'level'"):
        Places(Vocabulary([10]), {"level": values})
