"""LogLSTM's decision, on a network that is a table: what follows from given logits."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.loglstm.detector import LARGEST, UNKNOWN, LogLSTM
from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import BOS, END, EOS, OVERFLOW, UNK, Vocabulary

VOCABULARY = Vocabulary([10, 20, 30])


class Weighing:
    """Log odds by the sum of a weight for each place of a window; remembers the windows that it was asked for."""

    def __init__(self, *weights: float) -> None:
        self.weights = np.array(weights, dtype=np.float32)
        self.asked: list[Int64] = []

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        self.asked.append(windows)
        odds = self.weights[windows].sum(axis=1)
        return [np.column_stack([-odds / 2, odds / 2])]


def detector(*weights: float, length: int = 3) -> tuple[LogLSTM, Weighing]:
    network = Weighing(*weights)
    return LogLSTM(VOCABULARY, length, 1.5, network), network


def test_raw_is_the_log_odds_of_history_and_key_together() -> None:
    loglstm, _ = detector(0, 0, 0, 0.5, 1, 2, 4)
    raws = loglstm.score(np.array([[10, 20], [20, 20], [10, 10]]), np.array([30, 10, END]))
    assert raws.tolist() == [7.0, 5.0, 2.5]
    assert raws.dtype == np.float64


def test_the_end_stands_last_and_what_is_before_the_session_on_the_left() -> None:
    loglstm, network = detector(0, 0, 0, 0, 0, 0, 0)
    loglstm.score(np.array([[BEFORE_SESSION, 10]]), np.array([END]))
    assert network.asked[0].tolist() == [[BOS, 4, EOS]]
    assert loglstm.window == 2
    assert loglstm.judges_end


def test_an_unknown_key_is_above_every_other() -> None:
    loglstm, _ = detector(0, 0, 1e6, 0, 1e6, 0, 0)
    keys = np.array([10, OVERFLOW, 99, 10**12, -7, BEFORE_SESSION])
    raws = loglstm.score(np.tile([10, 10], (6, 1)), keys)
    assert raws[0] == LARGEST
    assert raws[1:].tolist() == [UNKNOWN] * 5


def test_an_unknown_key_in_the_history_is_read_as_one() -> None:
    loglstm, network = detector(0, 0, 3, 0, 1, 0, 0)
    assert loglstm.score(np.array([[99, 10**12]]), np.array([10])).tolist() == [7.0]
    assert network.asked[0].tolist() == [[UNK, UNK, 4]]


def test_each_distinct_window_is_seen_once() -> None:
    loglstm, network = detector(0, 0, 0, 0, 1, 2, 3)
    history = np.array([[10, 20], [20, 10], [10, 20]] * 50)
    raws = loglstm.score(history, np.full(150, 30))
    assert len(network.asked[0]) == 2
    assert raws.tolist() == [6.0, 6.0, 6.0] * 50


def test_no_events_have_no_raw_outputs() -> None:
    loglstm, network = detector(0, 0, 0, 0, 0, 0, 0)
    assert loglstm.score(np.empty((0, 2), np.int64), np.empty(0, np.int64)).shape == (0,)
    assert network.asked == []


def test_explain_names_the_keys_that_speak_for_an_anomaly() -> None:
    loglstm, _ = detector(0, 0, 0, 0, -1, 5, 2)
    told = loglstm.explain(np.array([BEFORE_SESSION, 20]), 10)
    assert told == {
        "template_id": 10,
        "raw": 4.0,
        "threshold": 1.5,
        "places": [
            {"offset": -1, "template_id": 20, "fall": 5.0},
            {"offset": 0, "template_id": 10, "fall": -1.0},
        ],
    }
    assert [place["offset"] for place in loglstm.explain(np.array([30, 20]), 10, k=1)["places"]] == [-1]


@pytest.mark.parametrize("key", [99, OVERFLOW, BEFORE_SESSION])
def test_explain_of_an_unknown_key_compares_nothing(key: int) -> None:
    loglstm, network = detector(0, 0, 0, 0, 0, 0, 0)
    told = loglstm.explain(np.array([10, 20]), key)
    assert (told["template_id"], told["raw"], told["places"]) == (key, None, [])
    assert network.asked == []
