"""A log streamed offline: the same verdicts in one batch or in many, and both session protocols."""

import numpy as np
import pytest

from models.bundle import Bundle
from models.parser import End
from models.verdict import Verdict
from tests.golden import blocks
from training.stream import Stream, whole_sessions
from training.train import Input, TrainSettings, train

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    given = Input(blocks.normal_log(), {}, None, NOW)
    settings = TrainSettings(detectors=("new_event", "length", "count_vector"))
    return train(blocks.source(), given, settings, version="1", tree_id="t", created=1.0)


def line(text: str, second: float = 0.0) -> str:
    return f"240503 0000{second:02.0f} 12 INFO store.Node: {text}"


def played(bundle: Bundle, size: int) -> tuple[list[Verdict], list[Verdict]]:
    """Verdicts of lines, and of ends in no order, with the golden log in batches of ``size``."""
    stream, log = Stream(bundle), blocks.golden_log()
    lines: list[Verdict] = []
    ends: list[Verdict] = []
    for start in range(0, len(log), size):
        batch = stream.feed(log[start : start + size], NOW)
        ends += batch.judged.ends
        for verdict in batch.judged.lines:
            assert verdict["index"] is not None
            lines.append({**verdict, "index": verdict["index"] + start})
    ends += stream.close().judged.ends
    return lines, ends


def plain(verdict: Verdict) -> tuple[object, ...]:
    """All but texts of templates, which widen as the log goes on."""
    reasons = tuple((reason["detector"], reason["raw"], reason["share"]) for reason in verdict["reasons"])
    names = ("index", "kind", "session", "template_id", "novel", "anomalous", "score", "state", "incident")
    return (*(verdict[name] for name in names), reasons)  # type: ignore[literal-required]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_verdicts_are_the_same_in_one_batch_or_in_many(bundle: Bundle, size: int) -> None:
    lines, ends = played(bundle, 10_000)
    own_lines, own_ends = played(bundle, size)
    assert [plain(v) for v in own_lines] == [plain(v) for v in lines]
    assert sorted(map(repr, map(plain, own_ends))) == sorted(map(repr, map(plain, ends)))
    assert any(v["anomalous"] for v in lines)
    assert any(v["anomalous"] for v in ends)


def test_end_record_closes_its_session_and_gives_a_verdict(bundle: Bundle) -> None:
    stream = Stream(bundle)
    stream.feed([line("served blk_1 to 10.0.0.3:5001")], NOW)
    batch = stream.feed([], NOW, ends=[End(0, "blk_1"), End(1, "blk_unknown")])
    assert [(v["kind"], v["session"], v["index"]) for v in batch.verdicts] == [("session", "blk_1", None)]
    assert stream.close().verdicts == []


def test_given_session_and_time_stand_above_the_lines_own(bundle: Bundle) -> None:
    stream = Stream(bundle)
    batch = stream.feed([line("served blk_1")], NOW, sessions=["mine"], times=[12.5])
    assert (batch.events.session, batch.events.time.tolist()) == (["mine"], [12.5])


def test_rejected_lines_are_told_and_the_others_judged(bundle: Bundle) -> None:
    batch = Stream(bundle).feed(["no header", line("served blk_1 to 10.0.0.3:5001")], NOW)
    assert [r.index for r in batch.rejected] == [0]
    assert [v["index"] for v in batch.verdicts] == [1]


def test_whole_sessions_are_not_ended_by_silence(bundle: Bundle) -> None:
    lines = [line("served blk_1", 0), line("served blk_2", 30)]
    times = [0.0, 1e6]
    live, whole = Stream(bundle), Stream(bundle, whole_sessions(bundle.manifest.session))
    assert len(live.feed(lines, NOW, times=times).judged.closings) == 1
    assert whole.feed(lines, NOW, times=times).judged.closings == []
    assert len(whole.close().judged.closings) == 2
    assert whole_sessions(bundle.manifest.session).idle_s == np.inf


def test_streaming_leaves_the_bundle_as_it_was(bundle: Bundle) -> None:
    before = len(bundle.tree())
    Stream(bundle).feed(blocks.golden_log(), NOW)
    assert len(bundle.tree()) == before
