"""What people said of texts, normal and anomalous, moves CLDTLog's head and nothing else."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import orjson
import pytest

from models.cldtlog.detector import CLDTLog
from models.errors import BundleError
from models.graph import Graph
from models.sessions import Float64
from tests.golden import bert
from tests.training.cldtlog.test_fitted import MASKED, corpus
from training.cldtlog import CLDTLogSettings, fit_cldtlog
from training.cldtlog.fitted import ONNX, STATE, TOKENIZER, WEIGHTS
from training.cldtlog.rehearsal import LARGEST, MOST, REPLAY, Rehearsed, read_rehearsed
from training.cldtlog.teach import teach_cldtlog
from training.learning.teaching import Learned, Part, Taught
from training.onnx import from_safetensors
from training.progress import silent

NORMAL_TEXTS = ["block served ok", "received from ip", "lost to ip"]
REAL = "disk full error"
STRANGE = "while ok error from"
"""Of other words; rings."""
QUIET = "from to ok lost"
"""Of other words; does not."""


@cache
def part() -> Part:
    folder = bert.write(Path(mkdtemp()), layers=2, sentence=True)
    settings = CLDTLogSettings(encoder=str(folder), learning_rate=1e-2, epochs=2, steps=15, folds=2)
    fitted = fit_cldtlog(corpus(), settings, seed=3)
    return Part("cldtlog", fitted.settings, fitted.files, fitted.threshold)


def served(given: Part | Learned) -> CLDTLog:
    files = {**part().files, **given.files}
    return CLDTLog.from_graph(Graph(files[ONNX], "cpu"), files[TOKENIZER], files[STATE])


def raws(given: Part | Learned, *texts: str) -> Float64:
    return served(given).score_texts(list(texts))


def rings(given: Part | Learned, *texts: str) -> list[bool]:
    found: list[bool] = (raws(given, *texts) >= part().bar).tolist()
    return found


def teach(*said: tuple[str, bool], of: Part | None = None) -> Learned | None:
    return teach_cldtlog(of or part(), [Taught({"text": text}, normal) for text, normal in said], 0, silent)


def learned(*said: tuple[str, bool]) -> Learned:
    found = teach(*said)
    assert found is not None
    return found


def test_a_text_called_normal_falls_below_the_bar_and_a_real_anomaly_keeps_ringing() -> None:
    assert rings(part(), STRANGE, REAL) == [True, True]
    after = learned((STRANGE, True), (REAL, False))
    assert rings(after, STRANGE, REAL) == [False, True]
    told = after.told
    assert (told["lessons"], told["below"], told["missed"], told["protected"]) == (1, 1, 0, 1)
    assert told["steps"] > 0
    assert told["seconds"] < 20.0
    assert after.settings == part().settings


def test_a_missed_anomaly_comes_to_ring() -> None:
    assert rings(part(), QUIET) == [False]
    after = learned((QUIET, False))
    assert rings(after, QUIET, *NORMAL_TEXTS) == [True, False, False, False]
    assert (after.told["missed"], after.told["above"], after.told["lessons"]) == (1, 1, 0)


def test_both_labels_are_learned_together() -> None:
    after = learned((STRANGE, True), (QUIET, False))
    assert rings(after, STRANGE, QUIET) == [False, True]


def test_rehearsed_texts_ring_as_before() -> None:
    kept = read_rehearsed(part().files)
    assert sorted(kept.texts) == sorted([*NORMAL_TEXTS, REAL, "exception while served"])
    after = learned((STRANGE, True), (QUIET, False))
    assert rings(after, *kept.texts) == rings(part(), *kept.texts) == kept.anomalous.tolist()


def test_a_line_of_normal_sessions_is_not_made_an_anomaly() -> None:
    assert teach((NORMAL_TEXTS[1], False)) is None
    after = learned((NORMAL_TEXTS[1], False), (QUIET, False))
    assert rings(after, NORMAL_TEXTS[1], QUIET) == [False, True]


def test_a_text_called_both_stays_an_anomaly() -> None:
    assert teach((REAL, True), (REAL, False)) is None


def test_where_everybody_was_right_nothing_changes() -> None:
    assert teach() is None
    assert teach((NORMAL_TEXTS[0], True), (REAL, False), ("", True), ("", False)) is None


def test_what_was_learned_is_rehearsed_by_the_next_teaching() -> None:
    first = learned((STRANGE, True))
    on = Part("cldtlog", first.settings, {**part().files, **first.files}, part().bar)
    kept = read_rehearsed(on.files)
    assert (kept.texts[-1], bool(kept.anomalous[-1])) == (STRANGE, False)
    second = teach((QUIET, False), of=on)
    assert second is not None
    assert rings(second, STRANGE, QUIET, REAL) == [False, True, True]


def test_the_same_answers_give_the_same_head() -> None:
    one, other = learned((STRANGE, True), (QUIET, False)), learned((STRANGE, True), (QUIET, False))
    assert one.files == other.files


def test_graph_and_weights_have_one_head_and_embeddings_stay() -> None:
    after = learned((STRANGE, True))
    before, now = (from_safetensors(files[WEIGHTS], "cldtlog") for files in (part().files, after.files))
    assert {name for name in before if not np.array_equal(before[name], now[name])} == {"head.weight", "head.bias"}
    inputs = {"ids": np.array([[2, 5, 6, 3], [2, 9, 3, 0]]), "mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]])}
    old, new = (Graph(files[ONNX], "cpu").run(**inputs) for files in (part().files, after.files))
    assert np.array_equal(old[1], new[1])
    assert new[0] == pytest.approx((new[1] @ now["head.weight"].T)[:, 0] + now["head.bias"], abs=1e-5)
    assert after.files.keys() == {ONNX, WEIGHTS, REPLAY}


def test_a_head_stored_in_16_bits_is_written_in_16() -> None:
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(part().files[ONNX])
    head = next(one for one in model.graph.initializer if one.name == "upper.head.weight")
    halves = numpy_helper.to_array(head).astype(np.float16)
    head.CopyFrom(numpy_helper.from_array(halves, "upper.head.weight.half"))
    cast = helper.make_node("Cast", ["upper.head.weight.half"], ["upper.head.weight"], to=onnx.TensorProto.FLOAT)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([cast, *nodes])
    weights = {**part().files, ONNX: model.SerializeToString()}
    after = teach((STRANGE, True), of=Part("cldtlog", part().settings, weights, part().bar))
    assert after is not None
    assert rings(after, STRANGE, REAL) == [False, True]


def test_a_bundle_from_before_rehearses_the_texts_by_which_it_explains() -> None:
    files = {name: content for name, content in part().files.items() if name != REPLAY}
    assert sorted(read_rehearsed(files).texts) == sorted(read_rehearsed(part().files).texts)
    after = teach((STRANGE, True), of=Part("cldtlog", part().settings, files, part().bar))
    assert after is not None
    assert rings(after, STRANGE, REAL, *NORMAL_TEXTS) == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (ONNX, b"\x00broken"),
        (ONNX, None),
        (WEIGHTS, b"nothing"),
        (WEIGHTS, None),
        (STATE, b"{}"),
        (STATE, None),
        (TOKENIZER, b"{}"),
        (REPLAY, b"{"),
        (REPLAY, b"[]"),
        (REPLAY, b'{"texts": ["a"], "anomalous": [], "count": [1]}'),
    ],
)
def test_a_damaged_bundle_is_refused(name: str, content: bytes | None) -> None:
    files = {**part().files, name: content or b""}
    if content is None:
        del files[name]
    with pytest.raises(BundleError, match="restore"):
        teach((STRANGE, True), of=Part("cldtlog", part().settings, files, part().bar))


def test_the_texts_of_a_bundle_are_few_and_the_commonest() -> None:
    random = np.random.default_rng(0)
    texts = [f"{number} " + "x" * 505 for number in range(2_000)]
    telling = random.random(2_000) < 0.5
    count = random.permutation(2_000)
    kept = Rehearsed.sample(texts, telling, count, count)
    assert (kept.anomalous.sum(), (~kept.anomalous).sum()) == (MOST, MOST)
    assert kept.count[kept.anomalous].min() >= np.sort(count[telling])[-MOST]
    content = kept.to_json()
    assert len(content) <= LARGEST * 1.01
    assert orjson.loads(content)["texts"] == kept.texts[-len(orjson.loads(content)["texts"]) :]


def test_the_words_are_those_of_the_messages() -> None:
    detector = served(part())
    assert detector.prepare(MASKED[:3]) == NORMAL_TEXTS
