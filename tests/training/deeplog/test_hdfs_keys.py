"""DeepLog on public HDFS keys in one short fit, and the simple detectors beside it."""

from pathlib import Path

import numpy as np
import pytest

from models.deeplog.detector import DeepLog
from models.graph import Graph
from models.vocabulary import Vocabulary
from training.benchmarks.keys import PREVALENCE
from training.deeplog import DeepLogSettings
from training.deeplog.export import Unexported, to_onnx
from training.deeplog.fit import fit
from training.deeplog.model import KeyModel
from training.deeplog.raws import session_raws
from training.keysets import read_labelled, read_sessions
from training.metrics import confusion
from training.windows import distinct, pairs, windows


@pytest.mark.slow
def test_ten_epochs_find_hdfs_anomalies_and_the_graph_gives_the_same_ranks(datasets_dir: Path) -> None:
    train = read_sessions(datasets_dir / "hdfs_keys" / "train_normal.txt")
    test = read_labelled(datasets_dir / "hdfs_keys" / "labelled.csv")
    once = distinct(train)
    vocabulary = Vocabulary.fit(once.sessions)
    given = pairs(windows(once.sessions, 10), once.counts(np.arange(len(train))), vocabulary)
    settings = DeepLogSettings(epochs=10)
    network = fit(given, KeyModel(settings).network(vocabulary, 0), settings, 0.0, seed=0).network

    g = 8
    served = DeepLog.from_graph(vocabulary, Graph(to_onnx(network, vocabulary, 10, g), "cpu"))
    trained = DeepLog(vocabulary, 10, g, Unexported(network))
    raws = [session_raws(detector, test.sessions).session for detector in (served, trained)]
    np.testing.assert_array_equal(np.floor(raws[0]), np.floor(raws[1]))
    # The windows before the end alone cannot do this: a third of the anomalies are two or three events long.
    assert confusion(raws[0] >= g, test.anomalous).f1_at(PREVALENCE) >= 0.94
