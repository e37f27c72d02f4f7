"""CLDTLog from labelled data to a bundle's parts, on a tiny BERT of random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import torch

from models.cldtlog.detector import CLDTLog
from models.errors import BundleError, ConfigError, DataError
from models.graph import Graph
from models.record import Records
from models.source.config import Source
from models.template.tree import TemplateTree
from tests.golden import bert
from training.cldtlog import CLDTLogSettings, fit_cldtlog, fit_lines
from training.cldtlog.fitted import ONNX, STATE, TOKENIZER, WEIGHTS, restore
from training.corpus import CutSession
from training.encoder import Example
from training.member import Corpus, FittedMember
from training.onnx import BATCHES, run_network

MASKED = [
    "block <NUM> served ok",
    "received from <IP>",
    "lost to <IP>",
    "exception while served",
    "disk full error",
    "7",
]
NORMAL = [[0, 1], [0], [1, 0, 2], [1, 1, 0]] * 20 + [[5]]
ANOMALOUS = [[0, 1, 3], [0, 4], [1, 3, 4]] * 5 + [[0, 1]] * 3


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> CLDTLogSettings:
    folder = bert.write(tmp_path_factory.mktemp("bert"), layers=2, sentence=True)
    return CLDTLogSettings(encoder=str(folder), learning_rate=1e-2, epochs=2, steps=15, folds=2)


def corpus(normal: list[list[int]] = NORMAL, anomalous: list[list[int]] = ANOMALOUS) -> Corpus:
    def session(rows: list[int]) -> CutSession:
        numbers = np.array(rows, dtype=np.int64)
        return CutSession("s", numbers + 1, 0.0, 0.0, np.zeros(len(rows)), numbers)

    count = len(MASKED)
    records = Records(
        np.arange(count), pl.Series(MASKED), pl.Series(MASKED), np.zeros(count), pl.DataFrame(height=count),
        np.arange(count), pl.Series(["s"] * count), [],
    )  # fmt: skip
    tree = TemplateTree(Source.load("raw").drain, "tree")
    return Corpus([session(rows) for rows in normal], [session(rows) for rows in anomalous], records, tree)


@pytest.fixture(scope="module")
def fitted(settings: CLDTLogSettings) -> FittedMember:
    return fit_cldtlog(corpus(), settings, seed=3)


@pytest.fixture(scope="module")
def untrained(settings: CLDTLogSettings) -> FittedMember:
    """One step, another seed."""
    return fit_cldtlog(corpus(), replace(settings, epochs=1, steps=1), seed=4)


def served(fitted: FittedMember) -> CLDTLog:
    return CLDTLog.from_graph(Graph(fitted.files[ONNX], "cpu"), fitted.files[TOKENIZER], fitted.files[STATE])


def test_lines_of_anomalous_sessions_alone_ring(fitted: FittedMember) -> None:
    detector = served(fitted)
    raws = detector.score_texts(detector.prepare(MASKED))
    assert (raws[[3, 4]] >= detector.threshold).all()
    assert (raws[[0, 1, 2]] < detector.threshold).all()
    assert np.isnan(raws[5])
    # Three anomalous sessions hold ordinary lines alone: no line tells them, and they make none ring.
    assert fitted.settings["heldout_recall"] == pytest.approx(15 / 18)


def test_raws_are_those_of_the_normal_sessions(fitted: FittedMember) -> None:
    assert fitted.raws.shape == (len(NORMAL),)
    assert np.flatnonzero(np.isnan(fitted.raws)).tolist() == [len(NORMAL) - 1]
    assert np.nanmax(fitted.raws) < fitted.threshold
    detector = served(fitted)
    lines = detector.score_texts(detector.prepare(MASKED))
    final = np.array([lines[rows].max() for rows in NORMAL[:-1]])
    # Above, not beside: an output that another processor rounds up must not ring.
    assert (fitted.raws[:-1] > final + 5e-4).all()


def test_a_new_process_would_say_the_same(settings: CLDTLogSettings, fitted: FittedMember) -> None:
    torch.manual_seed(99)
    before = torch.rand(1)
    torch.manual_seed(99)
    again = fit_cldtlog(corpus(), settings, seed=3)
    assert torch.equal(torch.rand(1), before)
    np.testing.assert_array_equal(again.raws, fitted.raws)
    assert again.settings == fitted.settings
    assert again.curves == fitted.curves
    assert again.files[WEIGHTS] == fitted.files[WEIGHTS]


@pytest.mark.parametrize("batch", BATCHES)
def test_the_graph_says_what_the_restored_network_says(
    settings: CLDTLogSettings, fitted: FittedMember, batch: int
) -> None:
    network = restore(fitted.files, settings)
    inputs = Example(bert.tokenizer().get_vocab_size())(batch)
    expected = run_network(network, inputs)
    graph = Graph(fitted.files[ONNX], "cpu")
    for exported, trained in zip(graph.run(**inputs), expected, strict=True):
        np.testing.assert_allclose(exported, trained, rtol=1e-4, atol=1e-4)
    assert [part.shape[0] for part in expected] == [batch, batch]


def test_the_first_layers_are_left_as_they_were(
    settings: CLDTLogSettings, fitted: FittedMember, untrained: FittedMember
) -> None:
    network = restore(fitted.files, settings)
    assert (len(network.frozen), len(network.upper.layers)) == (1, 1)
    untouched = restore(untrained.files, settings)
    for frozen, other in zip(network.frozen.parameters(), untouched.frozen.parameters(), strict=True):
        assert torch.equal(frozen, other)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(network.upper.parameters(), untouched.upper.parameters(), strict=True)
    )


def test_the_bundle_says_how_it_came_about(settings: CLDTLogSettings, fitted: FittedMember) -> None:
    told = orjson.loads(orjson.dumps(fitted.settings))
    assert told["supervision"] == "sessions"
    assert (told["normal"], told["anomalous"], told["texts"]) == (len(NORMAL), len(ANOMALOUS), 5)
    assert told["paper_threshold"] == 0.0
    assert CLDTLogSettings.from_dict(told["training"]) == settings
    assert len(fitted.curves["loss"]) == told["epochs"] <= settings.epochs
    assert len(fitted.curves["crossfit_auc"]) == settings.epochs
    assert served(fitted).explain("disk full error")["nearest"]["anomalous"][0]["text"] == "disk full error"


def test_labels_by_line_need_no_sessions(settings: CLDTLogSettings) -> None:
    masked = [MASKED[number % 3] for number in range(90)] + ["disk full error", "exception <NUM>"] * 6
    labels = [False] * 90 + [True] * 12
    fitted = fit_lines(masked, labels, replace(settings, epochs=1), seed=0)
    assert fitted.raws.shape == (90,)
    detector = served(fitted)
    rings = detector.score_texts(detector.prepare(masked)) >= detector.threshold
    assert rings.tolist() == labels
    assert fitted.settings["supervision"] == "lines"


def test_too_little_of_a_class_is_refused_with_the_least_number(settings: CLDTLogSettings) -> None:
    with pytest.raises(DataError, match="no training session is labelled anomalous"):
        fit_cldtlog(corpus(anomalous=[]), settings, 0)
    with pytest.raises(DataError, match="at least 10 anomalous sessions that hold a word, got 9"):
        fit_cldtlog(corpus(anomalous=[*ANOMALOUS[:9], [5]]), settings, 0)
    with pytest.raises(DataError, match="at least 50 normal sessions that hold a word, got 49"):
        fit_cldtlog(corpus(normal=NORMAL[:49]), settings, 0)
    with pytest.raises(DataError, match="at least 10 anomalous lines"):
        fit_lines(["ok"] * 60, [False] * 60, settings, 0)
    with pytest.raises(DataError, match="at least 50 normal lines"):
        fit_lines(["ok"] * 60, [True] * 60, settings, 0)


def test_anomalies_of_ordinary_lines_are_refused(settings: CLDTLogSettings) -> None:
    with pytest.raises(DataError, match="no line is more common in anomalous sessions"):
        fit_cldtlog(corpus([[0, 1]] * 60, [[0, 1]] * 20), settings, 0)


def test_an_encoder_that_is_not_there_is_refused(settings: CLDTLogSettings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be had"):
        fit_cldtlog(corpus(), replace(settings, encoder=str(tmp_path)), 0)


def test_weights_of_another_network_are_refused(
    settings: CLDTLogSettings, fitted: FittedMember, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="weights are damaged"):
        restore({**fitted.files, WEIGHTS: b"nothing"}, settings)
    with pytest.raises(BundleError, match=r"cldtlog.json is damaged"):
        restore({**fitted.files, STATE: b"{}"}, settings)
    with pytest.raises(BundleError, match="another network's"):
        restore(fitted.files, replace(settings, trained_share=1.0))
    other = bert.write(tmp_path, layers=3)
    with pytest.raises(BundleError, match="not the one of this bundle"):
        restore(fitted.files, replace(settings, encoder=str(other)))
