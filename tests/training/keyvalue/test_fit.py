"""The key and value LSTM trained on a small made-up program whose faults show in its fields alone."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from models.errors import BundleError, DataError
from models.graph import Graph
from models.keyvalue.detector import HALF, KeyValue
from models.keyvalue.network import FieldLSTM
from models.keyvalue.places import Places
from models.notes import NO_CODE
from models.record import Records
from models.sessions import BEFORE_SESSION, Float64
from models.source.config import DrainSettings
from models.template.tree import TemplateTree
from models.vocabulary import Vocabulary
from training.corpus import CutSession
from training.keyvalue import KeyValueSettings, fit_keyvalue
from training.keyvalue.examples import events, examples
from training.member import Corpus, FittedMember
from training.onnx import from_safetensors, run_network

SETTINGS = KeyValueSettings(
    length=4, embedding=8, hidden=8, epochs=1, steps=200, batch=64, learning_rate=2e-2, folds=2, min_sessions=20
)
QUICK = replace(SETTINGS, steps=1)


def draw(normal: int, anomalous: int, seed: int) -> Corpus:
    """Sessions of an opening, one to three requests with answers, and a close. In a faulty one an answer comes at level
    WARN, which otherwise only the opening does."""
    random = np.random.default_rng(seed)
    rows: list[tuple[str, str, str]] = []
    found: list[list[CutSession]] = [[], []]
    for number in range(normal + anomalous):
        faulty = number >= normal
        requests = int(random.integers(1, 4))
        keys = [1, *[2, 3] * requests, 4]
        levels = ["WARN" if key == 1 else "INFO" for key in keys]
        if faulty:
            levels[2 * int(random.integers(1, requests + 1))] = "WARN"
        at = np.arange(len(rows), len(rows) + len(keys))
        rows += [
            (level, "net" if key in (2, 3) else "core", f"t{number}") for key, level in zip(keys, levels, strict=True)
        ]
        found[faulty].append(CutSession(f"s{number}", np.array(keys), 0.0, 0.0, np.zeros(len(keys)), at))
    text = pl.Series([""] * len(rows), dtype=pl.String)
    records = Records(
        index=np.arange(len(rows)), message=text, masked=text, time=np.zeros(len(rows)),
        fields=pl.DataFrame(rows, schema=["level", "component", "thread"], orient="row"),
        session_record=np.arange(len(rows)), session=text, rejected=[],
    )  # fmt: skip
    return Corpus(found[0], found[1], records, TemplateTree(DrainSettings(), "tree"))


CORPUS = draw(60, 20, seed=1)


@pytest.fixture(scope="module")
def fitted() -> FittedMember:
    return fit_keyvalue(CORPUS, SETTINGS, seed=3)


def served(fitted: FittedMember) -> KeyValue:
    return KeyValue.from_graph(fitted.settings, Graph(fitted.files["keyvalue.onnx"], "cpu"))


def raws(detector: KeyValue, corpus: Corpus, *, anomalous: bool) -> Float64:
    """The largest raw output of each session."""
    sessions = corpus.anomalous if anomalous else corpus.sessions
    records, _ = corpus.lines("test")
    given = events(sessions, detector.codes(records.fields), detector.window)
    found = np.full(len(sessions), -np.inf)
    np.maximum.at(found, given.session, detector.score_fields(given.history, given.keys, given.earlier, given.codes))
    return found


def test_faults_that_show_in_a_field_alone_are_caught(fitted: FittedMember) -> None:
    detector, fresh = served(fitted), draw(100, 50, seed=9)
    assert detector.fields == ("level", "component")
    assert (raws(detector, fresh, anomalous=False) >= fitted.threshold).mean() <= 0.02
    assert (raws(detector, fresh, anomalous=True) >= fitted.threshold).all()
    assert (raws(detector, fresh, anomalous=True) >= HALF).all()


def test_the_explanation_names_the_field(fitted: FittedMember) -> None:
    detector = served(fitted)
    told = detector.explain(
        np.array([BEFORE_SESSION, 1, 2]), 3, np.array([[NO_CODE, NO_CODE], [2, 1], [1, 2]]), np.array([2, 2])
    )
    values = {field["name"]: field["values"] for field in fitted.settings["fields"]}
    assert values["level"][1] == "WARN"
    assert {"offset": 0, "field": "level", "value": "WARN"}.items() <= told["parts"][0].items()


def test_every_normal_session_was_held_out_and_few_ring(fitted: FittedMember) -> None:
    assert fitted.raws.shape == (60,)
    assert np.isfinite(fitted.raws).all()
    assert not (fitted.raws >= fitted.threshold).any()
    assert (fitted.raws > raws(served(fitted), CORPUS, anomalous=False)).all()
    assert served(fitted).threshold == fitted.threshold == fitted.settings["threshold"]
    assert fitted.settings["half"] == 0.0
    assert fitted.curves["loss"][-1] < fitted.curves["loss"][0]


def test_a_window_is_told_by_how_often_it_was_which() -> None:
    places = Places(Vocabulary([1, 2, 3, 4]), {"level": ["INFO", "WARN"]})
    records, _ = CORPUS.lines("test")
    codes = places.codes(records.fields)
    both = [events(sessions, codes, 3) for sessions in (CORPUS.sessions, CORPUS.anomalous)]
    found = examples(*both, places)
    assert len(np.unique(found.windows, axis=0)) == len(found.windows)
    assert (found.normal.sum(), found.anomalous.sum()) == tuple(len(given.keys) for given in both)
    opening = (found.windows[:, :, 0] == [1, 1, 1, 4]).all(axis=1)
    assert (found.normal[opening].tolist(), found.anomalous[opening].tolist()) == ([60], [20])
    # An answer at level WARN.
    faulty = ((found.windows[:, :, 0] == 6) & (found.windows[:, :, 1] == 3)).any(axis=1)
    assert faulty.any()
    assert (found.normal[faulty] == 0).all()


def test_only_the_newest_events_are_read() -> None:
    lengths = [len(session.keys) for session in CORPUS.sessions]
    found = fit_keyvalue(CORPUS, replace(QUICK, events=sum(lengths[-30:]) + 1), seed=0)
    assert np.isnan(found.raws[:30]).all()
    assert np.isfinite(found.raws[30:]).all()
    with pytest.raises(DataError, match=r"keyvalue \(of 50 events\) needs at least 20 normal sessions"):
        fit_keyvalue(CORPUS, replace(QUICK, events=50), seed=0)


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_graph_and_restored_network_agree(fitted: FittedMember, batch: int) -> None:
    places = Places.from_dict(fitted.settings)
    state = from_safetensors(fitted.files["keyvalue.safetensors"], "keyvalue")
    network = FieldLSTM(places.sizes, SETTINGS.embedding, SETTINGS.hidden, SETTINGS.layers)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    shape = (batch, SETTINGS.length, len(places.sizes))
    inputs = {"windows": np.random.default_rng(batch).integers(0, places.sizes, shape)}
    (logits,) = Graph(fitted.files["keyvalue.onnx"], "cpu").run(**inputs)
    assert logits.shape == (batch,)
    np.testing.assert_allclose(logits, run_network(network.eval(), inputs)[0], atol=1e-5, rtol=0)


def test_scoring_changes_nothing_and_batches_do_not_matter(fitted: FittedMember) -> None:
    detector = served(fitted)
    records, _ = CORPUS.lines("test")
    given = events(CORPUS.sessions[:5], detector.codes(records.fields), detector.window)
    first = detector.score_fields(given.history, given.keys, given.earlier, given.codes)
    odd = np.array([[99, -5, 10**12]])
    assert np.isfinite(detector.score_fields(odd, np.array([0]), np.full((1, 3, 2), 10**9), np.full((1, 2), -9))).all()
    again = [
        detector.score_fields(given.history[at], given.keys[at], given.earlier[at], given.codes[at])
        for at in np.split(np.arange(len(given.keys)), len(given.keys))
    ]
    np.testing.assert_allclose(np.concatenate(again), first, atol=1e-5)
    assert np.array_equal(detector.score_fields(given.history, given.keys, given.earlier, given.codes), first)


def test_the_same_seed_gives_the_same_bytes() -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first, second = (fit_keyvalue(CORPUS, QUICK, seed=5) for _ in range(2))
    assert first.files == second.files
    assert first.settings == second.settings
    assert np.array_equal(first.raws, second.raws)
    other = fit_keyvalue(CORPUS, QUICK, seed=6)
    assert other.files["keyvalue.safetensors"] != first.files["keyvalue.safetensors"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_progress_tells_of_every_fit() -> None:
    told: list[tuple[str, int, int]] = []
    fit_keyvalue(CORPUS, QUICK, 0, lambda what, done, total: told.append((what, done, total)))
    assert told == [("keyvalue, held out", 1, 2), ("keyvalue, held out", 2, 2), ("keyvalue", 1, 1)]


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="keyvalue reads lines"):
        fit_keyvalue(Corpus.of_keys(CORPUS.keys), QUICK, seed=0)
    with pytest.raises(DataError, match="keyvalue needs at least 20 normal sessions, got 19"):
        fit_keyvalue(replace(CORPUS, sessions=CORPUS.sessions[:19]), QUICK, seed=0)
    for anomalous in (0, 9):
        with pytest.raises(DataError, match=f"at least 10 anomalous sessions, got {anomalous}"):
            fit_keyvalue(replace(CORPUS, anomalous=CORPUS.anomalous[:anomalous]), QUICK, seed=0)


def test_a_damaged_bundle_is_refused(fitted: FittedMember) -> None:
    graph = Graph(fitted.files["keyvalue.onnx"], "cpu")
    assert graph.metadata["detector"] == "keyvalue"
    with pytest.raises(BundleError, match="other keys or fields"):
        KeyValue.from_graph({**fitted.settings, "vocabulary": {"keys": [1, 2]}}, graph)
    with pytest.raises(BundleError, match="other keys or fields"):
        KeyValue.from_graph({**fitted.settings, "fields": fitted.settings["fields"][:1]}, graph)
    for wrong in ({"fields": None}, {"fields": [{"name": "level"}]}, {"fields": [3]}, {"vocabulary": {"keys": [1, 1]}}):
        with pytest.raises(BundleError, match="train the source again"):
            KeyValue.from_graph({**fitted.settings, **wrong}, graph)
    graph.metadata = {"detector": "keyvalue"}
    with pytest.raises(BundleError, match="train the source again"):
        KeyValue.from_graph(fitted.settings, graph)
    with pytest.raises(BundleError, match="damaged"):
        from_safetensors(fitted.files["keyvalue.safetensors"][:50], "keyvalue")
