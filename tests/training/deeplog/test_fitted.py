"""DeepLog fitted on a small grammar: catches what it must, is quiet otherwise, and is reproducible."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from models.deeplog.detector import DeepLog
from models.deeplog.prefixes import network_of
from models.errors import BundleError, DataError
from models.graph import Graph
from models.sessions import Int64
from models.vocabulary import END, OVERFLOW, UNK, Vocabulary
from training.deeplog import DeepLogSettings, FittedDeepLog, fit_deeplog
from training.deeplog.export import Unexported, restore, to_onnx
from training.deeplog.raws import session_raws
from training.onnx import from_safetensors

# A small made-up program: eight steps to set up, one to three reads with their acknowledgement, maybe a flush, eight
# steps to tear down. Only an acknowledgement has more than one key that may follow.
SETUP = list(range(11, 19))
READ, DONE, FLUSH = 21, 22, 23
TEARDOWN = list(range(31, 39))


def draw(number: int, seed: int) -> list[Int64]:
    """Normal sessions, int64 [length] each."""
    random = np.random.default_rng(seed)
    sessions = []
    for _ in range(number):
        reads = [READ, DONE] * int(random.integers(1, 4))
        flush = [FLUSH] if random.random() < 0.4 else []
        sessions.append(np.array([*SETUP, *reads, *flush, *TEARDOWN], dtype=np.int64))
    return sessions


def without(session: Int64, step: int) -> Int64:
    """A missing step."""
    return np.delete(session, step)


def swapped(session: Int64, step: int) -> Int64:
    """A step that comes after the one that it should precede."""
    odd = session.copy()
    odd[[step, step + 1]] = odd[[step + 1, step]]
    return odd


SETTINGS = DeepLogSettings(
    h=4, embedding=8, hidden=32, epochs=60, steps=1, patience=60, batch=16, learning_rate=0.02, folds=2, screened=1,
    weight_powers=(0.0, 1.0), min_sessions=20, false_alarm_rate=0.02,
)  # fmt: skip
SESSIONS = draw(80, seed=1)
UNSEEN = draw(20, seed=2)


@pytest.fixture(scope="module")
def fitted() -> FittedDeepLog:
    """By rank, as in the paper."""
    return fit_deeplog(SESSIONS, SETTINGS, seed=3)


@pytest.fixture(scope="module")
def strict() -> FittedDeepLog:
    """By surprisal."""
    return fit_deeplog(SESSIONS, replace(SETTINGS, rule="surprisal"), seed=3)


def share_of_alarms(fitted: FittedDeepLog, sessions: list[Int64]) -> float:
    return float((session_raws(fitted.detector(), sessions).session >= fitted.g).mean())


def test_normal_sessions_are_quiet(fitted: FittedDeepLog, strict: FittedDeepLog) -> None:
    assert share_of_alarms(fitted, draw(200, seed=4)) <= 0.02
    assert share_of_alarms(strict, draw(200, seed=4)) <= 0.02


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param([*TEARDOWN, *SETUP], id="wrong order"),
        pytest.param([SETUP[0], *SETUP[6:], READ, DONE, *TEARDOWN], id="missing steps"),
        pytest.param([*SETUP, READ, DONE], id="early end"),
        pytest.param(SETUP[:1], id="end at once"),
        pytest.param([*SETUP, READ, DONE, 99, *TEARDOWN], id="unknown key"),
        pytest.param([*SETUP, READ, DONE, *TEARDOWN, READ], id="after the last step"),
    ],
)
def test_planted_anomalies_are_caught_by_either_rule(
    fitted: FittedDeepLog, strict: FittedDeepLog, planted: list[int]
) -> None:
    assert share_of_alarms(fitted, [np.array(planted)]) == 1.0
    assert share_of_alarms(strict, [np.array(planted)]) == 1.0


def test_surprisal_catches_any_single_step_swapped_missing_or_cut(strict: FittedDeepLog) -> None:
    inner = [(session, step) for session in UNSEEN for step in range(len(session) - 1)]
    assert share_of_alarms(strict, [swapped(*one) for one in inner]) >= 0.99
    # A session that lost its flush is a normal one.
    assert share_of_alarms(strict, [without(s, step) for s, step in inner if s[step] != FLUSH]) >= 0.99
    assert share_of_alarms(strict, [session[: step + 1] for session, step in inner]) >= 0.99


def test_only_the_end_gives_an_early_end_away(fitted: FittedDeepLog) -> None:
    raws = session_raws(fitted.detector(), [np.array([*SETUP, READ])])
    assert raws.events[0] < fitted.g <= raws.end[0]


def test_an_unknown_key_in_history_is_read_as_unknown_and_still_judged(fitted: FittedDeepLog) -> None:
    detector = fitted.detector()
    history = np.array([[-1, SETUP[0], 99, SETUP[2]]])
    assert fitted.vocabulary.encode(history)[0, 2] == UNK
    assert detector.score(history, np.array([SETUP[3]]))[0] < fitted.g
    assert detector.score(history, np.array([TEARDOWN[-1]]))[0] >= fitted.g
    assert detector.score(history, np.array([99]))[0] == detector.unknown


def test_scores_of_folded_sessions_equal_a_plain_loop(fitted: FittedDeepLog) -> None:
    detector = fitted.detector()
    sessions = [*draw(5, seed=4), np.array([READ, FLUSH]), np.array([READ, FLUSH]), np.array([99])]
    raws = session_raws(detector, sessions)
    for number, session in enumerate(sessions):
        padded = [-1] * 4 + session.tolist() + [END]
        loop = [
            detector.score(np.array([padded[at - 4 : at]]), np.array([padded[at]]))[0] for at in range(4, len(padded))
        ]
        assert raws.events[number] == pytest.approx(max(loop[:-1]), abs=1e-6)
        assert raws.end[number] == pytest.approx(loop[-1], abs=1e-6)


def test_every_session_was_held_out_once(fitted: FittedDeepLog) -> None:
    events, end = fitted.heldout["events"], fitted.heldout["end"]
    assert len(events) == len(SESSIONS)
    assert not np.isnan(fitted.heldout["session"]).any()
    np.testing.assert_array_equal(fitted.heldout["session"], np.maximum(events, end))
    rate = float((fitted.heldout["session"] >= fitted.g).mean())
    chosen = next(trial for trial in fitted.trials if trial.w == fitted.w)
    assert (chosen.g, chosen.sessions) == (fitted.g, len(SESSIONS))
    at = chosen.levels.index(fitted.g)
    assert rate == chosen.rates[at] <= SETTINGS.false_alarm_rate + chosen.unavoidable
    assert at == 1 or chosen.rates[at - 1] > SETTINGS.false_alarm_rate + chosen.unavoidable


def test_a_held_out_key_that_the_rest_lacks_does_not_raise_g(fitted: FittedDeepLog) -> None:
    odd = [np.append(session, 100 + number) if number < 8 else session for number, session in enumerate(SESSIONS)]
    got = fit_deeplog(odd, replace(SETTINGS, weight_powers=(0.0,)), seed=3)
    assert got.heldout["events"][:8].tolist() == [got.vocabulary.size + 1.0] * 8
    assert got.trials[0].unavoidable == pytest.approx(0.1)
    assert got.g < got.vocabulary.size / 2


def test_sessions_that_hold_the_overflow_template_can_be_learned() -> None:
    quick = replace(SETTINGS, weight_powers=(0.0,), epochs=2)
    got = fit_deeplog([np.append(session, OVERFLOW) for session in SESSIONS], quick, seed=0)
    assert OVERFLOW not in got.vocabulary.keys
    assert (got.heldout["events"] == got.vocabulary.size + 1.0).all()


def test_the_newest_tenth_alone_can_choose() -> None:
    got = fit_deeplog(SESSIONS, replace(SETTINGS, weight_powers=(0.0,), epochs=5), seed=3, newest=0.1)
    assert np.isnan(got.heldout["session"][:72]).all()
    assert not np.isnan(got.heldout["session"][72:]).any()


def test_the_same_seed_gives_the_same_weights() -> None:
    quick = replace(SETTINGS, weight_powers=(0.5,), epochs=3)
    first, second = (fit_deeplog(SESSIONS, quick, seed=5) for _ in range(2))
    assert first.safetensors() == second.safetensors()
    assert first.onnx == second.onnx
    np.testing.assert_array_equal(first.heldout["session"], second.heldout["session"])
    assert fit_deeplog(SESSIONS, quick, seed=6).safetensors() != first.safetensors()


def test_progress_tells_of_every_fit_to_its_end() -> None:
    seen: list[tuple[str, int, int]] = []
    quick = replace(SETTINGS, weight_powers=(0.0, 1.0), epochs=2)
    fit_deeplog(SESSIONS, quick, seed=0, progress=lambda *call: seen.append(call))
    names = list(dict.fromkeys(name for name, _, _ in seen))
    assert len(names) == 5  # each w on the screened fold and on all sessions, the better one on the other fold
    for name in names:
        calls = [(done, total) for own, done, total in seen if own == name]
        assert calls[-1][0] == calls[-1][1]
        assert all(before[0] < after[0] for before, after in pairwise(calls))


def test_too_few_sessions_are_refused() -> None:
    with pytest.raises(DataError, match="DeepLog needs at least 20 normal sessions, got 19"):
        fit_deeplog(SESSIONS[:19], SETTINGS, seed=0)


@pytest.mark.parametrize("batch", [1, 2, 33])
def test_graph_and_network_agree(fitted: FittedDeepLog, batch: int) -> None:
    network = restore(fitted.state, SETTINGS.embedding, SETTINGS.hidden, SETTINGS.layers)
    windows = np.random.default_rng(batch).integers(0, fitted.vocabulary.size, (batch, SETTINGS.h))
    (served,) = network_of(Graph(fitted.onnx, "cpu")).run(windows=windows)
    (trained,) = Unexported(network).run(windows=windows)
    assert served.shape == (batch, fitted.vocabulary.size)
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, trained, atol=1e-5, rtol=0)


def test_graph_and_network_give_the_same_ranks(fitted: FittedDeepLog) -> None:
    network = restore(
        from_safetensors(fitted.safetensors(), "deeplog"), SETTINGS.embedding, SETTINGS.hidden, SETTINGS.layers
    )
    trained = DeepLog(fitted.vocabulary, SETTINGS.h, fitted.g, Unexported(network))
    sessions = [*draw(50, seed=9), np.array([DONE, READ, *TEARDOWN, *SETUP])]
    served_raws, trained_raws = (session_raws(d, sessions).session for d in (fitted.detector(), trained))
    np.testing.assert_array_equal(np.floor(served_raws), np.floor(trained_raws))


def test_the_graph_says_what_it_is_and_export_leaves_eval_mode(fitted: FittedDeepLog) -> None:
    network = restore(fitted.state, SETTINGS.embedding, SETTINGS.hidden, SETTINGS.layers)
    graph = Graph(to_onnx(network, fitted.vocabulary, 4, 2.75, "surprisal"), "cpu")
    assert not network.training
    assert dict(graph.metadata) == {
        "detector": "deeplog", "h": "4", "g": "2.75", "rule": "surprisal",
        "vocabulary": fitted.vocabulary.fingerprint(), "layers": str(SETTINGS.layers), "units": str(SETTINGS.hidden),
    }  # fmt: skip
    detector = DeepLog.from_graph(fitted.vocabulary, graph)
    assert (detector.window, detector.g, detector.rule) == (4, 2.75, "surprisal")


def test_a_graph_of_another_vocabulary_is_refused(fitted: FittedDeepLog) -> None:
    with pytest.raises(BundleError, match="another vocabulary"):
        DeepLog.from_graph(Vocabulary([1, 2]), Graph(fitted.onnx, "cpu"))


def test_damaged_weights_are_refused(fitted: FittedDeepLog) -> None:
    with pytest.raises(BundleError, match="restore the bundle"):
        from_safetensors(fitted.safetensors()[:30], "deeplog")


def test_session_is_as_strange_as_the_stricter_of_held_out_and_final_network(fitted: FittedDeepLog) -> None:
    final = session_raws(fitted.detector(), SESSIONS).session
    # Ranks are whole; probabilities differ in the last digits between torch and ONNX Runtime.
    assert (fitted.heldout["session"] >= final - 1e-4).all()
