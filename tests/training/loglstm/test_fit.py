"""LogLSTM trained on a small made-up program: what it catches, what it exports, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import BundleError, DataError
from models.graph import Graph
from models.loglstm.detector import UNKNOWN, LogLSTM
from models.loglstm.network import WindowLSTM
from models.sessions import Int64
from models.vocabulary import END, Vocabulary
from training.loglstm import LogLSTMSettings, fit_loglstm
from training.member import Corpus, FittedMember
from training.onnx import from_safetensors, run_network
from training.windows import windows

SETTINGS = LogLSTMSettings(
    length=5, hidden=16, steps=300, vector_steps=80, batch=64, learning_rate=1e-2, folds=2, min_sessions=20
)
QUICK = replace(SETTINGS, epochs=2, steps=1, vector_steps=1)


def draw(number: int, seed: int) -> list[Int64]:
    """Normal sessions, int64 [length] each: an opening of four steps, one to three requests, maybe a flush, a close."""
    random = np.random.default_rng(seed)
    sessions = []
    for _ in range(number):
        requests = [5, 6] * int(random.integers(1, 4))
        flush = [7] if random.random() < 0.4 else []
        sessions.append(np.array([1, 2, 3, 4, *requests, *flush, 8, 9, 10], dtype=np.int64))
    return sessions


SESSIONS = draw(80, seed=1)
CORPUS = Corpus.of_keys(SESSIONS)


@pytest.fixture(scope="module")
def fitted() -> FittedMember:
    return fit_loglstm(CORPUS, SETTINGS, seed=3)


def served(fitted: FittedMember) -> LogLSTM:
    vocabulary = Vocabulary.from_dict(fitted.settings["vocabulary"])
    return LogLSTM.from_graph(vocabulary, Graph(fitted.files["loglstm.onnx"], "cpu"))


def raws(detector: LogLSTM, sessions: list[Int64]) -> list[float]:
    """The largest raw output of each session."""
    given = windows(sessions, detector.window)
    found = np.full(len(sessions), -np.inf)
    np.maximum.at(found, given.session, detector.score(given.history, given.key))
    return found.tolist()


def test_normal_sessions_are_quiet(fitted: FittedMember) -> None:
    assert (np.array(raws(served(fitted), draw(200, seed=4))) >= fitted.threshold).mean() <= 0.02


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param([1, 2, 3, 4, 5, 6, 10, 9, 8], id="wrong order"),
        pytest.param([1, 4, 5, 6, 8, 9, 10], id="missing steps"),
        pytest.param([1, 2, 3, 4, 5, 6], id="early end"),
        pytest.param([1], id="end at once"),
        pytest.param([9, 10], id="no beginning"),
        pytest.param([1, 2, 3, 99, 4, 5, 6, 8, 9, 10], id="unknown key"),
    ],
)
def test_planted_anomalies_are_caught(fitted: FittedMember, planted: list[int]) -> None:
    assert raws(served(fitted), [np.array(planted)])[0] >= fitted.threshold


def test_every_session_was_held_out_and_few_ring(fitted: FittedMember) -> None:
    assert fitted.raws.shape == (80,)
    assert np.isfinite(fitted.raws).all()
    assert not (fitted.raws >= fitted.threshold).any()
    assert (fitted.raws > raws(served(fitted), SESSIONS)).all()
    assert served(fitted).threshold == fitted.threshold == fitted.settings["threshold"]
    assert fitted.curves["loss"][-1] < fitted.curves["loss"][0]


def test_a_key_of_one_session_was_unknown_when_that_was_held_out() -> None:
    odd = [*SESSIONS, np.array([1, 2, 3, 4, 77, 8, 9, 10])]
    found = fit_loglstm(Corpus.of_keys(odd), QUICK, seed=0)
    assert found.raws[-1] == UNKNOWN
    assert (found.raws[:-1] < UNKNOWN).all()
    # An unknown key rings all the same.
    assert found.threshold == UNKNOWN
    assert served(found).score(np.array([[1, 2, 3, 4]]), np.array([88]))[0] >= found.threshold


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_graph_and_restored_network_agree(fitted: FittedMember, batch: int) -> None:
    vocabulary = Vocabulary.from_dict(fitted.settings["vocabulary"])
    state = from_safetensors(fitted.files["loglstm.safetensors"], "loglstm")
    network = WindowLSTM(torch.zeros(vocabulary.size, SETTINGS.embedding), SETTINGS.hidden)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    inputs = {"windows": np.random.default_rng(batch).integers(0, vocabulary.size, (batch, SETTINGS.length))}
    (logits,) = Graph(fitted.files["loglstm.onnx"], "cpu").run(**inputs)
    assert logits.shape == (batch, 2)
    np.testing.assert_allclose(logits, run_network(network.eval(), inputs)[0], atol=1e-5, rtol=0)


def test_scoring_changes_nothing(fitted: FittedMember) -> None:
    detector = served(fitted)
    given = windows(SESSIONS[:20], detector.window)
    first = detector.score(given.history, given.key)
    detector.score(np.full((3, 4), 99), np.array([99, 1, END]))
    detector.explain(given.history[3], int(given.key[3]))
    assert np.array_equal(detector.score(given.history, given.key), first)
    one_by_one = [detector.score(given.history[at : at + 1], given.key[at : at + 1])[0] for at in range(30)]
    np.testing.assert_allclose(one_by_one, first[:30], atol=1e-5)


def test_odd_keys_have_a_verdict(fitted: FittedMember) -> None:
    history = np.array([[-1, -1, -1, -1], [99, 99, 99, 99], [10**12, 0, -5, END], [END, -1, 1, -1]])
    assert np.isfinite(served(fitted).score(history, np.array([END, 10, END, 1]))).all()


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (fit_loglstm(CORPUS, QUICK, seed=5) for _ in range(2))
    assert first.files == second.files
    assert first.settings == second.settings
    assert np.array_equal(first.raws, second.raws)
    other = fit_loglstm(CORPUS, QUICK, seed=6)
    assert other.files["loglstm.safetensors"] != first.files["loglstm.safetensors"]


def test_fitting_leaves_torch_as_it_was() -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fit_loglstm(CORPUS, QUICK, seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_progress_tells_of_every_fit() -> None:
    told: list[tuple[str, int, int]] = []
    fit_loglstm(CORPUS, QUICK, 0, lambda what, done, total: told.append((what, done, total)))
    assert told == [("loglstm, held out", 1, 2), ("loglstm, held out", 2, 2), ("loglstm", 1, 2), ("loglstm", 2, 2)]


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="loglstm needs at least 20 normal sessions, got 19"):
        fit_loglstm(Corpus.of_keys(SESSIONS[:19]), QUICK, seed=0)
    with pytest.raises(DataError, match="no event"):
        fit_loglstm(Corpus.of_keys([*SESSIONS, np.empty(0, np.int64)]), QUICK, seed=0)
    with pytest.raises(DataError, match="no window can be spoilt"):
        fit_loglstm(Corpus.of_keys([np.array([1] * n) for n in (1, 2, 3) for _ in range(20)]), QUICK, seed=0)


def test_a_damaged_bundle_is_refused(fitted: FittedMember) -> None:
    graph = Graph(fitted.files["loglstm.onnx"], "cpu")
    assert graph.metadata["detector"] == "loglstm"
    with pytest.raises(BundleError, match="another vocabulary"):
        LogLSTM.from_graph(Vocabulary([1, 2]), graph)
    vocabulary = Vocabulary.from_dict(fitted.settings["vocabulary"])
    for lacking in ("length", "threshold", "vocabulary"):
        graph.metadata = {name: value for name, value in graph.metadata.items() if name != lacking}
        with pytest.raises(BundleError, match=f"lack '{lacking}'"):
            LogLSTM.from_graph(vocabulary, graph)
        graph = Graph(fitted.files["loglstm.onnx"], "cpu")
    with pytest.raises(BundleError, match="cannot be loaded"):
        Graph(fitted.files["loglstm.onnx"][:200], "cpu")
    with pytest.raises(BundleError, match="damaged"):
        from_safetensors(fitted.files["loglstm.safetensors"][:50], "loglstm")
