"""LogAnomaly fitted on a small grammar: catches what it must, is quiet otherwise, reads what is reworded."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import BundleError, DataError, TemplateError
from models.graph import Graph
from models.loganomaly.counts import running_counts
from models.loganomaly.detector import VECTORS, LogAnomaly, read_vectors
from models.sessions import Int64
from models.source.config import DrainSettings
from models.template.tree import TemplateTree
from models.vocabulary import END, Vocabulary
from training.deeplog.raws import session_raws
from training.loganomaly import LogAnomalySettings, fit_loganomaly
from training.loganomaly.export import restore
from training.member import Corpus, FittedMember
from training.onnx import from_safetensors, run_network

TEXTS = [
    "session opened for user <USER>", "reading configuration from <PATH>", "checking permissions of user <USER>",
    "allocating buffer of <NUM> bytes", "request <NUM> accepted", "response <NUM> sent", "cache flushed to disk",
    "buffer released", "closing network socket", "session terminated normally",
]  # fmt: skip
OPEN, CONFIGURE, CHECK, ALLOCATE, REQUEST, RESPONSE, FLUSH, RELEASE, SOCKET, TERMINATE = range(1, 11)
REWORDED, STRANGE = 11, 12
"""Mined after training: one that says what OPEN says, one that is like nothing."""


def tree() -> TemplateTree:
    mined = TemplateTree(DrainSettings(), "tree")
    assert mined.assign(TEXTS).ids.tolist() == list(range(1, 11))
    return mined


def draw(number: int, seed: int) -> list[Int64]:
    """Normal sessions, int64 [length] each: one to three requests, each answered; maybe a flush."""
    random = np.random.default_rng(seed)
    sessions = []
    for _ in range(number):
        requests = [REQUEST, RESPONSE] * int(random.integers(1, 4))
        flush = [FLUSH] if random.random() < 0.4 else []
        session = [OPEN, CONFIGURE, CHECK, ALLOCATE, *requests, *flush, RELEASE, SOCKET, TERMINATE]
        sessions.append(np.array(session, dtype=np.int64))
    return sessions


class Bag:
    """An encoder that knows a text by its words alone, in any order and case."""

    def __init__(self, width: int = 96) -> None:
        self.width = width

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row] += np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.width)
        return vectors


def said(template_id: int) -> str:
    """What a template says, of those known and of two that came later."""
    later = {REWORDED: "for user <USER> <NUM> session opened", STRANGE: "kernel panic"}
    if template_id in later:
        return later[template_id]
    return tree().template(template_id).exemplar


SETTINGS = LogAnomalySettings(
    h=4, embedding=8, hidden=24, layers=1, epochs=40, steps=1, patience=40, batch=16, learning_rate=0.02, folds=2,
    screened=1, weight_powers=(0.0,), min_sessions=20, false_alarm_rate=0.02,
)  # fmt: skip
QUICK = replace(SETTINGS, epochs=2, patience=2)
SESSIONS = draw(80, seed=1)
CORPUS = Corpus.of_keys(SESSIONS)
SPOKEN = replace(CORPUS, tree=tree())


@pytest.fixture(scope="module")
def counted() -> FittedMember:
    """Ids and counts."""
    return fit_loganomaly(CORPUS, SETTINGS, seed=3)


@pytest.fixture(scope="module")
def spoken() -> FittedMember:
    """Meanings and counts."""
    return fit_loganomaly(SPOKEN, SETTINGS, seed=3, encoder=Bag())


def served(
    fitted: FittedMember, text: Callable[[int], str] | None = None, encoder: Bag | None = None, **files: bytes
) -> LogAnomaly:
    graph = Graph(fitted.files["loganomaly.onnx"], "cpu")
    return LogAnomaly.from_parts(fitted.settings, graph, {**fitted.files, **files}, text, encoder)


def share_of_alarms(fitted: FittedMember, sessions: list[Int64]) -> float:
    return float((session_raws(served(fitted), sessions).session >= fitted.threshold).mean())


def test_normal_sessions_are_quiet(counted: FittedMember, spoken: FittedMember) -> None:
    for fitted in (counted, spoken):
        assert share_of_alarms(fitted, draw(200, seed=4)) <= 0.02


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param([RELEASE, SOCKET, TERMINATE, OPEN, CONFIGURE, CHECK], id="wrong order"),
        pytest.param([OPEN, ALLOCATE, REQUEST, RESPONSE, RELEASE, SOCKET, TERMINATE], id="missing steps"),
        pytest.param([OPEN, CONFIGURE, CHECK, ALLOCATE, REQUEST, RESPONSE], id="early end"),
        pytest.param([OPEN], id="end at once"),
        pytest.param([OPEN, CONFIGURE, CHECK, 99, ALLOCATE], id="unknown key"),
    ],
)
def test_planted_anomalies_are_caught(counted: FittedMember, spoken: FittedMember, planted: list[int]) -> None:
    for fitted in (counted, spoken):
        assert share_of_alarms(fitted, [np.array(planted)]) == 1.0


def test_every_session_was_held_out_and_few_ring(counted: FittedMember) -> None:
    assert counted.raws.shape == (80,)
    assert not np.isnan(counted.raws).any()
    assert (counted.raws >= counted.threshold).mean() <= SETTINGS.false_alarm_rate
    final = session_raws(served(counted), SESSIONS).session
    # Ranks are whole; probabilities differ in the last digits between torch and ONNX Runtime.
    assert (counted.raws >= final - 1e-4).all()


def test_what_is_reworded_is_read_as_what_it_says(spoken: FittedMember) -> None:
    reading, plain = served(spoken, said, Bag()), served(spoken)
    usual, reworded = SESSIONS[0], SESSIONS[0].copy()
    reworded[0] = REWORDED
    strange = SESSIONS[0].copy()
    strange[0] = STRANGE
    raws = [session_raws(reading, [session]).session[0] for session in (usual, reworded, strange)]
    assert raws[0] == raws[1] < spoken.threshold
    assert raws[2] == reading.unknown
    assert session_raws(plain, [reworded]).session[0] == plain.unknown
    told = reading.explain(np.array([-1, -1, -1, -1]), REWORDED)
    (match,) = told["read_as"]
    assert (told["template_id"], match["template_id"], match["as"]) == (REWORDED, REWORDED, OPEN)
    assert match["cosine"] == pytest.approx(1.0, abs=1e-3)
    assert told["expected"][0]["template_id"] == OPEN


def test_a_template_without_text_stays_unknown(spoken: FittedMember) -> None:
    def gone(template_id: int) -> str:
        raise TemplateError(f"no template {template_id}")

    for text in (gone, lambda _id: "<*> <*>", lambda _id: ""):
        detector = served(spoken, text, Bag())
        assert detector.score(np.full((1, 4), -1), np.array([REWORDED]))[0] == detector.unknown


def test_held_out_templates_are_read_as_they_will_be_served() -> None:
    mined = TemplateTree(DrainSettings(), "tree")
    mined.assign([*TEXTS, "opened session for user <USER>", "kernel panic"])
    odd = [session.copy() for session in SESSIONS]
    odd[0][0], odd[1][0] = REWORDED, STRANGE
    got = fit_loganomaly(replace(Corpus.of_keys(odd), tree=mined), QUICK, seed=3, encoder=Bag())
    unknown = Vocabulary.from_dict(got.settings["vocabulary"]).size + 1.0
    assert got.raws[0] < unknown
    assert got.raws[1] == unknown


def test_without_an_encoder_or_a_tree_it_is_ids_and_counts() -> None:
    files = {"loganomaly.onnx", "loganomaly.safetensors"}
    bare = fit_loganomaly(CORPUS, QUICK, seed=0, encoder=Bag())
    unspoken = fit_loganomaly(SPOKEN, QUICK, seed=0)
    assert set(bare.files) == set(unspoken.files) == files
    assert bare.files == unspoken.files
    assert bare.settings["semantic"] is unspoken.settings["semantic"] is False


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (fit_loganomaly(SPOKEN, QUICK, seed=5, encoder=Bag()) for _ in range(2))
    assert first.files == second.files
    assert first.settings == second.settings
    np.testing.assert_array_equal(first.raws, second.raws)
    other = fit_loganomaly(SPOKEN, QUICK, seed=6, encoder=Bag())
    assert other.files["loganomaly.safetensors"] != first.files["loganomaly.safetensors"]


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_graph_and_restored_network_agree(counted: FittedMember, spoken: FittedMember, batch: int) -> None:
    for fitted, vectors in ((counted, None), (spoken, read_vectors(spoken.files, 10))):
        vocabulary = Vocabulary.from_dict(fitted.settings["vocabulary"])
        state = from_safetensors(fitted.files["loganomaly.safetensors"], "loganomaly")
        network = restore(state, vocabulary, SETTINGS, vectors)
        windows = np.random.default_rng(batch).integers(0, vocabulary.size, (batch, SETTINGS.h))
        inputs = {"windows": windows, "counts": running_counts(windows, vocabulary.size)}
        (logits,) = Graph(fitted.files["loganomaly.onnx"], "cpu").run(**inputs)
        assert logits.shape == (batch, vocabulary.size)
        np.testing.assert_allclose(logits, run_network(network, inputs)[0], atol=1e-5, rtol=0)


def test_too_few_or_empty_sessions_are_refused() -> None:
    with pytest.raises(DataError, match="LogAnomaly needs at least 20 normal sessions, got 19"):
        fit_loganomaly(Corpus.of_keys(SESSIONS[:19]), SETTINGS, seed=0)
    with pytest.raises(DataError, match="no event"):
        fit_loganomaly(Corpus.of_keys([*SESSIONS, np.empty(0, np.int64)]), SETTINGS, seed=0)


def test_a_damaged_bundle_is_refused(counted: FittedMember, spoken: FittedMember) -> None:
    graph = Graph(spoken.files["loganomaly.onnx"], "cpu")
    assert graph.metadata["detector"] == "loganomaly"
    with pytest.raises(BundleError, match="another vocabulary"):
        LogAnomaly.from_parts({**spoken.settings, "vocabulary": {"keys": [1, 2]}}, graph, spoken.files)
    for settings in ({}, {**spoken.settings, "vocabulary": {"keys": [1, 1]}}, {**spoken.settings, "similarity": None}):
        with pytest.raises(BundleError, match="train the source again"):
            LogAnomaly.from_parts(settings, graph, spoken.files)
    with pytest.raises(BundleError, match="missing or damaged"):
        LogAnomaly.from_parts(spoken.settings, graph, counted.files)
    whole = spoken.files[VECTORS]
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:60] + b"\x00" * 40 + whole[100:]):
        with pytest.raises(BundleError, match="restore the bundle"):
            served(spoken, **{VECTORS: damaged})
    with pytest.raises(BundleError, match="vectors of 8 numbers, the bundle's have 96"):
        served(spoken, said, Bag(8))


def test_a_whole_history_of_ends_and_unknown_keys_has_a_verdict(counted: FittedMember) -> None:
    detector = served(counted)
    history = np.array([[-1, -1, -1, -1], [99, 99, 99, 99], [10**12, 0, -5, END]])
    raws = detector.score(history, np.array([END, TERMINATE, END]))
    assert np.isfinite(raws).all()
