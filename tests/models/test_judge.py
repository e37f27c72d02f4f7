"""The judge: a cache that changes nothing, one threshold for rows and sessions, and reasons in order of weight."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines.count_vector import CountVector
from models.baselines.new_event import NewEvent
from models.ensemble import Ensemble
from models.judge import Judge
from models.judgement import end_histories
from models.members.cache import RawCache
from models.members.ended import CountMember, SequenceMember
from models.members.event import KeyMember, Observed, TextMember, TimingMember, ValueMember
from models.notes import ValueWindows
from models.sessions import SEGMENT, Closing, Float64, Int64, SessionState
from models.vocabulary import END
from models.windows import FullSegment, Windows


class Sum:
    """An event detector without a network: the sum of window and key, and of nothing else."""

    name = "sum"
    judges_end = True

    def __init__(self, window: int = 2) -> None:
        self.window = window
        self.asked = 0

    def score(self, history: Int64, keys: Int64) -> Float64:
        assert history.shape == (len(keys), self.window)
        self.asked += len(keys)
        return (history.sum(axis=1) + 10 * np.abs(keys)).astype(np.float64)

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        return {"template_id": key, "before": history.tolist()}


def closing(counts: Mapping[int, int], tail: Sequence[int] = (), peaks: Mapping[int, float] | None = None) -> Closing:
    n = sum(counts.values())
    return Closing("s", SessionState(0.0, 1.0, n, tuple(tail), dict(counts)), dict(peaks or {}), None)


def observed(history: Int64, keys: Int64, texts: Sequence[str] = ()) -> Observed:
    n = len(keys)
    return Observed(Windows(history, np.arange(n), np.arange(n), np.zeros(n)), keys, texts)


NORMALS = 1000


def judge_of(budget: float = 0.01) -> Judge:
    """New event, ``Sum`` and count vector, calibrated on a thousand normals with a rare tail each."""
    rng = np.random.default_rng(3)
    raws = {
        "new_event": np.where(np.arange(NORMALS) % 500 == 0, 1.0, 0.0),
        "sum": rng.permutation(NORMALS).astype(np.float64) / 10,
        "count_vector": rng.permutation(NORMALS).astype(np.float64) / (2 * NORMALS),
    }
    known = [1, 2, 3]
    return Judge(
        [KeyMember(NewEvent(np.array(known)), 0), KeyMember(Sum(), 1)],
        [CountMember(CountVector([{1: 1, 2: 1}]), 2)],
        Ensemble.fit(raws, budget),
        frozenset(known),
    )


batches = st.lists(
    st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4), st.integers(-1, 4), st.integers(1, 4)), max_size=12),
    max_size=5,
)


@given(batches, st.integers(0, 12), st.integers(0, 3))
def test_cached_outputs_are_the_direct_ones_whatever_the_capacity(
    asked: list[list[tuple[int, int, int, int]]], capacity: int, window: int
) -> None:
    cache = RawCache(Sum(window), capacity)
    direct = Sum(window)
    for batch in asked:
        cells = np.array(batch, dtype=np.int64).reshape(-1, 4)
        np.testing.assert_array_equal(
            cache.score(cells[:, :3], cells[:, 3]), direct.score(cells[:, 3 - window : 3], cells[:, 3])
        )


def test_cache_asks_for_each_distinct_window_once_and_counts() -> None:
    detector = Sum()
    cache = RawCache(detector)
    history, keys = np.array([[1, 2], [1, 2], [9, 1]]), np.array([3, 3, 3])
    cache.score(history, keys)
    assert (detector.asked, cache.take_counts()) == (2, (1, 2))
    cache.score(np.array([[7, 1, 2]]), np.array([3]))
    assert (detector.asked, cache.take_counts()) == (2, (1, 0))
    assert cache.take_counts() == (0, 0)


def test_full_cache_is_dropped_and_filled_anew() -> None:
    detector = Sum(1)
    cache = RawCache(detector, 2)
    same = np.array([[7]])
    for key in (1, 2, 3, 3, 1):
        cache.score(same, np.array([key]))
    assert detector.asked == 4


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=20),
    st.dictionaries(st.integers(1, 5), st.integers(1, 3)),
    st.sampled_from([0.001, 0.01, 0.2]),
)
def test_session_is_anomalous_wherever_a_row_of_it_is(
    cells: list[tuple[int, int, int]], counts: dict[int, int], budget: float
) -> None:
    judge = judge_of(budget)
    table = np.array(cells, dtype=np.int64)
    rows = judge.rows(observed(table[:, :2], table[:, 2]))
    np.testing.assert_array_equal(rows.anomalous, rows.evidence >= judge.ensemble.threshold)
    peaks: dict[int, float] = {}
    for peak in judge.peaks(rows):
        peaks[peak.member] = max(peak.raw, peaks.get(peak.member, -np.inf))
    closed = judge.closings([closing(counts, (), peaks)])
    assert closed.evidence[0] >= rows.evidence.max()
    assert closed.anomalous[0] or not rows.anomalous.any()


def test_row_without_enough_evidence_does_not_ring_and_has_a_score() -> None:
    judge = judge_of()
    rows = judge.rows(observed(np.array([[1, 1], [1, 1]]), np.array([1, 50])))
    assert rows.anomalous.tolist() == [False, True]
    assert 0.0 <= rows.score[0] < rows.score[1] <= 1.0


def test_end_of_a_session_is_an_event_to_members_that_judge_it() -> None:
    judge = judge_of()
    quiet = closing({1: 1, 2: 1}, (1, 2))
    loud = closing({1: 1, 2: 1}, (500, 600))
    closed = judge.closings([quiet, loud])
    assert closed.raws["sum"].tolist() == [1 + 2 + 20, 500 + 600 + 20]
    assert closed.raws["new_event"].tolist() == [-np.inf, -np.inf]
    assert closed.anomalous.tolist() == [False, True]


def test_reasons_are_the_members_that_took_part_the_strongest_first() -> None:
    judge = judge_of()
    history = np.array([7, 8, 2])
    events = observed(history[None, :], np.array([9]))
    rows = judge.rows(events)
    reasons = judge.explainer.row_reasons(rows, 0, events)
    assert {reason.detector for reason in reasons} == {"new_event", "sum"}
    assert [reason.share for reason in reasons] == sorted((reason.share for reason in reasons), reverse=True)
    assert sum(reason.share for reason in reasons) == pytest.approx(1.0)
    own = next(reason for reason in reasons if reason.detector == "sum")
    assert own.because == {"template_id": 9, "before": [8, 2]}


def test_session_says_whether_its_end_or_an_earlier_event_rang() -> None:
    judge = judge_of()
    by_end = closing({1: 1, 2: 1}, (500, 600))
    by_event = closing({1: 1, 2: 1}, (1, 2), {1: 5000.0})
    closed = judge.closings([by_end, by_event])
    (end,) = judge.explainer.closing_reasons(closed, 0, by_end)
    (event,) = judge.explainer.closing_reasons(closed, 1, by_event)
    assert end.because == {"template_id": END, "before": [500, 600]}
    assert event.because == {"at": "an earlier event of this session"}
    assert event.raw == 5000.0


def test_nothing_to_judge_is_no_error() -> None:
    judge = judge_of()
    assert len(judge.rows(observed(np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.int64))).evidence) == 0
    assert len(judge.closings([]).evidence) == 0


def test_end_histories_are_padded_on_the_left() -> None:
    assert end_histories([closing({}, (1, 2, 3)), closing({}, (4,))], 2).tolist() == [[2, 3], [-1, 4]]


class Pauses:
    """A timing detector: a pause is as strange as it is long."""

    name = "pauses"

    def score_pauses(self, previous: Int64, keys: Int64, elapsed: Float64) -> Float64:
        return elapsed

    def explain(self, previous: int, key: int, elapsed: float) -> dict[str, Any]:
        return {"template_id": key, "previous": {"template_id": previous}, "elapsed": elapsed}


class Magnitude:
    """A value detector: a vector is as strange as its largest cell."""

    name = "magnitude"
    window = 1
    width = 2

    def reads(self, keys: Int64) -> Any:
        return keys == 1

    def read(self, key: int, tokens: Sequence[str], message: str) -> Float64:
        return np.array([float(len(message))])

    def score_values(self, keys: Int64, history: Float64, values: Float64) -> Float64:
        return np.nanmax(values, axis=1)

    def explain(self, key: int, history: Float64, values: Float64) -> dict[str, Any]:
        return {"template_id": key, "token": int(np.nanargmax(values)), "ordinal": 0, "observed": np.nanmax(values)}


class Shout:
    """A text detector: capitals are strange."""

    name = "shout"

    def __init__(self) -> None:
        self.asked = 0

    def prepare(self, masked: Sequence[str]) -> list[str]:
        return [text.strip() for text in masked]

    def score_texts(self, texts: Sequence[str]) -> Float64:
        self.asked += len(texts)
        return np.array([sum(letter.isupper() for letter in text) for text in texts], dtype=np.float64)

    def explain(self, text: str) -> dict[str, Any]:
        return {"text": text}


class Longest:
    """A sequence detector: a sequence is as strange as its largest key."""

    name = "longest"

    def score_sequences(self, sequences: Sequence[Int64]) -> Float64:
        return np.array([float(sequence.max()) for sequence in sequences])

    def explain(self, sequence: Int64) -> dict[str, Any]:
        return {"template_id": int(sequence.max()), "events": len(sequence)}


def every_kind(texts: Shout, after: tuple[str, float] | None = None) -> Judge:
    random = np.random.default_rng(0)
    raws = {name: random.permutation(NORMALS) / 1e3 for name in ("pauses", "magnitude", "shout")}
    raws |= {name: random.permutation(NORMALS).astype(np.float64) for name in ("longest", "sum")}
    events = [KeyMember(Sum(), 1), TimingMember(Pauses(), 4), ValueMember(Magnitude(), 5, after), TextMember(texts, 6)]
    ensemble = Ensemble.fit({name: raw.astype(np.float64) for name, raw in raws.items()}, 0.05)
    return Judge(events, [SequenceMember(Longest(), 9)], ensemble, frozenset([1, 2]))


def noted(elapsed: float, value: float, text: str) -> Observed:
    """One event of template 1 after template 2."""
    values = ValueWindows(np.array([0]), np.full((1, 1, 2), np.nan), np.array([[elapsed, value]]))
    windows = Windows(np.array([[1, 2]]), np.array([0]), np.array([2]), np.zeros(1), np.array([elapsed]), values)
    return Observed(windows, np.array([1]), [text])


@pytest.mark.parametrize(
    ("event", "leading", "because", "scopes"),
    [
        (noted(50.0, 0.0, "a"), "pauses", {"template_id": 1, "previous": {"template_id": 2}, "elapsed": 50.0},
         ["window", "template"]),
        (noted(0.0, 60.0, "a"), "magnitude", {"template_id": 1, "token": 1, "ordinal": 0, "observed": 60.0},
         ["parameter", "template"]),
        (noted(0.0, 0.0, " PANIC "), "shout", {"text": "PANIC"}, ["text", "template"]),
    ],
)  # fmt: skip
def test_each_kind_of_member_reads_its_part_of_an_event_and_says_why(
    event: Observed, leading: str, because: dict[str, Any], scopes: list[str]
) -> None:
    judge = every_kind(Shout())
    rows = judge.rows(event)
    reasons = {reason.detector: reason.because for reason in judge.explainer.row_reasons(rows, 0, event)}
    assert rows.anomalous.tolist() == [True]
    assert reasons[leading] == because
    assert [clause.scope for clause in judge.explainer.row_clauses(leading, event, 0)] == scopes


def test_values_are_judged_where_the_key_itself_was_expected() -> None:
    event = noted(0.0, 60.0, "a")
    assert every_kind(Shout(), ("sum", 1000.0)).rows(event).raws["magnitude"].tolist() == [60.0]
    judge = every_kind(Shout(), ("sum", 13.0))
    assert judge.rows(event).raws["sum"].tolist() == [13.0]
    assert np.isnan(judge.rows(event).raws["magnitude"]).all()


def test_a_text_is_asked_about_once() -> None:
    texts = Shout()
    judge = every_kind(texts)
    for _ in range(3):
        judge.rows(noted(0.0, 0.0, "Loud"))
    assert texts.asked == 1


def test_a_sequence_is_judged_in_segments_and_the_strangest_stands_for_the_session() -> None:
    judge = every_kind(Shout())
    loud = FullSegment(0, np.full(SEGMENT, 5000))
    (peak,) = judge.peaks(judge.rows(noted(0.0, 0.0, "a")), [loud])
    assert (peak.member, peak.raw) == (9, 5000.0)
    tail = (1, 2) * (SEGMENT // 2)
    state = SessionState(0.0, 1.0, SEGMENT + 2, tail, {1: 257, 2: 257})
    assert state.segment.tolist() == [1, 2]
    ended = [Closing("s", state, {peak.member: peak.raw}), Closing("s", state)]
    closed = judge.closings(ended)
    assert closed.raws["longest"].tolist() == [5000.0, 2.0]
    assert closed.anomalous.tolist() == [True, False]
    (reason,) = judge.explainer.closing_reasons(closed, 0, ended[0])
    assert reason.because == {"at": "an earlier segment of this session"}


def test_a_member_that_the_ensemble_does_not_know_is_scored_and_has_no_say() -> None:
    ensemble = Ensemble.fit({"sum": np.arange(NORMALS, dtype=np.float64)}, 0.05)
    judge = Judge([KeyMember(Sum(), 1), TextMember(Shout(), 6)], [], ensemble, frozenset())
    rows = judge.rows(noted(0.0, 0.0, "PANIC"))
    assert rows.raws["shout"].tolist() == [5.0]
    assert rows.evidence.tolist() == [0.0]
    assert [peak.member for peak in judge.peaks(rows)] == []
