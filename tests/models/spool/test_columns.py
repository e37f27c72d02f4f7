"""Spooled events and sessions: as bytes, as columns, and back."""

import numpy as np
import pytest

from models.judge import Judge
from models.members.event import Observed
from models.notes import CodeWindows, NoteSettings, ValueWindows
from models.sessions import Closing, SessionState
from models.spool import closings as ends
from models.spool.layout import Layout
from models.spool.rows import columns, joined, layout_of, observed, pack
from models.windows import Windows
from tests.service.serving import every_kind_bundle

RANDOM = np.random.default_rng(5)
FULL = Layout(4, NoteSettings(pauses=True, values=3, width=2, codes=2, fields=3), texts=True, tail=7)


def events(size: int) -> Observed:
    """Events with everything that may be read of one; every third has a value vector."""
    at = np.arange(0, size, 3)
    before = RANDOM.normal(size=(len(at), 3, 2))
    before[0, 0] = np.nan
    windows = Windows(
        history=RANDOM.integers(-1, 50, (size, 4)),
        row=np.arange(size),
        position=np.zeros(size, dtype=np.int64),
        started=np.zeros(size),
        elapsed=np.where(np.arange(size) % 2, 0.5, np.nan),
        values=ValueWindows(at, before, RANDOM.normal(size=(len(at), 2))),
        codes=CodeWindows(RANDOM.integers(-1, 9, (size, 2, 3)), RANDOM.integers(0, 9, (size, 3))),
    )
    return Observed(windows, RANDOM.integers(0, 50, size), [f"Zeile {i} über <NUM>" for i in range(size)])


def through(rows: Observed, layout: Layout, need: Layout) -> Observed:
    names = pack(layout, rows, np.zeros(len(rows.key), dtype=np.bool_), ())
    return observed(columns(layout, dict.fromkeys(names, 1)), need)


def assert_same(one: Observed, other: Observed) -> None:
    a, b = one.windows, other.windows
    np.testing.assert_array_equal(one.key, other.key)
    np.testing.assert_array_equal(a.history, b.history)
    assert list(one.texts) == list(other.texts)
    assert (a.elapsed is None, a.values is None, a.codes is None) == (
        b.elapsed is None,
        b.values is None,
        b.codes is None,
    )
    if a.elapsed is not None and b.elapsed is not None:
        np.testing.assert_array_equal(a.elapsed, b.elapsed)
    if a.values is not None and b.values is not None:
        np.testing.assert_array_equal(a.values.at, b.values.at)
        np.testing.assert_array_equal(a.values.history, b.values.history)
        np.testing.assert_array_equal(a.values.values, b.values.values)
    if a.codes is not None and b.codes is not None:
        np.testing.assert_array_equal(a.codes.earlier, b.codes.earlier)
        np.testing.assert_array_equal(a.codes.codes, b.codes.codes)


@pytest.mark.parametrize("size", [1, 10])
def test_events_come_back_as_they_were(size: int) -> None:
    rows = events(size)
    assert Layout.of(rows, texts=True, tail=7) == FULL
    assert_same(through(rows, FULL, FULL), rows)


def test_events_without_notes_come_back_as_they_were() -> None:
    bare = Layout(0, NoteSettings(), texts=False, tail=0)
    rows = Observed(
        Windows(np.empty((3, 0), dtype=np.int64), *[np.zeros(3, dtype=np.int64)] * 2, np.zeros(3)), np.arange(3)
    )
    assert_same(through(rows, bare, bare), rows)


def test_a_version_that_reads_less_gets_the_newest() -> None:
    rows = events(7)
    need = Layout(2, NoteSettings(pauses=True, values=1, width=2, codes=1, fields=3), texts=False, tail=0)
    got = through(rows, FULL, need)
    np.testing.assert_array_equal(got.windows.history, rows.windows.history[:, 2:])
    assert got.windows.values is not None
    assert rows.windows.values is not None
    np.testing.assert_array_equal(got.windows.values.history, rows.windows.values.history[:, 2:])
    assert got.windows.codes is not None
    assert rows.windows.codes is not None
    np.testing.assert_array_equal(got.windows.codes.earlier, rows.windows.codes.earlier[:, 1:])
    assert not got.texts


@pytest.mark.parametrize(
    "more",
    [
        Layout(5, NoteSettings(), texts=False, tail=0),
        Layout(1, NoteSettings(values=4, width=2), texts=False, tail=0),
        Layout(1, NoteSettings(values=1, width=3), texts=False, tail=0),
        Layout(1, NoteSettings(codes=1, fields=2), texts=False, tail=0),
    ],
)
def test_what_reads_more_or_other_things_is_not_held(more: Layout) -> None:
    assert not FULL.holds(more)
    assert FULL.holds(FULL)
    assert not Layout(4, NoteSettings(), texts=False, tail=0).holds(Layout(4, NoteSettings(pauses=True), False, 0))
    assert not Layout(4, NoteSettings(), texts=False, tail=0).holds(Layout(4, NoteSettings(), True, 0))


def test_equal_events_are_equal_bytes_and_any_difference_tells() -> None:
    rows = events(4)
    twice = joined([rows, rows])
    quiet = np.zeros(8, dtype=np.bool_)
    names = pack(FULL, twice, quiet, ())
    assert names[:4] == names[4:]
    assert len(set(names)) == 4
    rang = quiet.copy()
    rang[0] = True
    assert pack(FULL, twice, rang, ())[0] != names[0]
    assert pack(FULL, twice, quiet, {1})[1] not in names
    other = Observed(rows.windows, rows.key, ["other words", *rows.texts[1:]])
    assert pack(FULL, other, quiet[:4], ())[0] not in names


def test_parts_are_joined_with_their_value_vectors_in_place() -> None:
    one, other = events(5), events(4)
    both = joined([one, other])
    assert both.windows.values is not None
    assert both.windows.values.at.tolist() == [0, 3, 5, 8]
    np.testing.assert_array_equal(both.windows.history[5:], other.windows.history)


def test_columns_tell_flags_and_counts() -> None:
    rows = events(3)
    names = pack(FULL, rows, np.array([True, False, False]), {2})
    frame = columns(FULL, {names[0]: 1, names[1]: 5, names[2]: 2})
    assert frame["anomalous"].to_list() == [True, False, False]
    assert frame["silenced"].to_list() == [False, False, True]
    assert frame["count"].to_list() == [1, 5, 2]
    assert layout_of(frame, tail=7) == FULL


def test_closed_sessions_come_back_and_equal_ones_are_one() -> None:
    states = [
        SessionState(10.0, 20.0, 3, (1, 2), {1: 2, 2: 1}),
        SessionState(30.0, 40.0, 3, (1, 2), {2: 1, 1: 2}),
        SessionState(50.0, 60.0, 3, (1, 3), {1: 2, 3: 1}),
    ]
    given = [Closing(f"s{i}", state, {1: 4.5} if i == 2 else {}) for i, state in enumerate(states)]
    packed = ends.pack(given, np.array([False, False, True]), ())
    assert packed[0] == packed[1] != packed[2]
    frame = ends.columns({packed[0]: (2, ends.first(given[0])), packed[2]: (1, ends.first(given[2]))})
    assert ends.closings(frame) == [given[0], given[2]]
    assert frame["count"].to_list() == [2, 1]
    assert frame["anomalous"].to_list() == [False, True]


def test_what_a_judge_reads_is_its_layout() -> None:
    bundle = every_kind_bundle()
    judge: Judge = bundle.judge()
    need = Layout.needed(judge)
    settings = bundle.manifest.session
    assert (need.width, need.notes, need.tail) == (settings.width, settings.notes, settings.tail)
