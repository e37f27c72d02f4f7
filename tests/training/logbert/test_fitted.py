"""LogBERT fitted on a small grammar: catches what it must, is quiet otherwise, and is reproducible."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from models.errors import BundleError, DataError
from models.graph import Graph
from models.logbert.detector import LogBERT, LogBERTDistance
from models.logbert.network import LONGEST, build
from models.logbert.reader import STEP, Reader
from models.sessions import SEGMENT, Int64
from models.vocabulary import BOS, END, PAD, SPECIALS, Vocabulary
from training.logbert import LogBERTSettings, fit_logbert
from training.logbert.crossfit import Segments
from training.logbert.export import Unexported, to_onnx
from training.member import Corpus, FittedMember
from training.onnx import from_safetensors, run_network

# A small made-up program: four steps to set up, one to three reads with their acknowledgement, four to tear down.
SETUP, TEARDOWN = [11, 12, 13, 14], [31, 32, 33, 34]
READ, DONE = 21, 22


def draw(number: int, seed: int) -> list[Int64]:
    """Normal sessions, int64 [length] each."""
    random = np.random.default_rng(seed)
    return [np.array([*SETUP, *[READ, DONE] * int(random.integers(1, 4)), *TEARDOWN]) for _ in range(number)]


SETTINGS = LogBERTSettings(
    layers=1, feed_forward=64, epochs=40, rows=96, learning_rate=0.005, folds=2, min_sessions=20,
    false_alarm_rate=0.02,
)  # fmt: skip
SESSIONS = draw(60, seed=1)
Fitted = tuple[FittedMember, FittedMember]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_logbert(Corpus.of_keys(SESSIONS), SETTINGS, seed=3)


def vocabulary_of(member: FittedMember) -> Vocabulary:
    return Vocabulary.from_dict(member.settings["vocabulary"])


def served(member: FittedMember) -> LogBERT:
    return LogBERT.from_graph(vocabulary_of(member), Graph(member.files["logbert.onnx"], "cpu"))


def test_normal_sessions_are_quiet(fitted: Fitted) -> None:
    raws = served(fitted[0]).score_sequences(draw(100, seed=4))
    assert (raws < fitted[0].threshold).all()


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param([*TEARDOWN, *SETUP], id="wrong order"),
        pytest.param([*SETUP, READ, DONE], id="early end"),
        pytest.param(SETUP[:1], id="end at once"),
        pytest.param([*SETUP, READ, DONE, 99, *TEARDOWN], id="unknown key"),
        pytest.param([SETUP[0], READ, DONE, *TEARDOWN], id="missing steps"),
        pytest.param([99], id="one unknown event"),
    ],
)
def test_planted_anomalies_are_caught(fitted: Fitted, planted: list[int]) -> None:
    assert served(fitted[0]).score_sequences([np.array(planted)])[0] >= fitted[0].threshold


def test_an_early_end_is_what_the_explanation_names(fitted: Fitted) -> None:
    told = served(fitted[0]).explain(np.array([*SETUP, READ]))
    assert told["keys"][0]["template_id"] == END
    assert END not in [one["template_id"] for one in told["keys"][0]["expected"][:2]]


def test_the_distance_tells_the_strangest_from_the_normal(fitted: Fitted) -> None:
    member = fitted[1]
    detector = LogBERTDistance.from_graph(vocabulary_of(member), Graph(member.files["logbert.onnx"], "cpu"))
    normal = detector.score_sequences(draw(50, seed=4))
    odd = detector.score_sequences([np.array([*TEARDOWN, *SETUP]), np.array([33]), np.full(30, 99)])
    assert odd.min() > normal.max()
    # In units of the mean over the distinct sessions fitted to.
    assert detector.score_sequences(list(Segments(SESSIONS).distinct)).mean() == pytest.approx(1.0, rel=1e-3)


def test_every_session_was_held_out_once_and_thresholds_follow(fitted: Fitted) -> None:
    for member in fitted:
        assert member.raws.shape == (len(SESSIONS),)
        assert not np.isnan(member.raws).any()
        assert (member.raws >= member.threshold).mean() <= SETTINGS.false_alarm_rate
    assert fitted[0].threshold == fitted[0].settings["r"] + STEP
    # Equal sessions in one fold have one raw output, so there are no more than two folds' for each distinct one.
    assert len(set(fitted[0].raws.tolist())) <= 2 * len(Segments(SESSIONS).distinct)


def test_g_is_the_one_under_which_most_spoilt_sessions_ring(fitted: Fitted) -> None:
    levels = fitted[0].settings["levels"]
    chosen = next(level for level in levels if level["g"] == fitted[0].settings["g"])
    assert chosen["found"] == max(level["found"] for level in levels)
    assert all(level["rate"] <= SETTINGS.false_alarm_rate for level in levels)
    assert chosen["r"] == fitted[0].settings["r"]


def test_settings_are_plain_json(fitted: Fitted) -> None:
    for member in fitted:
        assert json.loads(json.dumps(member.settings)) == member.settings
        assert json.loads(json.dumps(member.curves)) == member.curves
        assert sorted(member.files) == ["logbert.onnx", "logbert.replay.npz", "logbert.safetensors"]


def test_training_gets_better_and_tells_of_it(fitted: Fitted) -> None:
    heldout = fitted[0].curves["holdout 1"]
    assert heldout[-1] < heldout[0] / 2
    keys = fitted[0].curves["masked keys"]
    assert keys[-1] < keys[0] / 2
    assert len(fitted[1].curves["volume"]) == len(keys)


def test_the_same_seed_gives_the_same_and_progress_is_told() -> None:
    short = replace(SETTINGS, epochs=2)
    told: list[tuple[str, int, int]] = []
    torch.manual_seed(11)
    expected = torch.rand(1)
    before = torch.get_num_threads()
    torch.manual_seed(11)
    first = fit_logbert(Corpus.of_keys(SESSIONS), short, 0, lambda *step: told.append(step))
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == before
    second = fit_logbert(Corpus.of_keys(SESSIONS), short, 0)
    assert first[0].files["logbert.safetensors"] == second[0].files["logbert.safetensors"]
    assert first[0].raws.tolist() == second[0].raws.tolist()
    names = list(dict.fromkeys(name for name, _, _ in told))
    assert names == ["logbert, holdout 1 of 2", "logbert, holdout 2 of 2", "logbert, all"]
    assert all(done < later for (one, done, _), (other, later, _) in pairwise(told) if one == other)


def test_long_sessions_are_trained_and_held_out_by_their_segments() -> None:
    long = np.tile([READ, DONE], SEGMENT)
    corpus = Corpus.of_keys([*draw(20, seed=1), *[long[: SEGMENT + 40 + 2 * i] for i in range(4)]])
    tiny = replace(SETTINGS, width=4, heads=1, groups=2, feed_forward=4, epochs=1, rows=1)
    keys, distance = fit_logbert(corpus, tiny, 0)
    assert not np.isnan(keys.raws).any()
    assert not np.isnan(distance.raws).any()


@pytest.mark.parametrize("time", [2, 3, 40, LONGEST])
def test_the_graph_gives_what_the_network_gives_at_any_length(time: int) -> None:
    vocabulary = Vocabulary(range(1, 20))
    network = build(vocabulary.size, 16, 2, 2, 16, seed=0).eval()
    graph = Graph(to_onnx(network, vocabulary, 3, 4, True, 0.5), "cpu")
    random = np.random.default_rng(time)
    for batch in (1, 2, 33) if time < LONGEST else (1, 2):
        places = random.integers(SPECIALS, vocabulary.size + 1, (batch, time))
        places[:, 0] = BOS
        places[1:, random.integers(1, time) :] = PAD
        at = random.integers(0, time, (batch, 1 + time // 4))
        for got, expected in zip(
            graph.run(places=places, at=at), run_network(network, {"places": places, "at": at}), strict=True
        ):
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_padding_and_company_change_nothing() -> None:
    vocabulary = Vocabulary(range(1, 20))
    reader = Reader(vocabulary, 4, True, Unexported(build(vocabulary.size, 16, 2, 2, 16, seed=0).eval()))
    sessions = [np.random.default_rng(n).integers(1, 20, n) for n in (1, 2, 9, 60)]
    together = reader.keys(sessions)
    alone = [reader.keys([one]) for one in sessions]
    np.testing.assert_array_equal(together.rank, np.concatenate([one.rank for one in alone]))
    np.testing.assert_allclose(together.surprisal, np.concatenate([one.surprisal for one in alone]), atol=1e-5)


def test_scoring_changes_nothing(fitted: Fitted) -> None:
    detector = served(fitted[0])
    sessions = [*draw(5, seed=9), np.array([READ, 99])]
    before = detector.score_sequences(sessions)
    detector.explain(sessions[-1])
    detector.score_sequences(draw(20, seed=10))
    assert detector.score_sequences(sessions).tolist() == before.tolist()


def test_weights_can_be_read_back(fitted: Fitted) -> None:
    state = from_safetensors(fitted[0].files["logbert.safetensors"], "logbert")
    network = build(vocabulary_of(fitted[0]).size, SETTINGS.width, SETTINGS.heads, 1, SETTINGS.feed_forward, seed=0)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    detector = served(fitted[0])
    again = LogBERT(
        Reader(vocabulary_of(fitted[0]), SETTINGS.groups, True, Unexported(network.eval())), fitted[0].settings["g"]
    )
    sessions = draw(5, seed=9)
    np.testing.assert_allclose(again.score_sequences(sessions), detector.score_sequences(sessions), atol=STEP / 100)


def test_another_vocabulary_is_refused(fitted: Fitted) -> None:
    graph = Graph(fitted[0].files["logbert.onnx"], "cpu")
    with pytest.raises(BundleError, match="another vocabulary"):
        LogBERT.from_graph(Vocabulary([1, 2, 3]), graph)


@pytest.mark.parametrize("damage", [{"g": None}, {"g": "few"}, {"groups": "0"}, {"end": None}, {"scale": "nan"}])
def test_damaged_metadata_are_refused(fitted: Fitted, damage: dict[str, Any]) -> None:
    model = onnx.load_model_from_string(fitted[0].files["logbert.onnx"])
    metadata = {entry.key: entry.value for entry in model.metadata_props} | damage
    onnx.helper.set_model_props(model, {name: value for name, value in metadata.items() if value is not None})
    graph = Graph(model.SerializeToString(), "cpu")
    with pytest.raises(BundleError, match="logbert"):
        LogBERT.from_graph(vocabulary_of(fitted[0]), graph)


def test_too_few_sessions_and_empty_ones_are_refused() -> None:
    with pytest.raises(DataError, match="logbert needs at least 20 normal sessions"):
        fit_logbert(Corpus.of_keys(SESSIONS[:19]), SETTINGS, 0)
    with pytest.raises(DataError, match="has no event"):
        fit_logbert(Corpus.of_keys([*SESSIONS, np.empty(0, dtype=np.int64)]), SETTINGS, 0)
