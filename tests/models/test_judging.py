"""A batch judged: peaks reach the session they belong to, whatever the batches, and a source without a model learns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.ensemble import Ensemble
from models.judge import Judge
from models.judging import Judged, judge_batch
from models.live import LiveSessions
from models.members.event import KeyMember
from models.parser import Events
from models.sessions import NO_KEY, Float64, Int64, Rows, SessionSettings, watermarks

SETTINGS = SessionSettings(tail=2, idle_s=10.0, lateness_s=0.0)
Line = tuple[str, int, float, bool]


class Size:
    """An event detector: a key is as strange as it is large. Its end is no event."""

    name = "size"
    window = 0
    judges_end = False

    def score(self, history: Int64, keys: Int64) -> Float64:
        return keys.astype(np.float64)

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        return {"template_id": key}


@pytest.fixture(scope="module")
def judge() -> Judge:
    # Of 1,000 normals the largest is 999: 990 and above counts, and beyond all of them rings.
    ensemble = Ensemble.fit({"size": np.random.default_rng(0).permutation(1000).astype(float)}, 0.001)
    return Judge([KeyMember(Size(), 0)], [], ensemble, frozenset(range(1000)))


def run(judge: Judge | None, batches: Sequence[Sequence[Line]], sweep: bool = True) -> list[Judged]:
    live = LiveSessions(SETTINGS)
    found = []
    largest = -np.inf
    for lines in batches:
        time = np.array([line[2] for line in lines])
        key = np.array([line[1] for line in lines], dtype=np.int64)
        ends = np.array([line[3] for line in lines])
        events = Events(np.arange(len(lines)), np.arange(len(lines)), [line[0] for line in lines], key, time, ends)
        marks = watermarks(time, largest, 0.0)
        largest = max(largest, float(time.max()))
        windows, closings = live.append(Rows(events.session, key, time, marks, ends))
        if sweep:
            closings += live.sweep(largest)
        judged = judge_batch("s", judge, SETTINGS, events, windows, closings, str)
        for peak in judged.peaks:
            live.raise_peak(peak.session, peak.started, peak.member, peak.raw)
        found.append(judged)
    return found


def ends_of(judged: Sequence[Judged]) -> list[tuple[str, bool, float]]:
    """Each closed session: its name, whether it rang, the largest size that was remembered."""
    return [
        (verdict["session"], verdict["anomalous"], closing.peaks.get(0, 0.0))
        for one in judged
        for verdict, closing in zip(one.ends, one.closings, strict=True)
    ]


def test_peak_of_the_batch_that_closes_the_session_counts(judge: Judge) -> None:
    (judged,) = run(judge, [[("a", 5000, 0.0, False), ("a", 1, 1.0, True)]])
    assert [verdict["anomalous"] for verdict in judged.lines] == [True, False]
    assert ends_of([judged]) == [("a", True, 5000.0)]
    assert judged.peaks == []


def test_peak_of_an_earlier_batch_counts_at_the_close(judge: Judge) -> None:
    judged = run(judge, [[("a", 5000, 0.0, False)], [("a", 1, 1.0, False)], [("a", NO_KEY, -np.inf, True)]])
    assert [len(one.peaks) for one in judged] == [1, 0, 0]
    assert ends_of(judged) == [("a", True, 5000.0)]


def test_peak_counts_where_the_sweep_of_the_same_batch_closes_the_session(judge: Judge) -> None:
    judged = run(judge, [[("a", 5000, 0.0, False), ("b", 1, 50.0, False)]])
    assert ends_of(judged) == [("a", True, 5000.0)]


def test_what_counts_for_nothing_is_not_remembered(judge: Judge) -> None:
    (judged,) = run(judge, [[("a", 980, 0.0, False)]])
    assert judged.peaks == []


LINES: list[Line] = [
    ("a", 5000, 7.0, False),
    ("a", NO_KEY, -np.inf, True),
    ("a", 1, 7.0, False),
    ("a", 2, 7.0, True),
    ("a", 6000, 7.0, True),
    ("a", 3, 7.0, False),
    ("b", 3, 70.0, False),
    ("a", 7000, 7.0, False),
    ("a", NO_KEY, -np.inf, True),
]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_epochs_that_begin_at_one_time_keep_their_own_peaks_whatever_the_batches(judge: Judge, size: int) -> None:
    judged = run(judge, [LINES[at : at + size] for at in range(0, len(LINES), size)])
    own = [end for end in ends_of(judged) if end[0] == "a"]
    assert own == [
        ("a", True, 5000.0),
        ("a", False, 0.0),
        ("a", True, 6000.0),
        ("a", False, 0.0),
        ("a", True, 7000.0),
    ]


def test_row_that_closes_an_idle_epoch_and_its_own_rings_in_its_own_only(judge: Judge) -> None:
    judged = run(judge, [[("a", 1, 0.0, False), ("b", 1, 50.0, False), ("a", 5000, 50.0, True)]], sweep=False)
    assert ends_of(judged) == [("a", False, 0.0), ("a", True, 5000.0)]


def test_source_without_a_model_is_learning_and_never_rings() -> None:
    (judged,) = run(None, [[("a", 5000, 0.0, False), ("a", 1, 1.0, True)]])
    assert [verdict["state"] for verdict in [*judged.lines, *judged.ends]] == ["learning"] * 3
    assert not any(verdict["anomalous"] or verdict["novel"] for verdict in [*judged.lines, *judged.ends])
    assert (judged.findings, judged.peaks, judged.rows, judged.closed) == ([], [], None, None)


def test_every_finding_is_a_verdict_that_rang(judge: Judge) -> None:
    judged = run(judge, [LINES])[0]
    rang = [verdict for verdict in [*judged.lines, *judged.ends] if verdict["anomalous"]]
    assert [finding.verdict for finding in judged.findings] == rang
    assert all(verdict["incident"] and verdict["reasons"] for verdict in rang)
    quiet = [verdict for verdict in [*judged.lines, *judged.ends] if not verdict["anomalous"]]
    assert not any(verdict["incident"] or verdict["reasons"] for verdict in quiet)
