"""Which frame a record counts in, when frames close, and what is kept of too much."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.autolog import frames as rule
from models.autolog.entity import EntityRule
from models.autolog.frames import OTHER, Counting, Frame, FrameCounter, frame_name, open_from, plan
from models.autolog.layout import Layout
from models.record import Records

LAYOUT = Layout(10.0, EntityRule("host"))
LATENESS_S = 5.0

Line = tuple[float, str, str]
"""Time, host, message."""


def records_of(lines: list[Line]) -> Records:
    n = len(lines)
    messages = pl.Series([line[2] for line in lines], dtype=pl.String)
    return Records(
        index=np.arange(n),
        message=messages,
        masked=messages,
        time=np.array([line[0] for line in lines], dtype=np.float64),
        fields=pl.DataFrame({"host": [line[1] for line in lines]}, schema={"host": pl.String}),
        session_record=np.arange(n),
        session=pl.Series(["s"] * n, dtype=pl.String),
        rejected=[],
    )


class Counted:
    """A counter fed batch by batch, closing what is due after each."""

    def __init__(self, chunk_s: float = LAYOUT.chunk_s) -> None:
        self.counter = FrameCounter(chunk_s)
        self.counting = Counting(Layout(chunk_s, LAYOUT.rule))
        self.largest = -np.inf
        self.frames: list[Frame] = []
        self.late = 0

    def feed(self, lines: list[Line]) -> "Counted":
        records = records_of(lines)
        self.late += self.counter.count(self.counting.tally(records, self.largest, LATENESS_S))
        self.largest = max(self.largest, float(records.time.max(initial=-np.inf)))
        self.frames += self.counter.close_due(self.largest - LATENESS_S)
        return self

    def end(self) -> "Counted":
        self.frames += self.counter.close_all()
        return self


def test_terms_are_counted_by_entity_and_frame() -> None:
    lines = [
        (0.0, "a", "up Up <NUM>"),
        (9.9, "b", "down"),
        (9.0, "a", "up <NUM>"),
        (10.0, "a", "up"),
        (3.0, "a", "..."),
    ]
    counted = Counted().feed(lines).end()
    assert counted.frames == [
        Frame(0, 4, {"a": {"<NUM>": 2, "up": 3}, "b": {"down": 1}}),
        Frame(1, 1, {"a": {"up": 1}}),
    ]
    assert counted.late == 0


def test_frame_closes_when_the_watermark_passes_its_end_and_nothing_reopens_it() -> None:
    counted = Counted().feed([(1.0, "a", "x"), (14.9, "a", "x")])
    assert counted.frames == []
    counted.feed([(15.0, "a", "x")])
    assert [frame.chunk for frame in counted.frames] == [0]
    counted.feed([(9.0, "a", "late"), (10.0, "a", "not")])
    assert counted.late == 1
    assert counted.end().frames[-1] == Frame(1, 3, {"a": {"not": 1, "x": 2}})


def test_wall_clock_closes_too_and_lines_after_it_are_late() -> None:
    counted = Counted().feed([(1.0, "a", "x")])
    counted.frames += counted.counter.close_due(30.0)
    assert [(frame.chunk, frame.lines) for frame in counted.frames] == [(0, 1), (1, 0), (2, 0)]
    counted.feed([(20.0, "a", "x"), (30.0, "a", "x")])
    assert counted.late == 1


def test_silence_gives_empty_frames_but_no_endless_row_of_them() -> None:
    counted = Counted().feed([(0.0, "a", "x"), (10.0 * 2_000_000, "a", "x")]).end()
    assert [frame.chunk for frame in counted.frames] == [*range(rule.EMPTY + 1), 2_000_000]
    assert all(frame.counts == {} for frame in counted.frames[1:-1])
    silent = Counted().feed([(0.0, "a", "x")])
    assert len(silent.counter.close_due(1e9)) == rule.EMPTY + 1
    assert silent.counter.close_due(2e9) == []
    # Having been silent for long makes nobody late.
    assert silent.feed([(5e8, "a", "x")]).late == 0
    assert silent.end().frames == [Frame(50_000_000, 1, {"a": {"x": 1}})]


@given(
    lines=st.lists(
        st.tuples(
            st.one_of(st.integers(0, 80).map(float), st.floats(-50, 80)), st.sampled_from("abc"), st.text("xy <N>.")
        ),
        max_size=40,
    ),
    size=st.integers(1, 40),
)
@settings(max_examples=100, deadline=None)
def test_frames_do_not_depend_on_how_lines_are_cut_into_batches(lines: list[Line], size: int) -> None:
    whole = Counted().feed(lines).end()
    parts = Counted()
    for start in range(0, len(lines), size):
        parts.feed(lines[start : start + size])
    parts.end()
    assert parts.frames == whole.frames
    assert parts.late == whole.late
    assert sum(frame.lines for frame in whole.frames) + whole.late == len(lines)


@pytest.mark.parametrize("time", [-1e300, -1.0, 1e15, 1e300])
def test_times_out_of_any_calendar_are_counted_and_named(time: float) -> None:
    (frame,) = Counted().feed([(time, "a", "x")]).end().frames
    assert frame.counts == {"a": {"x": 1}}
    assert frame_name(frame.chunk, 10.0).endswith("/10s")


def test_names_say_start_and_length() -> None:
    assert frame_name(open_from(1_714_521_600.0, 300.0), 300.0) == "2024-05-01T00:00:00Z/300s"
    assert frame_name(1, 0.5) == "1970-01-01T00:00:00.500000Z/0.5s"


def test_what_is_too_many_counts_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "ENTITIES", 1)
    monkeypatch.setattr(rule, "TERMS", 2)
    mate = next(name for name in (f"h{i}" for i in range(99)) if rule.bucket_of(name) == rule.bucket_of("a"))
    (frame,) = Counted().feed([(0.0, "a", "x y z z"), (0.0, mate, "x"), (1.0, "a", "x w")]).end().frames
    assert frame.counts == {"a": {OTHER: 3, "x": 2, "y": 1}, OTHER: {"x": 1}}
    assert frame.lines == 3


def test_plan_jumps_over_long_silences_and_stops_at_its_limits() -> None:
    assert plan(5, 4, [], 8, 100) == [5, 6, 7]
    assert plan(5, 4, [], 8, 2) == [5, 6]
    assert plan(5, 4, [], 5, 9) == []
    far = 4 + rule.EMPTY
    assert plan(far, 4, [], 10**12, 9) == [far]
    assert plan(far + 1, 4, [], 10**12, 9) == []
    assert plan(far, 4, [10**9], 10**12, 4) == [far, 10**9, 10**9 + 1, 10**9 + 2]


def test_empty_batch_counts_nothing() -> None:
    assert Counting(LAYOUT).tally(records_of([]), -np.inf, 5.0) == rule.Tally([], 0)


def test_terms_of_messages_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "_TERMS_KEPT", 3)
    counted = Counted()
    for word in "abcdefab":
        counted.feed([(0.0, "h", f"{word} {word}")])
    assert counted.end().frames[0].counts == {"h": {"a": 4, "b": 4, "c": 2, "d": 2, "e": 2, "f": 2}}
