"""Timeframes called normal stop ringing, and nothing else of AutoLog changes by that."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.autolog.detector import NEW_ENTITY, Frame
from models.autolog.judge import FrameJudge
from models.errors import BundleError
from models.graph import Graph
from models.sessions import Float64
from tests.training.autolog.test_fit import SMALL, log, nothing_in, records_of
from training.autolog import fit_records
from training.autolog.frames import frames_of
from training.autolog.rehearsal import LARGEST, REPLAY, read_rows, sample_rows
from training.autolog.teach import GRAPH, RISE, STATE, WEIGHTS, teach_autolog
from training.learning.teaching import Learned, Part, Taught
from training.onnx import from_safetensors
from training.progress import silent

NORMAL: Frame = {"a": {"start": 3, "stop": 3, "<NUM>": 6}, "b": {"start": 2, "<NUM>": 2}, "c": {"stop": 3, "<NUM>": 3}}
BACKUP: Frame = {**NORMAL, "b": {"backup": 6, "written": 6, "start": 2, "<NUM>": 9}}
FLOOD: Frame = {**NORMAL, "c": {f"panic{i}": 40 for i in range(9)}}
NEWCOMER: Frame = {**NORMAL, "d": {"start": 4, "<NUM>": 4}}


@cache
def part() -> Part:
    records = records_of(log(300))
    fitted = fit_records(records, nothing_in(records), replace(SMALL, percentile=98.0), seed=1)
    return Part("autolog", fitted.settings, fitted.files, fitted.threshold)


def judge(settings: Part | Learned) -> FrameJudge:
    return FrameJudge.load(settings.settings, {**part().files, **settings.files})


def raws(given: Part | Learned, frames: list[Frame]) -> Float64:
    return judge(given).detector.score_frames(frames)


def rings(given: Part | Learned, frames: list[Frame]) -> list[bool]:
    return [bool(raw >= judge(given).threshold) for raw in raws(given, frames)]


def teach(*taught: Taught, of: Part | None = None) -> Learned | None:
    return teach_autolog(of or part(), taught, 0, silent)


def learned(*taught: Taught) -> Learned:
    found = teach(*taught)
    assert found is not None
    return found


def test_a_timeframe_called_normal_falls_below_the_bar_and_a_real_anomaly_keeps_ringing() -> None:
    assert rings(part(), [BACKUP, FLOOD]) == [True, True]
    after = learned(Taught({"frame": BACKUP}, True), Taught({"frame": FLOOD}, False))
    assert rings(after, [BACKUP, FLOOD]) == [False, True]
    assert after.settings["threshold"] == part().bar
    told = after.told
    assert (told["lessons"], told["below"], told["protected"], told["new_entities"]) == (1, 1, 1, [])
    assert 0 < told["steps"] <= 200
    assert told["seconds"] < 20.0


def test_frames_of_another_day_ring_no_more_than_before() -> None:
    after = learned(Taught({"frame": BACKUP}, True))
    other = [
        frame.counts for frame in frames_of(records_of(log(300, seed=9)), judge(part()).detector.layout, 60).frames
    ]
    # These were not rehearsed: one in a hundred may tip over.
    assert sum(rings(after, other)) <= sum(rings(part(), other)) + 3
    rows = read_rows(part().files, 3)
    assert rows is not None
    assert len(rows) == 300
    before, now = (judge(one).detector._network.run(scores=rows)[0] for one in (part(), after))
    assert (now >= part().bar).sum() <= (before >= part().bar).sum()
    assert np.corrcoef(before, now)[0, 1] > 0.9


def test_an_entity_called_normal_is_taken_in_and_what_it_writes_still_matters() -> None:
    assert raws(part(), [NEWCOMER])[0] == NEW_ENTITY
    after = learned(Taught({"frame": NEWCOMER}, True))
    loud: Frame = {**NORMAL, "d": {f"panic{i}": 40 for i in range(9)}}
    other: Frame = {**NORMAL, "e": {"start": 1}}
    assert rings(after, [NEWCOMER, NORMAL, loud, other]) == [False, False, True, True]
    assert after.told["new_entities"] == ["d"]
    # It may be taught again from there, and what it learned is rehearsed.
    on = Part("autolog", after.settings, {**part().files, **after.files}, after.settings["threshold"])
    rows = read_rows(on.files, 4)
    assert rows is not None
    assert len(rows) == 301
    assert rows[-1].tolist() == judge(after).detector.rows([NEWCOMER])[0].tolist()
    again = teach(Taught({"frame": BACKUP}, True), of=on)
    assert again is not None
    assert rings(again, [NEWCOMER, BACKUP, loud]) == [False, False, True]


def test_an_entity_by_which_a_real_anomaly_rings_is_not_taken_in() -> None:
    intruder: Frame = {**BACKUP, "d": {"start": 1}}
    assert teach(Taught({"frame": NEWCOMER}, True), Taught({"frame": intruder}, False)) is None
    both = learned(
        Taught({"frame": NEWCOMER}, True), Taught({"frame": intruder}, False), Taught({"frame": BACKUP}, True)
    )
    assert rings(both, [NEWCOMER, intruder, BACKUP]) == [True, True, False]


def test_the_very_frame_that_was_confirmed_cannot_become_normal() -> None:
    assert teach(Taught({"frame": FLOOD}, True), Taught({"frame": FLOOD}, False)) is None


def test_the_threshold_rises_by_the_rule_of_training_and_not_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network may not move, only what lies just above the bar is taken in."""
    monkeypatch.setattr("training.learning.tuning.RATES", ())
    monkeypatch.setattr("training.learning.tuning.STEPS", ())
    settings = {**part().settings, "training": {**part().settings["training"], "percentile": None}}
    bar = float(raws(part(), [BACKUP])[0]) / 1.2
    given = Part("autolog", {**settings, "threshold": bar}, part().files, bar)
    after = teach(Taught({"frame": BACKUP}, True), of=given)
    assert after is not None
    assert bar < after.settings["threshold"] <= RISE * bar
    assert rings(after, [BACKUP, FLOOD]) == [False, True]
    far = Part("autolog", settings, part().files, bar / 2)
    assert teach(Taught({"frame": BACKUP}, True), of=far) is None


def test_where_nothing_called_normal_rings_nothing_changes() -> None:
    assert teach() is None
    assert teach(Taught({"frame": NORMAL}, True)) is None
    assert teach(Taught({"frame": FLOOD}, False)) is None


def test_the_same_answers_give_the_same_network() -> None:
    taught = (Taught({"frame": BACKUP}, True), Taught({"frame": NEWCOMER}, True), Taught({"frame": BACKUP}, True))
    one, other = learned(*taught), learned(*taught)
    assert one.files == other.files
    assert one.told["lessons"] == 2


def test_the_graph_says_what_the_weights_say() -> None:
    after = learned(Taught({"frame": NEWCOMER}, True))
    state = from_safetensors(after.files[WEIGHTS], "autolog")
    rows = np.tile(state["low"] + state["span"], (33, 1))
    scaled = np.ones(4, dtype=np.float32)
    first = np.maximum(state["first.weight"] @ scaled + state["first.bias"], 0)
    code = np.tanh(state["code.weight"] @ first + state["code.bias"])
    third = np.maximum(state["third.weight"] @ code + state["third.bias"], 0)
    error = ((scaled - np.maximum(state["last.weight"] @ third + state["last.bias"], 0)) ** 2).mean()
    assert Graph(after.files[GRAPH], "cpu").run(scores=rows)[0] == pytest.approx([error] * 33, rel=1e-4)


def test_a_bundle_without_rows_to_rehearse_is_left_as_it_is() -> None:
    files = {name: content for name, content in part().files.items() if name != REPLAY}
    bare = Part("autolog", part().settings, files, part().bar)
    assert teach(Taught({"frame": BACKUP}, True), of=bare) is None


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, STATE, REPLAY])
@pytest.mark.parametrize("content", [b"\x00broken", b"{}", b"PK\x03\x04", None])
def test_a_damaged_bundle_is_refused(name: str, content: bytes | None) -> None:
    files = {**part().files, name: content or b""}
    if content is None:
        del files[name]
        if name == REPLAY:
            return
    with pytest.raises(BundleError, match="restore"):
        teach(Taught({"frame": BACKUP}, True), of=Part("autolog", part().settings, files, part().bar))


def test_rows_of_other_entities_are_refused() -> None:
    files = {**part().files, REPLAY: sample_rows(np.zeros((5, 7), dtype=np.float32), 0)}
    with pytest.raises(BundleError, match="3 entities"):
        teach(Taught({"frame": BACKUP}, True), of=Part("autolog", part().settings, files, part().bar))


def test_the_rows_of_a_bundle_are_few() -> None:
    rows = np.random.default_rng(0).random((3_000, 67)).astype(np.float32)
    kept = sample_rows(rows, 0)
    assert len(kept) < 1.1 * LARGEST
    found = read_rows({REPLAY: kept}, 67)
    assert found is not None
    assert len(found) == LARGEST // (4 * 67)
    assert {row.tobytes() for row in found} <= {row.tobytes() for row in rows}
