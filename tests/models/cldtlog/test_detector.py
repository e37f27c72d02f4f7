"""CLDTLog's decision, on a network that counts: what follows from given logits."""

from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from models.cldtlog.detector import CLDTLog
from models.cldtlog.exemplars import Exemplars
from models.errors import BundleError
from models.graph import Graph
from models.sessions import Int64
from models.wordpiece import WordPiece, digest
from tests.golden.bert import tokenizer

TOKENIZER = tokenizer().to_str().encode()
ERROR = tokenizer().token_to_id("error")
EXEMPLARS = Exemplars(
    ["block served ok", "block lost", "error", "error disk full"],
    np.array([[5.0, 0.0], [4.0, 0.0], [3.0, 1.0], [5.0, 1.0]]),
    np.array([90, 3, 0, 1]),
    np.array([1, 0, 7, 4]),
    np.array([False, False, True, True]),
)


class Counting:
    """Logit: 2 for each token ``error``, less 1, and the little that padding adds; embedding: (tokens, errors).
    Remembers how many texts it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def run(self, *, ids: Int64, mask: Int64) -> list[NDArray[Any]]:
        self.seen += len(ids)
        errors = (ids == ERROR).sum(axis=1).astype(np.float32)
        tokens = mask.sum(axis=1).astype(np.float32)
        return [2.0 * errors - 1.0 + np.float32(1e-7) * ids.shape[1], np.column_stack([tokens, errors])]


def detector() -> tuple[CLDTLog, Counting]:
    network = Counting()
    return CLDTLog(network, WordPiece.from_json(TOKENIZER), 0.5, EXEMPLARS), network


def test_the_raw_output_is_the_logit_of_the_words() -> None:
    cldtlog, _ = detector()
    texts = cldtlog.prepare(["Error <NUM>: disk full", "block 7 served", "error: ERROR", "<NUM>"])
    assert texts == ["error disk full", "block served", "error error", ""]
    raws = cldtlog.score_texts(texts)
    assert raws.dtype == np.float64
    np.testing.assert_array_equal(raws, [1.0, -1.0, 3.0, np.nan])


def test_a_text_has_one_output_whatever_stands_beside_it() -> None:
    texts = ["error", "block served ok", "lost", "error " * 60, "", "q"]
    together = detector()[0].score_texts(texts)
    alone = np.concatenate([detector()[0].score_texts([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)


def test_a_repeated_text_costs_no_network() -> None:
    cldtlog, network = detector()
    first = cldtlog.score_texts(["error", "ok", "error"])
    assert network.seen == 2
    np.testing.assert_array_equal(cldtlog.score_texts(["ok", "error", "error"])[[1, 0, 2]], first)
    assert network.seen == 2
    assert cldtlog.score_texts([]).shape == (0,)


def test_explaining_changes_no_score() -> None:
    cldtlog, network = detector()
    before = cldtlog.score_texts(["error ok"])
    cldtlog.explain("error ok")
    seen = network.seen
    np.testing.assert_array_equal(cldtlog.score_texts(["error ok"]), before)
    assert network.seen == seen


def test_the_explanation_names_words_and_labelled_texts() -> None:
    told = detector()[0].explain("error disk ok")
    assert told["logit"] == 1.0
    assert told["probability"] == pytest.approx(1 / (1 + np.exp(-1.0)))
    assert told["threshold"] == 0.5
    assert told["words"] == [{"word": "error", "effect": 2.0}]
    assert [one["text"] for one in told["nearest"]["anomalous"]] == ["error disk full", "error"]
    assert told["nearest"]["normal"][0] == {"text": "block served ok", "distance": 1.0, "normal": 90, "anomalous": 1}
    assert orjson.loads(orjson.dumps(told)) == told


def test_a_text_without_words_is_explained_too() -> None:
    told = detector()[0].explain("")
    assert (told["probability"], told["logit"], told["words"]) == (None, None, [])
    # The last word left out leaves nothing.
    assert detector()[0].explain("error")["words"] == [{"word": "error", "effect": 2.0}]


def test_exemplars_round_trip() -> None:
    read = Exemplars.from_dict(orjson.loads(orjson.dumps(EXEMPLARS.to_dict())), 2)
    np.testing.assert_array_equal(read.embeddings, EXEMPLARS.embeddings)
    assert read.nearest(np.zeros(2), True, 5) == EXEMPLARS.nearest(np.zeros(2), True, 5)
    none = Exemplars(
        [], np.empty((0, 2)), *(np.empty(0, dtype=np.int64) for _ in range(2)), np.empty(0, dtype=np.bool_)
    )
    assert Exemplars.from_dict(none.to_dict(), 2).nearest(np.zeros(2), False, 3) == []


def graph(**metadata: str) -> Graph:
    """A graph with the right metadata; what it computes does not matter here."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "time"]) for name in ("ids", "mask")]
    output = helper.make_tensor_value_info("logit", TensorProto.INT64, ["batch", "time"])
    nodes = [helper.make_node("Add", ["ids", "mask"], ["logit"])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [output]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    helper.set_model_props(model, {"detector": "cldtlog", "width": "2", "tokenizer": digest(TOKENIZER), **metadata})
    return Graph(model.SerializeToString(), "cpu")


STATE = {"threshold": 0.5, "exemplars": EXEMPLARS.to_dict()}


def test_whole_parts_are_read() -> None:
    assert CLDTLog.from_graph(graph(), TOKENIZER, orjson.dumps(STATE)).threshold == 0.5


@pytest.mark.parametrize(
    "state",
    [
        b"", b"[]", b"{}", b'{"threshold": "high", "exemplars": {}}', b'{"threshold": null, "exemplars": {}}',
        orjson.dumps({**STATE, "exemplars": {**EXEMPLARS.to_dict(), "normal": [1]}}),
        orjson.dumps({**STATE, "exemplars": {**EXEMPLARS.to_dict(), "embeddings": [[1.0]] * 4}}),
        orjson.dumps({**STATE, "exemplars": {**EXEMPLARS.to_dict(), "embeddings": [[1.0, None]] * 4}}),
        orjson.dumps({**STATE, "exemplars": None}),
    ],
)  # fmt: skip
def test_damaged_state_is_refused(state: bytes) -> None:
    with pytest.raises(BundleError, match="restore"):
        CLDTLog.from_graph(graph(), TOKENIZER, state)


def test_parts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(BundleError, match="another tokeniser"):
        CLDTLog.from_graph(graph(tokenizer="0"), TOKENIZER, orjson.dumps(STATE))
    with pytest.raises(BundleError, match="another detector's"):
        CLDTLog.from_graph(graph(detector="encoder"), TOKENIZER, orjson.dumps(STATE))
    with pytest.raises(BundleError, match="exemplars are damaged"):
        CLDTLog.from_graph(graph(width="3"), TOKENIZER, orjson.dumps(STATE))
    with pytest.raises(BundleError, match="restore"):
        CLDTLog.from_graph(graph(width="wide"), TOKENIZER, orjson.dumps(STATE))
    with pytest.raises(BundleError, match="tokeniser is damaged"):
        CLDTLog.from_graph(graph(tokenizer=digest(b"{}")), b"{}", orjson.dumps(STATE))
