"""From a trained network to what a bundle holds: a two-input ONNX graph, weights to fine-tune from, vectors.

Owns the graph's inputs and metadata. Does not know bundles.
"""

import io

import numpy as np
import torch

from models.deeplog.detector import Rule
from models.loganomaly.counts import Float32, running_counts
from models.loganomaly.network import LogAnomalyNetwork, Templates, build
from models.vocabulary import Vocabulary
from training.loganomaly.settings import LogAnomalySettings
from training.onnx import Inputs, State, export


def to_onnx(network: LogAnomalyNetwork, vocabulary: Vocabulary, h: int, g: float, rule: Rule) -> bytes:
    """The graph ``windows`` int64 [batch, h], ``counts`` float32 [batch, h, columns] -> ``logits`` float32 [batch,
    size]. Metadata: ``vocabulary`` (its fingerprint), ``h``, ``g``, ``rule``. Templates' vectors are projected once,
    here. Raises DataError where it disagrees with the network, which is left in eval mode."""
    random = np.random.default_rng(0)

    def example(batch: int) -> Inputs:
        windows = random.integers(0, vocabulary.size, (batch, h))
        return {"windows": windows, "counts": running_counts(windows, vocabulary.size)}

    metadata = {"vocabulary": vocabulary.fingerprint(), "h": str(h), "g": repr(float(g)), "rule": rule}
    keys = network.keys
    try:
        if isinstance(keys, Templates):
            network.keys = keys.projected()
        return export("loganomaly", network, example, ("logits",), metadata)
    finally:
        network.keys = keys


def vectors_file(vectors: Float32) -> bytes:
    """``models.loganomaly.detector.VECTORS`` of vectors that float16 holds exactly."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, vectors=vectors.astype(np.float16))
    return buffer.getvalue()


def restore(
    state: State, vocabulary: Vocabulary, settings: LogAnomalySettings, vectors: Float32 | None = None
) -> LogAnomalyNetwork:
    """The network of these weights, in eval mode; ``vectors`` float32 [keys, width] where it was trained with them."""
    known = None if vectors is None else torch.from_numpy(vectors)
    network = build(vocabulary.size, settings.embedding, settings.hidden, settings.layers, 0, known)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()
