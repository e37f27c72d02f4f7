"""The sample of training windows: every distinct one with its count, no more than fit, readable without pickle."""

import io
from collections import Counter

import numpy as np

from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import END
from training.rehearsal import HELD, SAMPLE, held_windows, sample_windows, without_held

Windows = dict[tuple[int, ...], int]


def read(data: bytes) -> Windows:
    with np.load(io.BytesIO(data), allow_pickle=False) as sample:
        assert sample["history"].dtype == sample["key"].dtype == np.int16
        rows = np.column_stack([sample["history"], sample["key"]]).tolist()
        return {tuple(row): count for row, count in zip(rows, sample["count"].tolist(), strict=True)}


def test_every_event_and_the_end_are_windows_with_their_counts() -> None:
    sessions = [np.array([1, 2]), np.array([1, 2]), np.array([1])]
    assert read(sample_windows(sessions, 2, 0)) == {
        (BEFORE_SESSION, BEFORE_SESSION, 1): 3,
        (BEFORE_SESSION, 1, 2): 2,
        (1, 2, END): 2,
        (BEFORE_SESSION, 1, END): 1,
    }


def read_all(sessions: list[Int64]) -> Windows:
    """Every window of sessions of three different keys each."""
    found: Counter[tuple[int, ...]] = Counter()
    for a, b, c in (session.tolist() for session in sessions):
        found.update([(BEFORE_SESSION, BEFORE_SESSION, a), (BEFORE_SESSION, a, b), (a, b, c), (b, c, END)])
    return found


def test_larger_ones_are_sampled_by_the_seed() -> None:
    many = [np.arange(at, at + 3) for at in range(1, 6001)]
    sample = sample_windows(many, 2, 1)
    assert sample == sample_windows(many, 2, 1) != sample_windows(many, 2, 2)
    found = read(sample)
    assert len(found) == SAMPLE
    assert found.items() <= read_all(many).items()


def test_marks_are_no_keys_in_disguise() -> None:
    """Windows that differ only in a mark and its neighbour stay apart."""
    random = np.random.default_rng(3)
    sessions = [random.integers(0, 3, 3) for _ in range(200)]
    assert read(sample_windows(sessions, 2, 0)) == dict(read_all(sessions))


def test_a_fifth_of_the_distinct_windows_is_kept_from_teaching_whatever_else_there_is() -> None:
    random = np.random.default_rng(4)
    rows = np.unique(random.integers(-1, 40, (5000, 4)), axis=0)
    held = held_windows(rows[:, :3], rows[:, 3])
    assert abs(held.mean() - 1 / HELD) < 0.03
    some = random.permutation(len(rows))[:500]
    assert (held_windows(rows[some, :3], rows[some, 3]) == held[some]).all()


def test_what_is_kept_is_not_taught_by_the_keys_that_are_read() -> None:
    sessions = [np.array([at, at + 1, at + 2]) for at in range(1, 200)]
    sample = sample_windows(sessions, 3, 0)
    every, taught = read(sample), read(without_held(sample, 2))
    rows = np.array(list(every))
    held = held_windows(rows[:, 1:3], rows[:, 3])
    assert set(taught) == set(map(tuple, rows[~held].tolist())) != set(every)
    assert taught.items() <= every.items()
