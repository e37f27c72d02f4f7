"""A window counts the last hour, or the last so many things, and nothing else, in bounded memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.drift.window import OLDEST_S, SLOTS, SPAN_S, Window

ONE = np.array([1, 0])
OTHER = np.array([0, 1])


def test_what_is_older_than_an_hour_is_forgotten_once_enough_came_since() -> None:
    window = Window(2, 10)
    window.add(ONE * 50, 50, 0.0)
    window.add(OTHER * 9, 9, SPAN_S)
    window.add(OTHER, 1, 2 * SPAN_S - 1.0)
    assert (window.number, window.counts.tolist()) == (60, [50, 10])
    window.forget(2 * SPAN_S)
    assert (window.number, window.counts.tolist()) == (10, [0, 10])


def test_a_slow_source_is_counted_further_back_than_an_hour() -> None:
    window = Window(2, 100)
    for hour in range(150):
        window.add(ONE if hour < 20 else OTHER, 1, hour * SPAN_S)
    # Enough are kept, and little more.
    assert 100 <= window.number <= 102
    assert window.counts.tolist() == [0, window.number]


def test_a_slow_source_needs_no_more_memory() -> None:
    window = Window(1, 5_000)
    for minute in range(6_000):
        window.add(np.array([1]), 1, minute * 100.0)
    assert window.number >= 5_000
    assert window.slots <= 2 * SLOTS + 2


def test_nothing_is_older_than_seven_days() -> None:
    window = Window(2, 100)
    window.add(ONE * 30, 30, 0.0)
    window.add(OTHER * 5, 5, OLDEST_S / 2)
    window.forget(OLDEST_S * 1.5 + 1.0)
    assert window.counts.tolist() == [0, 5]
    window.forget(OLDEST_S * 3)
    assert (window.number, window.slots) == (0, 0)


def test_a_time_that_goes_back_is_taken_for_now() -> None:
    window = Window(2, 10)
    window.add(ONE, 1, 5_000.0)
    window.add(OTHER, 1, 10.0)
    assert (window.counts.tolist(), window.slots) == ([1, 1], 1)


@given(st.lists(st.tuples(st.floats(0.0, 3_000.0), st.integers(1, 400)), max_size=300), st.integers(1, 3_000))
def test_memory_is_bounded_and_the_newest_are_always_counted(steps: list[tuple[float, int]], least: int) -> None:
    window, now, given_ = Window(1, least), 0.0, []
    for pause, number in steps:
        now += pause
        given_.append((now, number))
        window.add(np.array([number]), number, now)
        assert window.counts.tolist() == [window.number]
        assert window.slots <= 2 * SLOTS + 2
        assert window.number >= sum(n for at, n in given_ if at > now - SPAN_S)
    every = sum(n for at, n in given_ if at > now - OLDEST_S)
    assert window.number >= min(least, every)
