"""The vocabulary maps raw ids to places and back, and has a place for everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.sessions import BEFORE_SESSION
from models.vocabulary import BOS, END, EOS, OVERFLOW, PAD, SPECIALS, UNK, Vocabulary

keys = st.lists(st.integers(1, 20_000), unique=True, max_size=40)


@given(keys)
def test_every_place_but_padding_round_trips(given_keys: list[int]) -> None:
    vocabulary = Vocabulary(given_keys)
    places = [place for place in range(vocabulary.size) if place != PAD]
    decoded = np.array([vocabulary.decode(place) for place in places], dtype=np.int64)
    assert vocabulary.encode(decoded).tolist() == places
    assert Vocabulary.from_dict(vocabulary.to_dict()).keys == vocabulary.keys


@given(keys, st.lists(st.integers(-(2**62), 2**62), min_size=1))
def test_what_is_not_in_it_is_unknown(given_keys: list[int], ids: list[int]) -> None:
    vocabulary = Vocabulary(given_keys)
    expected = [
        {BEFORE_SESSION: BOS, END: EOS}.get(i, SPECIALS + given_keys.index(i) if i in given_keys else UNK) for i in ids
    ]
    array = np.array(ids, dtype=np.int64)
    assert vocabulary.encode(array).tolist() == expected
    assert vocabulary.known(array).tolist() == [place != UNK for place in expected]


def test_shape_is_kept() -> None:
    assert Vocabulary([7, 5]).encode(np.array([[5, 7, 6], [-1, -2, 0]])).tolist() == [[5, 4, UNK], [BOS, EOS, UNK]]


def test_fit_takes_keys_once_in_order_without_the_overflow_template() -> None:
    assert Vocabulary.fit([np.array([9, 3, OVERFLOW]), np.array([3, 4])]).keys == (3, 4, 9)


def test_fingerprint_tells_the_order_of_keys() -> None:
    assert Vocabulary([1, 2]).fingerprint() == Vocabulary([1, 2]).fingerprint()
    assert Vocabulary([1, 2]).fingerprint() != Vocabulary([2, 1]).fingerprint()
    assert Vocabulary([1, 2]).fingerprint() != Vocabulary([12]).fingerprint()


@pytest.mark.parametrize("wrong", [[1, 1], [0], [-1], [10**9]])
def test_keys_that_are_no_template_ids_are_refused(wrong: list[int]) -> None:
    with pytest.raises(DataError, match="vocabulary"):
        Vocabulary(wrong)


@pytest.mark.parametrize("place", [PAD, 5, -1])
def test_a_place_without_a_key_has_no_id(place: int) -> None:
    with pytest.raises(DataError, match="stands for no key"):
        Vocabulary([8]).decode(place)


def test_no_event_makes_no_vocabulary() -> None:
    with pytest.raises(DataError, match="no event"):
        Vocabulary.fit([])
