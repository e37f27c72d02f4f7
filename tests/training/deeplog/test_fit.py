"""One fit: how long it runs, what it keeps, what it leaves alone, and what a person sees of it."""

import numpy as np
import pytest
import torch

from models.deeplog.network import KeyLSTM, build
from models.vocabulary import Vocabulary
from training.bar import epoch_bar
from training.benchmarks.keys import main
from training.deeplog import DeepLogSettings
from training.deeplog.fit import fit
from training.windows import Pairs, pairs, windows

SMALL = DeepLogSettings(h=2, embedding=4, hidden=4, layers=1, epochs=2, steps=40, learning_rate=0.05)


def given(*sessions: list[int]) -> tuple[Pairs, int]:
    arrays = [np.array(session, dtype=np.int64) for session in sessions]
    vocabulary = Vocabulary(range(1, 10))
    return pairs(windows(arrays, 2), np.ones(len(arrays), dtype=np.int64), vocabulary), vocabulary.size


def fresh(size: int) -> KeyLSTM:
    return build(size, SMALL.embedding, SMALL.hidden, SMALL.layers, seed=0)


def test_few_windows_are_seen_more_often() -> None:
    data, size = given([1, 2, 3], [4, 5, 6])
    assert len(fit(data, fresh(size), SMALL, 0.0, seed=0).curve) == 40
    assert len(fit(data, fresh(size), SMALL, 0.0, seed=0, share=0.25).curve) == 10


def test_the_best_held_out_epoch_is_kept_and_a_fit_that_gets_worse_stops() -> None:
    data, size = given([1, 2, 3], [1, 2, 3, 4])
    other, _ = given([3, 2, 1], [4, 3, 2, 1])
    got = fit(data, fresh(size), SMALL, 0.0, seed=0, heldout=other)
    heldout = [point.heldout for point in got.curve if point.heldout is not None]
    assert len(heldout) == len(got.curve) < 200
    best = int(np.argmin(heldout)) + 1
    assert got.share == best / 40
    assert best < len(got.curve)


def test_repetitions_weigh_as_told() -> None:
    arrays = [np.array([1, 2]), np.array([1, 3])]
    vocabulary = Vocabulary([1, 2, 3])
    data = pairs(windows(arrays, 2), np.array([1, 81]), vocabulary)
    history = torch.from_numpy(vocabulary.encode(np.array([[-1, 1]])))
    odds = {}
    for w in (0.0, 0.5, 1.0):
        network = build(vocabulary.size, embedding=32, hidden=64, layers=2, seed=0)
        logits = fit(data, network, DeepLogSettings(h=2, steps=300), w, seed=0).network(history)[0].detach()
        odds[w] = float(logits[vocabulary.encode(np.array(3))] - logits[vocabulary.encode(np.array(2))])
    # ln(count ** w): even, nine to one, eighty-one to one.
    assert odds == pytest.approx({0.0: 0.0, 0.5: np.log(9), 1.0: np.log(81)}, abs=0.5)


def test_global_state_is_left_as_it_was() -> None:
    data, size = given([1, 2, 3])
    torch.manual_seed(11)
    expected = torch.rand(1)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(11)
    fit(data, fresh(size), SMALL, 0.0, seed=0)
    assert torch.equal(torch.rand(1), expected)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_nothing_is_drawn_or_said_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    data, size = given([1, 2, 3])
    with epoch_bar() as progress:
        fit(data, fresh(size), SMALL, 0.0, seed=0, progress=progress)
    assert capsys.readouterr() == ("", "")


def test_benchmark_without_its_data_says_where_to_get_it(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path_factory.mktemp("empty")), "--json"]) == 2
    assert "tocsin datasets download" in capsys.readouterr().err
