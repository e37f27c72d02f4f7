"""AutoLog from a log: what it learns, holds out, refuses and writes down."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from models.autolog.detector import NEW_ENTITY, AutoLog
from models.autolog.frames import Frame
from models.autolog.judge import FrameJudge
from models.errors import BundleError, ConfigError, DataError
from models.graph import Graph
from models.record import Records
from models.source.config import DrainSettings
from models.template.tree import TemplateTree
from training.autolog import AutoLogSettings, fit_autolog, fit_records
from training.autolog.fit import LEAST_SPAN, fit, scaler
from training.autolog.frames import frames_of, layout_of
from training.corpus import CutSession
from training.member import Corpus
from training.onnx import from_safetensors

SMALL = AutoLogSettings(chunk_s=10.0, epochs=2, steps=120, wide=32, narrow=8, min_frames=50)
Bool = NDArray[np.bool_]


def records_of(rows: list[tuple[float, str, str]]) -> Records:
    n = len(rows)
    masked = pl.Series([row[2] for row in rows], dtype=pl.String)
    return Records(
        index=np.arange(n),
        message=masked,
        masked=masked,
        time=np.array([row[0] for row in rows], dtype=np.float64),
        fields=pl.DataFrame(
            {"host": [row[1] for row in rows], "level": ["x"] * n}, schema_overrides={"host": pl.String}
        ),
        session_record=np.arange(n),
        session=pl.Series(["all"] * n, dtype=pl.String),
        rejected=[],
    )


def log(frames: int, seed: int = 0) -> list[tuple[float, str, str]]:
    """Three hosts that write in every frame, more or less alike."""
    random = np.random.default_rng(seed)
    words = ["start <NUM>", "stop <NUM>", "retry slowly", "cache miss"]
    rows = [
        (chunk * 10.0 + random.uniform(0, 10), host, str(word))
        for chunk in range(frames)
        for host in ("a", "b", "c")
        for word in random.choice(words, size=random.integers(4, 9), p=[0.45, 0.45, 0.07, 0.03])
    ]
    return sorted(rows)


def nothing_in(records: Records) -> Bool:
    return np.zeros(len(records), dtype=np.bool_)


@pytest.fixture(scope="module")
def records() -> Records:
    return records_of(log(200))


@pytest.fixture(scope="module")
def judge(records: Records) -> FrameJudge:
    fitted = fit_records(records, nothing_in(records), replace(SMALL, percentile=90.0), seed=1)
    return FrameJudge.load(fitted.settings, fitted.files)


def test_flood_silence_and_newcomers_are_stranger_than_normal_frames(judge: FrameJudge) -> None:
    normal = frames_of(records_of(log(100, seed=9)), judge.detector.layout, 60.0).frames
    calm = judge.judge(normal)
    usual = normal[3].counts
    flood = Frame(0, 1, {**usual, "b": {f"panic{i}": 40 for i in range(9)}})
    silent = Frame(0, 1, {host: usual[host] for host in ("a", "c")})
    newcomer = Frame(0, 1, {**usual, "d": {"start": 1}})
    strange = judge.judge([flood, silent, newcomer])
    assert calm.anomalous.mean() < 0.35
    assert strange.raw[0] > calm.raw.max()
    assert strange.raw[1] > np.median(calm.raw)
    assert strange.raw[2] == NEW_ENTITY
    assert strange.ringing[0].because["entities"][0]["entity"] == "b"
    assert strange.ringing[2].because["new_entities"][0]["entity"] == "d"


def test_fit_holds_out_the_newest_normal_frames_and_chooses_by_them_alone(records: Records) -> None:
    anomalous = nothing_in(records)
    anomalous[(records.time >= 100) & (records.time < 110)] = True
    fitted = fit_records(records, anomalous, SMALL, seed=1)
    assert fitted.settings["frames"] == {"normal": 199, "anomalous": 1, "held_out": 20, "held_out_with_new_entity": 0}
    assert fitted.raws.shape == (20,)
    # Fewer than 500 held-out frames: none may ring.
    assert fitted.threshold == np.nextafter(fitted.raws.max(), np.inf)
    assert fitted.settings["threshold"] == fitted.threshold
    published = fit_records(records, anomalous, replace(SMALL, percentile=90.0), seed=1)
    assert published.raws.tolist() == fitted.raws.tolist()
    assert (published.raws >= published.threshold).sum() == 2
    assert len(fitted.curves["fit"]) == len(fitted.curves["held out"]) == 120
    assert fitted.curves["fit"][-1] < fitted.curves["fit"][0]


def test_graph_says_what_the_network_says_and_belongs_to_its_state(records: Records, judge: FrameJudge) -> None:
    fitted = fit_records(records, nothing_in(records), SMALL, seed=1)
    assert sorted(fitted.files) == ["autolog.json", "autolog.onnx", "autolog.replay.npz", "autolog.safetensors"]
    graph = Graph(fitted.files["autolog.onnx"], "cpu")
    low = from_safetensors(fitted.files["autolog.safetensors"], "autolog")["low"]
    for batch in (1, 2, 33):
        mse, errors, expected = graph.run(scores=np.tile(low, (batch, 1)))
        assert (mse.shape, errors.shape, expected.shape) == ((batch,), (batch, 3), (batch, 3))
        assert mse == pytest.approx(errors.mean(axis=1), rel=1e-5)
    assert graph.run(scores=np.zeros((0, 3), dtype=np.float32))[0].shape == (0,)
    detector = AutoLog.from_graph(fitted.files["autolog.json"], graph)
    frames = [{}, {"a": {"start": 10**15, "x" * 64: 1}}, {"zz": {}}]
    raws = detector.score_frames(frames)
    assert np.isfinite(raws).all()
    assert [detector.score_frames([frame])[0] for frame in frames] == pytest.approx(raws.tolist(), rel=1e-5)
    for name in ("autolog.json", "autolog.onnx"):
        with pytest.raises(BundleError, match="autolog"):
            FrameJudge.load(fitted.settings, {n: f for n, f in fitted.files.items() if n != name})
    for broken in ({}, {**fitted.settings, "threshold": "x"}, {**fitted.settings, "calibration": {}}):
        with pytest.raises(BundleError, match="autolog"):
            FrameJudge.load(broken, fitted.files)
    with pytest.raises(BundleError, match="loaded"):
        FrameJudge.load(fitted.settings, {**fitted.files, "autolog.onnx": b"\x00broken"})


def test_seed_makes_it_reproducible_and_leaves_global_state_alone(records: Records) -> None:
    few = replace(SMALL, steps=3)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    one = fit_records(records, nothing_in(records), few, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    again, other = (fit_records(records, nothing_in(records), few, seed=seed) for seed in (1, 2))
    assert again.files == one.files
    assert again.raws.tolist() == one.raws.tolist()
    assert other.files["autolog.safetensors"] != one.files["autolog.safetensors"]


def test_progress_tells_of_counting_and_every_epoch(records: Records) -> None:
    seen: list[tuple[str, int, int]] = []
    fit_records(
        records,
        nothing_in(records),
        replace(SMALL, steps=2),
        1,
        lambda what, done, most: seen.append((what, done, most)),
    )
    assert ("timeframes", len(records), len(records)) in seen
    assert seen[-1] == ("autolog", 2, 2)
    assert ("autolog, held out", 1, 2) in seen


def test_constant_columns_are_scaled_by_one_and_nothing_is_clipped() -> None:
    rows = np.array([[2.0, 0.0, 5.0], [4.0, 0.0, 5.0 + LEAST_SPAN / 10]], dtype=np.float32)
    low, span = scaler(rows)
    assert low.tolist() == [2.0, 0.0, 5.0]
    assert span.tolist() == [2.0, 1.0, 1.0]
    network = fit(rows, replace(SMALL, steps=1), seed=0).network
    assert network.scale(torch.tensor([[8.0, -1.0, 7.0]])).tolist() == [[3.0, -1.0, 2.0]]


@pytest.mark.parametrize(
    "rows",
    [[], log(1), log(49), [(0.0, "a", "x"), (300.0, "a", "x")]],
    ids=["empty log", "single frame", "one too few", "nearly always silent"],
)
def test_too_little_is_refused_and_says_what_to_do(rows: list[tuple[float, str, str]]) -> None:
    records = records_of(rows)
    with pytest.raises(DataError, match=r"at least 50 timeframes of 10 s.*leave"):
        fit_records(records, nothing_in(records), SMALL, seed=0)


def test_newest_frames_all_of_new_entities_are_refused() -> None:
    rows = [(10.0 * i, f"host{i}", "x") for i in range(80)]
    records = records_of(rows)
    with pytest.raises(DataError, match="entity_field \\('host'\\) tells too many apart"):
        fit_records(records, nothing_in(records), replace(SMALL, steps=1), seed=0)


def test_normal_frames_without_a_line_are_refused() -> None:
    records = records_of([(0.0, "a", "x"), (900.0, "a", "x")])
    with pytest.raises(DataError, match="hold no line"):
        fit_records(records, np.ones(2, dtype=np.bool_), SMALL, seed=0)


def test_entity_field_is_found_or_must_be_there() -> None:
    records = records_of(log(2))
    assert layout_of(records, SMALL).rule.field == "host"
    assert layout_of(records, replace(SMALL, entity_field="level")).rule.field == "level"
    with pytest.raises(DataError, match=r"'rack'.*host, level"):
        layout_of(records, replace(SMALL, entity_field="rack"))
    bare = replace(records, fields=records.fields.select("level"))
    assert layout_of(bare, SMALL).rule.field is None
    with pytest.raises(DataError, match="no field to look into"):
        layout_of(bare, replace(SMALL, entity_pattern="^(.)"))


def test_corpus_leaves_out_frames_with_an_event_of_an_anomalous_session(records: Records) -> None:
    at = np.flatnonzero((records.time >= 500) & (records.time < 520))[[0, -1]]
    nothing = np.zeros(2)
    bad = CutSession("bad", np.array([1, 1]), 500.0, 520.0, nothing, at)
    tree = TemplateTree(DrainSettings(), "t")
    fitted = fit_autolog(Corpus([], [bad], records, tree), replace(SMALL, steps=1), seed=0)
    assert fitted.settings["frames"]["anomalous"] == 2
    with pytest.raises(DataError, match="autolog reads lines"):
        fit_autolog(Corpus.of_keys([np.array([1])]), SMALL, seed=0)


def test_settings_are_checked_and_read_back() -> None:
    assert AutoLogSettings.from_dict(SMALL.to_dict()) == SMALL
    defaults = AutoLogSettings()
    assert (defaults.wide, defaults.narrow, defaults.dropout, defaults.epochs, defaults.batch) == (
        128,
        64,
        0.6,
        50,
        2048,
    )
    wrong = {
        "chunk_s": 0.0, "lateness_s": -1.0, "validation": 1.0, "percentile": 101.0, "false_alarm_rate": 0.0,
        "wide": 0, "dropout": 1.0, "learning_rate": np.nan, "epochs": 0, "min_frames": 9, "entity_pattern": "(",
    }  # fmt: skip
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=rf"autolog\.{name}"):
            AutoLogSettings.from_dict({name: value})
    with pytest.raises(ConfigError, match="no setting 'chunk'"):
        AutoLogSettings.from_dict({"chunk": 1})
