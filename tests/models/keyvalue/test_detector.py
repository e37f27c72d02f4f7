"""The decision by keys and fields, on a network that is a table: what follows from given logits."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from models.keyvalue.detector import KeyValue
from models.keyvalue.places import Places
from models.notes import NO_CODE
from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import Vocabulary

PLACES = Places(Vocabulary([10, 20]), {"level": ["INFO", "WARN"]})


class Weighing:
    """The logit of a window: the sum of a weight for each place of a key, and of each place of a level."""

    def __init__(self, keys: list[float], levels: list[float]) -> None:
        self.keys, self.levels = np.array(keys, np.float32), np.array(levels, np.float32)
        self.asked: list[Int64] = []

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        self.asked.append(windows)
        return [self.keys[windows[:, :, 0]].sum(axis=1) + self.levels[windows[:, :, 1]].sum(axis=1)]


def detector() -> tuple[KeyValue, Weighing]:
    network = Weighing([0, 0, 0.5, 0, 1, 2], [0, 0.25, 0, 4])
    return KeyValue(PLACES, 3, 3.0, network), network


def test_raw_is_the_logit_of_keys_and_fields_together() -> None:
    keyvalue, _ = detector()
    history = np.array([[10, 20], [BEFORE_SESSION, 10], [99, 99]])
    earlier = np.array([[[1], [1]], [[NO_CODE], [1]], [[0], [7]]])
    raws = keyvalue.score_fields(history, np.array([10, 10, 10]), earlier, np.array([[1], [2], [1]]))
    assert raws.tolist() == [4.0, 6.0, 2.5]
    assert raws.dtype == np.float64
    assert (keyvalue.window, keyvalue.fields) == (2, ("level",))


def test_codes_come_from_the_frame() -> None:
    keyvalue, _ = detector()
    assert keyvalue.codes(pl.DataFrame({"level": ["WARN", "odd", None]})).tolist() == [[2], [0], [0]]


def test_each_distinct_window_is_seen_once() -> None:
    keyvalue, network = detector()
    earlier = np.ones((150, 2, 1), dtype=np.int64)
    codes = np.array([[1], [2], [1]] * 50)
    raws = keyvalue.score_fields(np.tile([10, 10], (150, 1)), np.full(150, 20), earlier, codes)
    assert len(network.asked[0]) == 2
    assert raws.tolist() == [4.0, 8.0, 4.0] * 50


def test_no_events_have_no_raw_outputs() -> None:
    keyvalue, network = detector()
    nothing = np.empty(0, np.int64)
    raws = keyvalue.score_fields(nothing.reshape(0, 2), nothing, nothing.reshape(0, 2, 1), nothing.reshape(0, 1))
    assert raws.shape == (0,)
    assert network.asked == []


def test_explain_names_the_keys_and_values_that_speak_for_an_anomaly() -> None:
    keyvalue, _ = detector()
    told = keyvalue.explain(np.array([BEFORE_SESSION, 20]), 99, np.array([[NO_CODE], [2]]), np.array([1]))
    assert told["raw"] == 6.5
    assert told["probability"] == pytest.approx(1 / (1 + np.exp(-6.5)))
    assert (told["template_id"], told["threshold"]) == (99, 3.0)
    assert told["parts"] == [
        {"offset": -1, "field": "level", "value": "WARN", "fall": 3.75},
        {"offset": -1, "field": None, "value": 20, "fall": 1.5},
        {"offset": 0, "field": None, "value": 0, "fall": 0.0},
    ]


def test_a_probability_too_small_for_a_float_is_zero() -> None:
    network = Weighing([0, 0, 0, 0, -1e5, 0], [0, 0, 0, 0])
    told = KeyValue(PLACES, 1, 0.0, network).explain(
        np.empty(0, np.int64), 10, np.empty((0, 1), np.int64), np.array([1])
    )
    assert told["probability"] == 0.0
