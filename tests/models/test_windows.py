"""Windows of a batch worked out as columns, against the same row by row; and what sessions were before it."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.groups import Groups
from models.sessions import NO_KEY, Rows, SessionSettings, SessionState, watermarks
from models.windows import FEW, Priors, as_columns, build_windows, walked

NAMES = "abc"
keys = st.integers(0, 5) | st.just(NO_KEY)
rows_of_a_batch = st.lists(st.tuples(st.sampled_from(NAMES), keys, st.integers(0, 60), st.booleans()), max_size=40)


def state_of(started: int, length: int, tail: list[int]) -> SessionState:
    return SessionState(float(started), float(started + length), len(tail) + length, tuple(tail), {})


tails = st.lists(st.integers(0, 5), min_size=1, max_size=6)
states = st.none() | st.builds(state_of, st.integers(0, 30), st.integers(0, 20), tails)


def rows_of(batch: list[tuple[str, int, int, bool]]) -> Rows:
    key = np.array([row[1] for row in batch], dtype=np.int64)
    time = np.array([-np.inf if row[1] == NO_KEY else float(row[2]) for row in batch], dtype=np.float64)
    ends = np.array([row[3] or row[1] == NO_KEY for row in batch], dtype=np.bool_)
    return Rows([row[0] for row in batch], key, time, watermarks(time, -np.inf, 3.0), ends)


@given(rows_of_a_batch, st.fixed_dictionaries(dict.fromkeys(NAMES, states)), st.integers(0, 4))
def test_columns_come_to_what_the_walk_comes_to(
    batch: list[tuple[str, int, int, bool]], before: dict[str, SessionState | None], width: int
) -> None:
    rows = rows_of(batch)
    groups = Groups.by(rows.session)
    priors = Priors.of([before[name] for name in groups.names])
    rule = SessionSettings(tail=6, idle_s=10.0, lateness_s=3.0, window=width)
    found, expected = as_columns(rows, groups, priors, rule), walked(rows, groups, priors, rule)
    for name in ("history", "row", "position", "started"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name
    assert found.history.shape == expected.history.shape == (int((rows.key != NO_KEY).sum()), width)
    assert build_windows(rows, groups, priors, rule).history.tolist() == expected.history.tolist()


def test_few_rows_and_many_come_to_the_same_across_the_border() -> None:
    batch = [("a", at % 3, at, False) for at in range(FEW + 1)]
    rule = SessionSettings(tail=3, idle_s=10.0)
    histories = []
    for size in (FEW, FEW + 1):
        rows = rows_of(batch[:size])
        groups = Groups.by(rows.session)
        histories.append(build_windows(rows, groups, Priors.of([None]), rule).history.tolist())
    assert histories[1][:FEW] == histories[0]
    assert histories[1][FEW] == [1, 2, 0]


def test_rows_are_grouped_in_order_of_first_appearance() -> None:
    groups = Groups.by(["b", "a", "b", "c", "a"])
    assert groups.names == ["b", "a", "c"]
    assert [groups.rows(number).tolist() for number in range(len(groups))] == [[0, 2], [1, 4], [3]]
    assert len(Groups.by([])) == 0


def test_priors_are_joined_and_chosen() -> None:
    one = Priors.of([SessionState(1.0, 2.0, 9, (4, 5), {}), None])
    two = Priors.of([SessionState(3.0, 4.0, 1, (6,), {})])
    joined = Priors.joined([one, two])
    assert [joined.tail(at).tolist() for at in range(3)] == [[4, 5], [], [6]]
    chosen = joined.chosen(np.array([2, 0]))
    assert (chosen.n.tolist(), chosen.started.tolist(), chosen.last.tolist()) == ([1, 9], [3.0, 1.0], [4.0, 2.0])
    assert chosen.before(np.array([0, 1]), 3).tolist() == [[-1, -1, 6], [-1, 4, 5]]
    for column in dataclasses.fields(Priors):
        assert getattr(Priors.of([]), column.name).tolist() in ([], [0])
