"""The online update on an invented stream: what was answered is quiet, and anomalies ring on."""

import numpy as np

from training.benchmarks import online
from training.deeplog import DeepLogSettings

SETTINGS = DeepLogSettings(h=4, epochs=8, hidden=16, embedding=8, layers=1, weight_powers=(0.5,), folds=2, screened=1)


def stream() -> tuple[list[np.ndarray], np.ndarray]:
    """120 sessions of one kind, then a second kind that is normal too among the first, and two that are not."""
    first, second, wrong = ([1, 2, 3, 4, 5], [1, 2, 2, 5, 4, 3], [5, 4, 3, 1])
    sessions = [first] * 120 + [first, second] * 15 + [wrong] + [second] * 15 + [wrong]
    actual = np.array([keys is wrong for keys in sessions])
    return [np.array(keys, dtype=np.int64) for keys in sessions], actual


def test_an_answer_silences_all_that_is_the_same_and_no_anomaly() -> None:
    sessions, actual = stream()
    result = online.run(sessions, actual, 0.7, SETTINGS, 0, lambda *_: None)
    plain, silenced, learned = result["rows"]
    assert (plain["tp"], silenced["tp"], learned["tp"]) == (2, 2, 2)
    assert plain["fp"] == 30
    assert silenced["fp"] == learned["fp"] == 1
    assert silenced["precision"] > 2 * plain["precision"]
