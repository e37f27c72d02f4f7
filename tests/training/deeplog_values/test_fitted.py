"""The parameter-value model fitted on a small made-up log: catches what it must, is quiet otherwise, reproducible."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import torch

from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.network import Scales, build
from models.errors import BundleError, DataError
from models.graph import Graph
from models.record import Records
from models.sessions import Float64
from models.source.config import DrainSettings
from models.template.tree import TemplateTree
from training.corpus import CutSession
from training.deeplog_values import DeepLogValuesSettings, fit_deeplog_values
from training.deeplog_values.fitted import to_onnx
from training.member import Corpus, FittedMember
from training.onnx import BATCHES, from_safetensors

SETTINGS = DeepLogValuesSettings(h=4, hidden=16, embedding=4, steps=150, batch=128, min_sessions=20)
QUEUE, JOB, RARE = 1, 2, 3
LENGTH = 16


def draw(number: int, seed: int) -> Corpus:
    """Sessions that write, in turn, a queue's length (a series of long memory, now and then missing) and a job: its
    duration (long-tailed), five measures of its own, a port that never changes, and a number that only grows."""
    random = np.random.default_rng(seed)
    messages: list[str] = []
    sessions = []
    for at in range(number):
        first = len(messages)
        level = random.normal()
        for _ in range(LENGTH):
            level = 0.95 * level + 0.3 * random.normal()
            shown = "-" if random.random() < 0.1 else f"{50.0 + 10.0 * level:.3f}"
            messages.append(f"queue {shown} items")
            measures = " ".join(f"{value:.3f}" for value in random.normal(100.0, 5.0, 5))
            took = random.lognormal(0.0, 0.5)
            messages.append(f"job {len(messages)} took {took:.4f}ms measures {measures} port 443")
        if at == 5:
            messages.append("cache flushed")
        keys = np.array([QUEUE, JOB] * LENGTH + [RARE] * (at == 5))
        times = 1e9 + 1000.0 * at + np.cumsum(random.normal(1.0, 0.05, len(keys)))
        rows = np.arange(first, len(messages))
        sessions.append(CutSession(str(at), keys, float(times[0]), float(times[-1]), times, rows))
    tree = TemplateTree(DrainSettings(), "made up")
    column = pl.Series(messages, dtype=pl.String)
    ids = tree.assign(column.str.replace_all(r"\b[0-9]+(?:\.[0-9]+)?", "<NUM>")).ids
    assert all((ids[one.records] == one.keys).all() for one in sessions)
    rows = np.arange(len(messages))
    nothing = pl.Series([""] * len(messages), dtype=pl.String)
    records = Records(rows, column, column, np.zeros(len(rows)), pl.DataFrame(), rows, nothing, [])
    return Corpus(sessions, records=records, tree=tree)


CORPUS = draw(48, seed=1)


@pytest.fixture(scope="module")
def fitted() -> FittedMember:
    return fit_deeplog_values(CORPUS, SETTINGS, seed=0)


def detector(fitted: FittedMember, **changed: Any) -> DeepLogValues:
    state = {**orjson.loads(fitted.files["deeplog_values.json"]), **changed}
    return DeepLogValues.from_dict(state, Graph(fitted.files["deeplog_values.onnx"], "cpu"))


def vectors(given: DeepLogValues, key: int, session: int) -> Float64:
    """A template's vectors in one session of the corpus, as the service would read them; float64 [n, width]."""
    one = CORPUS.sessions[session]
    records, tree = CORPUS.lines("test")
    elapsed = np.diff(one.times, prepend=np.nan)
    return np.array(
        [
            [elapsed[at], *given.read(key, tree.template(key).tokens, records.message[int(one.records[at])])]
            for at in np.flatnonzero(one.keys == key).tolist()
        ]
    )


def column(given: DeepLogValues, key: int, mask: str, number: int = 0) -> int:
    at = [c for c, position in enumerate(given.templates[key].positions) if position.mask == mask]
    return at[number]


def raw_of(given: DeepLogValues, key: int, own: Float64) -> float:
    history = np.full((SETTINGS.h, given.width), np.nan)
    past = own[:-1][-SETTINGS.h :]
    history[SETTINGS.h - len(past) :] = past
    return float(given.score_values(np.array([key]), history[None], own[-1:])[0])


def test_normal_vectors_are_quiet(fitted: FittedMember) -> None:
    given = detector(fitted)
    raws = []
    for session in range(36, 48):
        for key in (QUEUE, JOB):
            own = vectors(given, key, session)
            raws += [raw_of(given, key, own[: at + 1]) for at in range(len(own))]
    assert np.mean(np.array(raws) >= 1.0) <= 0.04


def test_a_jump_that_the_series_does_not_make_is_caught(fitted: FittedMember) -> None:
    given = detector(fitted)
    caught = []
    for session in range(36, 48):
        own = vectors(given, QUEUE, session)
        # A line of which both this number and the one before are there.
        own = own[: 1 + next(at for at in range(9, LENGTH) if not np.isnan(own[at - 1 : at + 1, 1]).any())]
        here = own[-1, 1]
        # Three standard deviations, towards the mean: only the memory of the series tells.
        own[-1, 1] = here - 30.0 * np.sign(here - 50.0)
        caught.append(raw_of(given, QUEUE, own) >= 1.0)
    assert all(caught)


def test_one_broken_number_among_many_is_caught_and_named(fitted: FittedMember) -> None:
    given = detector(fitted)
    measure = column(given, JOB, "NUM", 2)
    own = vectors(given, JOB, 40)[:6]
    assert raw_of(given, JOB, own) < 1.0
    own[-1, measure] = 100.0 + 5.0 * 5.0
    assert raw_of(given, JOB, own) >= 1.0
    told = given.explain(JOB, own[1:5], own[-1])
    assert (told["feature"], told["ordinal"]) == ("NUM", given.templates[JOB].positions[measure].ordinal)
    assert told["token"] == given.templates[JOB].positions[measure].token
    assert told["normal"][0] < 100.0 < told["normal"][1] < 125.0
    assert told["contribution"] > 0.5


def test_a_slow_event_is_caught_without_any_history(fitted: FittedMember) -> None:
    given = detector(fitted)
    own = vectors(given, QUEUE, 40)[1:2]
    assert raw_of(given, QUEUE, own) < 1.0
    own[0, 0] = 1.6
    assert raw_of(given, QUEUE, own) >= 1.0


def test_without_history_the_mean_is_expected(fitted: FittedMember) -> None:
    given = detector(fitted)
    told = given.explain(QUEUE, np.full((4, given.width), np.nan), vectors(given, QUEUE, 40)[1])
    queue = next(one for one in told["values"] if one["feature"] != "elapsed")
    assert queue["expected"] == pytest.approx(50.0, abs=5.0)


def test_positions_are_chosen_by_what_they_hold(fitted: FittedMember) -> None:
    positions = detector(fitted).templates[JOB].positions
    constants = [position.constant for position in positions if position.constant is not None]
    tokens = {position.token for position in positions}
    assert constants == [443.0]
    # "job <NUM>" only grows.
    assert 1 not in tokens
    took = next(position for position in positions if position.token == 3)
    assert took.unit > 0.0
    assert all(position.unit == 0.0 for position in positions if position.token in range(5, 10))


def test_templates_without_samples_are_named(fitted: FittedMember) -> None:
    given = detector(fitted)
    assert not given.reads(np.array([RARE]))[0]
    assert given.explain(RARE, np.empty((4, given.width)), np.empty(given.width))["samples"] == 1
    assert fitted.settings["templates_without_model"] == {str(RARE): 1}


def test_held_out_raws_are_of_the_newest_sessions(fitted: FittedMember) -> None:
    assert np.isnan(fitted.raws[:36]).all()
    assert np.isfinite(fitted.raws[36:]).all()
    assert fitted.threshold > np.nanmax(fitted.raws)
    assert fitted.curves["loss"][-1] < fitted.curves["loss"][0]


def test_the_graph_says_what_the_network_says_at_any_batch(fitted: FittedMember) -> None:
    # ``to_onnx`` compares at these batches itself and refuses; here the served graph, and any number of steps.
    graph = Graph(fitted.files["deeplog_values.onnx"], "cpu")
    random = np.random.default_rng(0)
    width = detector(fitted).width
    for batch in BATCHES:
        key = random.integers(0, 2, batch)
        values, history = random.normal(50.0, 9.0, (batch, width)), random.normal(50.0, 9.0, (batch, 4, width))
        length = random.integers(0, 3, batch)
        whole = graph.run(key=key, history=history, length=length, values=values)
        cut = graph.run(key=key, history=np.ascontiguousarray(history[:, :2]), length=length, values=values)
        for one, other in zip(whole, cut, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_network_unlike_its_graph_is_refused(monkeypatch: pytest.MonkeyPatch, fitted: FittedMember) -> None:
    network = build(Scales(*(np.ones((2, 3)) for _ in range(4))), 4, 8, seed=0)
    assert to_onnx(network, "x", 3, 2, 4)
    noisy = network.forward

    def forward(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        error, deviation, prediction = noisy(*inputs)
        return error + (0.0 if torch.jit.is_tracing() else 1.0), deviation, prediction

    monkeypatch.setattr(network, "forward", forward)
    with pytest.raises(DataError, match="differs"):
        to_onnx(network, "x", 3, 2, 4)


def test_the_same_seed_gives_the_same_member(fitted: FittedMember) -> None:
    quick = replace(SETTINGS, steps=5)
    first, second = (fit_deeplog_values(CORPUS, quick, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.raws, second.raws)
    assert first.files["deeplog_values.json"] == second.files["deeplog_values.json"]
    weights, again = (from_safetensors(one.files["deeplog_values.safetensors"], "x") for one in (first, second))
    for name, value in weights.items():
        np.testing.assert_array_equal(value, again[name])


def test_parts_of_different_trainings_are_refused(fitted: FittedMember) -> None:
    with pytest.raises(BundleError, match="different"):
        detector(fitted, fingerprint="0")
    with pytest.raises(BundleError, match="ONNX"):
        Graph(b"damaged", "cpu")


def test_the_paper_s_rule_reads_the_same_parts(fitted: FittedMember) -> None:
    given = detector(fitted, rule="gaussian")
    own = vectors(given, JOB, 40)[:6]
    assert raw_of(given, JOB, own) < 1.0
    own[-1, 0] = 30.0
    assert raw_of(given, JOB, own) > 1.0


def test_too_little_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="keys"):
        fit_deeplog_values(Corpus.of_keys([np.array([1, 2])] * 60), SETTINGS, seed=0)
    with pytest.raises(DataError, match="at least 20"):
        fit_deeplog_values(replace(CORPUS, sessions=CORPUS.sessions[:19]), SETTINGS, seed=0)
    with pytest.raises(DataError, match="no template"):
        fit_deeplog_values(replace(CORPUS, sessions=CORPUS.sessions[:20]), replace(SETTINGS, h=400), seed=0)
