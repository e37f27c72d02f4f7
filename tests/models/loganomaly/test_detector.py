"""LogAnomaly's decision on a network that is a table: what it reads, how it ranks, what it says."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.loganomaly.counts import running_counts
from models.loganomaly.detector import LogAnomaly
from models.loganomaly.nearest import Nearest
from models.sessions import Int64
from models.vocabulary import BOS, END, OVERFLOW, SPECIALS, UNK, Vocabulary

VOCABULARY = Vocabulary([10, 20, 30])


class Fixed:
    """The same logits after any window; remembers what it was given."""

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, dtype=np.float32)
        self.windows: list[Int64] = []
        self.counts: list[NDArray[np.float32]] = []

    def run(self, *, windows: Int64, counts: NDArray[np.float32]) -> list[NDArray[Any]]:
        self.windows.append(windows)
        self.counts.append(counts)
        return [np.tile(self.logits, (len(windows), 1))]


def nearest() -> Nearest:
    """77 is like 30; 88 is like nothing."""
    known = np.eye(3, dtype=np.float32)
    unknown = {77: [0.1, 0.0, 0.99], 88: [0.5, 0.5, 0.5]}
    return Nearest(
        VOCABULARY.keys, known, 0.9, lambda ids: np.array([unknown[i] for i in ids], np.float32), lambda *_: None
    )


def detector(*, reads: bool = False, g: float = 2) -> tuple[LogAnomaly, Fixed]:
    network = Fixed(99, 99, 99, 1.0, 4.0, 3.0, 2.0)
    return LogAnomaly(VOCABULARY, 2, g, network, nearest=nearest() if reads else None), network


def score(loganomaly: LogAnomaly, *keys: int) -> list[float]:
    raws: list[float] = loganomaly.score(np.tile([10, 20], (len(keys), 1)), np.array(keys)).tolist()
    return raws


def test_raw_is_rank_and_what_the_probability_leaves_open() -> None:
    probability = np.exp([1.0, 4.0, 3.0, 2.0]) / np.exp([1.0, 4.0, 3.0, 2.0]).sum()
    expected = np.array([3, 0, 1, 2]) + 1 - probability
    assert score(detector()[0], END, 10, 20, 30) == pytest.approx(expected, abs=1e-6)


def test_the_network_gets_places_and_their_counts_each_window_once() -> None:
    loganomaly, network = detector()
    history = np.array([[-1, -1], [-1, 30], [30, 77], [-1, 30]])
    loganomaly.score(history, np.array([10, 10, END, 20]))
    (windows,), (counts,) = network.windows, network.counts
    assert sorted(windows.tolist()) == sorted([[BOS, BOS], [BOS, SPECIALS + 2], [SPECIALS + 2, UNK]])
    np.testing.assert_array_equal(counts, running_counts(windows, VOCABULARY.size))


def test_large_batches_are_counted_in_parts() -> None:
    vocabulary = Vocabulary(range(1, 4001))
    network = Fixed(*np.arange(vocabulary.size, dtype=float))
    loganomaly = LogAnomaly(vocabulary, 2, 5, network)
    history = np.column_stack([np.arange(1, 1501), np.arange(2, 1502)])
    raws = loganomaly.score(history, history[:, 0])
    assert len(network.windows) > 1
    assert sum(map(len, network.windows)) == 1500
    np.testing.assert_array_equal(np.floor(raws), 4000 - history[:, 0])


def test_unknown_keys_are_anomalies_without_a_reading() -> None:
    loganomaly, network = detector(g=7)
    assert score(loganomaly, 77, OVERFLOW, 10**12, -9) == [loganomaly.unknown] * 4
    assert loganomaly.unknown == VOCABULARY.size + 1.0 >= loganomaly.g
    assert network.windows == []


def test_an_unknown_template_is_read_as_the_one_it_is_like() -> None:
    loganomaly, network = detector(reads=True)
    assert score(loganomaly, 77, 88, OVERFLOW) == [score(loganomaly, 30)[0], *[loganomaly.unknown] * 2]
    network.windows.clear()
    loganomaly.score(np.array([[77, 88]]), np.array([END]))
    assert network.windows[0].tolist() == [[SPECIALS + 2, UNK]]


def test_the_callers_arrays_are_left_as_they_were() -> None:
    loganomaly, _ = detector(reads=True)
    history, keys = np.array([[77, 88]]), np.array([77])
    first = loganomaly.score(history, keys)
    assert (history.tolist(), keys.tolist()) == ([[77, 88]], [77])
    assert loganomaly.score(history, keys).tolist() == first.tolist()


def test_nothing_to_score_gives_nothing() -> None:
    loganomaly, _ = detector(reads=True)
    assert loganomaly.score(np.empty((0, 2), np.int64), np.empty(0, np.int64)).tolist() == []


def test_explanation_says_what_was_expected_counted_and_read() -> None:
    loganomaly, _ = detector(reads=True)
    told = loganomaly.explain(np.array([77, 30]), 77, k=2)
    assert [one["template_id"] for one in told["expected"]] == [10, 20]
    assert (told["template_id"], told["rank"], told["g"]) == (77, 2, 2)
    assert told["counts"] == [{"template_id": 30, "count": 2}]
    (reading,) = told["read_as"]
    assert (reading["template_id"], reading["as"]) == (77, 30)
    assert reading["cosine"] == pytest.approx(0.99)
    assert score(loganomaly, 77) == pytest.approx([told["rank"] + 1 - told["probability"]])
    json.dumps(told)


def test_explanation_of_unknown_keys_and_ends() -> None:
    loganomaly, _ = detector()
    told = loganomaly.explain(np.array([-1, 77]), 88)
    assert (told["rank"], told["read_as"]) == (None, [])
    assert told["counts"] == [{"template_id": OVERFLOW, "count": 1}]
    assert loganomaly.explain(np.array([-1, -1]), END)["counts"] == []
    assert loganomaly.explain(np.array([10, 20]), END)["rank"] == 3
