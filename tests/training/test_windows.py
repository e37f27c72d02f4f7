"""Training sees the windows that the service will see, each distinct one once."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.live import LiveSessions
from models.sessions import BEFORE_SESSION, Rows, SessionSettings
from models.vocabulary import BOS, END, EOS, OVERFLOW, Vocabulary
from training.windows import distinct, pairs, windows

session_lists = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=12), min_size=1, max_size=8)


def arrays(sessions: list[list[int]]) -> list[np.ndarray]:
    return [np.array(session, dtype=np.int64) for session in sessions]


def test_history_before_the_session_is_padding_and_its_end_is_predicted() -> None:
    got = windows(arrays([[7, 8], [9]]), 3)
    assert got.history.tolist() == [[-1, -1, -1], [-1, -1, 7], [-1, 7, 8], [-1, -1, -1], [-1, -1, 9]]
    assert got.key.tolist() == [7, 8, END, 9, END]
    assert got.session.tolist() == [0, 0, 0, 1, 1]


@given(session_lists)
def test_windows_equal_those_of_the_service(sessions: list[list[int]]) -> None:
    h = 4
    got = windows(arrays(sessions), h)
    names = [str(number) for number, session in enumerate(sessions) for _ in session]
    key = np.array([key for session in sessions for key in session], dtype=np.int64)
    zeros = np.zeros(len(key))
    rows = Rows(names, key, zeros, zeros, np.zeros(len(key), dtype=bool))
    served, _ = LiveSessions(SessionSettings(h, 1.0)).append(rows)
    events = got.key != END
    np.testing.assert_array_equal(got.history[events], served.history)
    np.testing.assert_array_equal(got.key[events], key)


@settings(max_examples=50)
@given(session_lists)
def test_pairs_count_what_a_plain_loop_counts(sessions: list[list[int]]) -> None:
    h, vocabulary = 3, Vocabulary(range(1, 6))
    expected: Counter[tuple[tuple[int, ...], int]] = Counter()
    for session in sessions:
        padded = [BEFORE_SESSION] * h + session + [END]
        for at in range(h, len(padded)):
            history = vocabulary.encode(np.array(padded[at - h : at])).tolist()
            expected[tuple(history), int(vocabulary.encode(np.array(padded[at])))] += 1
    once = distinct(arrays(sessions))
    got = pairs(windows(once.sessions, h), once.counts(np.arange(len(sessions))), vocabulary)
    rows = zip(map(tuple, got.history.tolist()), got.target.tolist(), got.count.tolist(), strict=True)
    assert {(history, target): count for history, target, count in rows} == expected
    assert len(got.target) == len(expected)


def test_sessions_that_were_not_chosen_leave_no_pair() -> None:
    once = distinct(arrays([[1], [2], [1]]))
    got = pairs(windows(once.sessions, 2), once.counts(np.array([0, 2])), Vocabulary([1, 2]))
    assert sorted(zip(got.history.tolist(), got.target.tolist(), got.count.tolist(), strict=True)) == [
        ([BOS, BOS], 4, 2),
        ([BOS, 4], EOS, 2),
    ]


def test_a_key_outside_the_vocabulary_is_history_but_no_target() -> None:
    given_windows = windows(arrays([[1, OVERFLOW, 1]]), 1)
    got = pairs(given_windows, np.array([1]), Vocabulary([1]))
    assert sorted(zip(got.history.tolist(), got.target.tolist(), strict=True)) == [([1], 4), ([2], 4), ([4], EOS)]


def test_an_empty_session_is_refused() -> None:
    with pytest.raises(DataError, match="session 1 has no event"):
        distinct(arrays([[1], []]))
