"""Sessions and windows against the rule applied row by row, whatever the batches."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.groups import Groups
from models.live import LiveSessions
from models.sessions import (
    BEFORE_SESSION,
    NO_KEY,
    Closing,
    Rows,
    SessionSettings,
    SessionState,
    extend,
    watermarks,
    with_peak,
)
from models.windows import Priors, build_windows

Line = tuple[str, int, float, bool]
"""Session, key, time in seconds, whether it ends the session."""
Window = tuple[tuple[int, ...], int, float]
"""History, position and start of a session."""
Over = tuple[str, tuple[int, ...], float, float]
"""A closed session: name, keys, first time, last time."""

IDLE_S = 10.0
LATENESS_S = 3.0


@dataclass
class Epoch:
    started: float
    last: float
    keys: list[int] = field(default_factory=list)


def by_the_rule(lines: Sequence[Line], h: int) -> tuple[dict[int, Window], list[Over]]:
    """Windows by row, and closed sessions, one row after the other; all that lives at the end is closed."""
    live: dict[str, Epoch] = {}
    windows: dict[int, Window] = {}
    over: list[Over] = []

    def close(session: str) -> None:
        epoch = live.pop(session)
        over.append((session, tuple(epoch.keys), epoch.started, epoch.last))

    largest = -np.inf
    for row, (session, key, time, ends) in enumerate(lines):
        largest = max(largest, time)
        for name in list(live):
            if live[name].last + IDLE_S < largest - LATENESS_S:
                close(name)
        if key != NO_KEY:
            epoch = live.setdefault(session, Epoch(time, time))
            padded = [BEFORE_SESSION] * h + epoch.keys
            windows[row] = (tuple(padded[len(padded) - h :]), len(epoch.keys), epoch.started)
            epoch.keys.append(key)
            epoch.last = max(epoch.last, time)
        if ends and session in live:
            close(session)
    for name in list(live):
        close(name)
    return windows, over


def rows_of(lines: Sequence[Line], prior_max: float = -np.inf) -> Rows:
    time = np.array([line[2] for line in lines], dtype=np.float64)
    return Rows(
        session=[line[0] for line in lines],
        key=np.array([line[1] for line in lines], dtype=np.int64),
        time=time,
        watermark=watermarks(time, prior_max, LATENESS_S),
        ends=np.array([line[3] for line in lines], dtype=np.bool_),
    )


def in_batches(lines: Sequence[Line], cuts: Sequence[int], h: int) -> tuple[dict[int, Window], list[Closing]]:
    """As ``by_the_rule``, through ``LiveSessions`` in batches that begin at ``cuts``."""
    live = LiveSessions(SessionSettings(h, IDLE_S, LATENESS_S))
    windows: dict[int, Window] = {}
    closings: list[Closing] = []
    largest = -np.inf
    edges = sorted({0, *cuts, len(lines)})
    for start, stop in pairwise(edges):
        rows = rows_of(lines[start:stop], largest)
        largest = float(rows.time.max(initial=largest))
        found, closed = live.append(rows)
        for at, row in enumerate(found.row.tolist()):
            history = tuple(found.history[at].tolist())
            windows[start + row] = (history, int(found.position[at]), float(found.started[at]))
        closings += closed + live.sweep(largest - LATENESS_S)
    closings += live.close_all()
    assert len(live) == 0
    return windows, closings


lines_of_a_log = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(1, 5),
        st.integers(0, 60).map(float),
        st.booleans(),
        st.booleans(),
    ).map(lambda row: (row[0], NO_KEY, -np.inf, True) if row[4] and row[3] else row[:4]),
    max_size=40,
)


@given(lines_of_a_log, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 4))
def test_windows_and_closings_are_those_of_the_rule_whatever_the_batches(
    lines: list[Line], cuts: list[int], h: int
) -> None:
    expected, over = by_the_rule(lines, h)
    windows, closings = in_batches(lines, [cut for cut in cuts if cut < len(lines)], h)
    assert windows == expected
    assert sorted((c.session, c.state.n, c.state.started, c.state.last) for c in closings) == sorted(
        (name, len(keys), started, last) for name, keys, started, last in over
    )
    assert sorted((c.session, c.state.tail, sorted(c.state.counts.items())) for c in closings) == sorted(
        (name, keys[len(keys) - min(h, len(keys)) :], sorted(Counter(keys).items())) for name, keys, _, _ in over
    )


def test_row_that_comes_after_the_silence_opens_the_next_epoch() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    windows, closings = live.append(rows_of([("a", 1, 0.0, False), ("a", 2, 13.0, False), ("a", 3, 26.5, False)]))
    assert windows.history.tolist() == [[-1, -1], [-1, 1], [-1, -1]]
    assert [(c.row, c.state.n, c.state.last) for c in closings] == [(2, 2, 13.0)]
    state = live.state("a")
    assert state is not None
    assert (state.started, state.n) == (26.5, 1)


def test_one_row_may_close_an_idle_epoch_and_then_its_own() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    _, closings = live.append(rows_of([("a", 1, 0.0, False), ("b", 1, 50.0, False), ("a", 2, 50.0, True)]))
    assert [(c.session, c.row, dict(c.state.counts)) for c in closings] == [("a", 2, {1: 1}), ("a", 2, {2: 1})]
    assert live.state("a") is None


def test_end_record_closes_without_adding_an_event_and_moves_no_watermark() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    rows = rows_of([("a", 1, 5.0, False), ("a", NO_KEY, -np.inf, True), ("gone", NO_KEY, -np.inf, True)])
    windows, closings = live.append(rows)
    assert windows.row.tolist() == [0]
    assert rows.watermark.tolist() == [2.0, 2.0, 2.0]
    assert [(c.session, c.row, c.state.n) for c in closings] == [("a", 1, 1)]


def test_late_row_does_not_shorten_its_session() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    live.append(rows_of([("a", 1, 100.0, False), ("a", 2, 95.0, False)]))
    state = live.state("a")
    assert state is not None
    assert (state.started, state.last, state.tail) == (100.0, 100.0, (1, 2))


def test_sweep_closes_the_longest_silent_first_and_only_what_is_due() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    live.append(rows_of([("b", 1, 1.0, False), ("a", 1, 1.0, False), ("c", 1, 0.5, False), ("d", 1, 12.0, False)]))
    assert live.sweep(11.0)[0].session == "c"
    assert [c.session for c in live.sweep(11.1)] == ["a", "b"]
    assert live.state("d") is not None


def test_peak_is_the_largest_and_goes_with_its_epoch() -> None:
    live = LiveSessions(SessionSettings(2, IDLE_S, LATENESS_S))
    live.append(rows_of([("a", 1, 0.0, False)]))
    for raw in (2.0, 5.0, 3.0):
        live.raise_peak("a", 0.0, 1, raw)
    live.raise_peak("a", 99.0, 1, 50.0)
    live.raise_peak("unheard of", 0.0, 1, 50.0)
    _, (closing,) = live.append(rows_of([("a", 2, 1.0, True), ("a", 3, 2.0, False)]))
    assert closing.peaks == {1: 5.0}
    assert live.close_all()[0].peaks == {}
    assert with_peak(with_peak(closing, 1, 4.0), 0, 7.0).peaks == {0: 7.0, 1: 5.0}


def test_windows_need_only_the_state_before_the_batch() -> None:
    prior = SessionState(started=7.0, last=8.0, n=40, tail=(4, 5, 6), counts={4: 20, 5: 10, 6: 10})
    rows = rows_of([("a", 1, 9.0, False), ("b", 2, 9.0, False)])
    windows = build_windows(
        rows, Groups.by(rows.session), Priors.of([prior, None]), SessionSettings(5, IDLE_S, LATENESS_S)
    )
    assert windows.history.tolist() == [[-1, -1, 4, 5, 6], [-1] * 5]
    assert windows.position.tolist() == [40, 0]
    assert windows.started.tolist() == [7.0, 9.0]


def test_state_keeps_no_more_of_its_tail_than_asked() -> None:
    state = extend(None, [1, 2, 3, 2], 0.0, 1.0, 2)
    assert (state.tail, state.n, state.counts) == ((3, 2), 4, {1: 1, 2: 2, 3: 1})
    assert extend(state, [9], 0.0, 2.0, 0).tail == ()


@pytest.mark.parametrize("h", [0, 3])
def test_nothing_gives_nothing(h: int) -> None:
    windows, closings = LiveSessions(SessionSettings(h, IDLE_S)).append(rows_of([]))
    assert windows.history.shape == (0, h)
    assert closings == []
