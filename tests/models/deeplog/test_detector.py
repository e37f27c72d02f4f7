"""DeepLog's decision, on a network that is a table: what follows from given logits."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.deeplog.detector import DeepLog
from models.sessions import Int64
from models.vocabulary import BOS, END, EOS, OVERFLOW, SPECIALS, UNK, Vocabulary

VOCABULARY = Vocabulary([10, 20, 30])


class Fixed:
    """The same logits after any window; remembers the windows that it was asked for."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, dtype=np.float32)
        self.asked: list[Int64] = []

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        self.asked.append(windows)
        return [np.tile(self.logits, (len(windows), 1))]


def detector(*logits: float, g: float = 2) -> tuple[DeepLog, Fixed]:
    network = Fixed(*logits)
    return DeepLog(VOCABULARY, h=2, g=g, network=network), network


def score(deeplog: DeepLog, *keys: int) -> list[float]:
    raws: list[float] = deeplog.score(np.tile([10, 20], (len(keys), 1)), np.array(keys)).tolist()
    return raws


def test_rank_counts_the_likelier_keys() -> None:
    deeplog, _ = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    assert [int(raw) for raw in score(deeplog, 10, 20, 30, END)] == [0, 1, 2, 3]


def test_ties_share_the_better_rank() -> None:
    deeplog, _ = detector(0, 0, 0, 5.0, 3.0, 3.0, 3.0)
    assert [int(raw) for raw in score(deeplog, 10, 20, 30)] == [1, 1, 1]


def test_raw_adds_what_the_probability_leaves_open() -> None:
    logits = np.array([1.0, 4.0, 3.0, 2.0])
    deeplog, _ = detector(0, 0, 0, *logits)
    probability = np.exp(logits) / np.exp(logits).sum()
    assert score(deeplog, END, 10, 20, 30) == pytest.approx(np.array([3, 0, 1, 2]) + 1 - probability, abs=1e-6)


def test_raw_reaches_g_exactly_where_the_rank_does() -> None:
    # Probabilities underflow here; raw must not be carried over to the next rank.
    deeplog, _ = detector(0, 0, 0, 900.0, 0.0, -900.0, -1800.0)
    raws = score(deeplog, END, 10, 20, 30)
    assert [raw >= deeplog.g for raw in raws] == [False, False, True, True]
    assert [int(raw) for raw in raws] == [0, 1, 2, 3]


def test_by_surprisal_raw_is_that_of_the_probability() -> None:
    network = Fixed(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    deeplog = DeepLog(VOCABULARY, h=2, g=4.0, network=network, rule="surprisal")
    logits = np.array([1.0, 4.0, 3.0, 2.0])
    expected = np.log(np.exp(logits).sum()) - logits
    assert score(deeplog, END, 10, 20, 30) == pytest.approx(expected, abs=1e-6)
    assert score(deeplog, 40) == [deeplog.unknown]
    extreme = DeepLog(VOCABULARY, h=2, g=4.0, network=Fixed(0, 0, 0, 900.0, 0, 0, 0), rule="surprisal")
    assert score(extreme, 10)[0] < extreme.unknown


def test_padding_start_and_unknown_are_no_possible_keys() -> None:
    deeplog, _ = detector(99.0, 99.0, 99.0, 1.0, 4.0, 3.0, 2.0)
    assert score(deeplog, 10) == score(detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)[0], 10)


def test_an_unknown_key_is_stranger_than_any_rank() -> None:
    deeplog, network = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0, g=7)
    assert score(deeplog, 40, OVERFLOW) == [VOCABULARY.size + 1.0] * 2
    assert all(raw >= deeplog.g for raw in score(deeplog, 40))
    assert network.asked == []


def test_history_is_read_in_places_of_the_vocabulary() -> None:
    deeplog, network = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    deeplog.score(np.array([[-1, -1], [-1, 30], [30, 77]]), np.array([10, 10, END]))
    places = sorted(network.asked[0].tolist())
    assert places == sorted([[BOS, BOS], [BOS, SPECIALS + 2], [SPECIALS + 2, UNK]])


def test_each_distinct_window_is_asked_once() -> None:
    deeplog, network = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    history = np.array([[10, 20], [20, 10], [10, 20], [10, 20]])
    raws = deeplog.score(history, np.array([10, 10, 20, END]))
    assert sum(len(windows) for windows in network.asked) == 2
    alone = [deeplog.score(history[i : i + 1], np.array([key]))[0] for i, key in enumerate([10, 10, 20, END])]
    assert raws.tolist() == alone


def test_nothing_to_score_gives_nothing() -> None:
    deeplog, _ = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    assert deeplog.score(np.empty((0, 2), np.int64), np.empty(0, np.int64)).tolist() == []


def test_explanation_names_what_was_expected() -> None:
    deeplog, _ = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    told = deeplog.explain(np.array([10, 20]), END, k=2)
    assert [one["template_id"] for one in told["expected"]] == [10, 20]
    total = np.exp([1.0, 4.0, 3.0, 2.0]).sum()
    assert told["expected"][0]["probability"] == pytest.approx(np.exp(4.0) / total)
    assert (told["template_id"], told["rank"], told["g"]) == (END, 3, 2)
    assert told["probability"] == pytest.approx(np.exp(1.0) / total)
    assert deeplog.explain(np.array([10, 20]), 40)["rank"] is None


def test_explanation_and_score_agree() -> None:
    deeplog, _ = detector(0, 0, 0, 1.0, 4.0, 3.0, 2.0)
    told = deeplog.explain(np.array([10, 20]), 20)
    assert score(deeplog, 20) == pytest.approx([told["rank"] + 1 - told["probability"]])
    assert EOS == SPECIALS - 1  # the outputs below it are those left out
