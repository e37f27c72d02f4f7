"""From a trained network to what a bundle holds: an ONNX graph to serve and weights to fine-tune from.

Owns the graph's inputs and metadata. Does not know bundles.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.deeplog.detector import Rule
from models.deeplog.network import Continued, KeyLSTM
from models.sessions import Int64
from models.vocabulary import Vocabulary
from training.onnx import Inputs, State, export

_SLICE = 512


class Unexported:
    """A network over windows in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def run(self, *, windows: Int64) -> list[NDArray[np.float32]]:
        """As ``Graph.run``, in slices of the same size."""
        with torch.inference_mode():
            return [
                np.concatenate([self._network(part).numpy() for part in torch.split(torch.from_numpy(windows), _SLICE)])
            ]


def to_onnx(network: nn.Module, vocabulary: Vocabulary, h: int, g: float, rule: Rule = "rank") -> bytes:
    """The graph of ``models.deeplog.network.Continued``: ``windows`` int64 [batch, steps], ``hidden`` and ``cell``
    float32 [batch, layers, units] -> ``logits`` float32 [batch, size] and both states after them. Metadata:
    ``vocabulary`` (its fingerprint), ``h``, ``g``, ``rule``, ``layers``, ``units``. Raises DataError where it disagrees
    with the network, which is left in eval mode, TypeError where that is no ``KeyLSTM``."""
    if not isinstance(network, KeyLSTM):
        raise TypeError(f"deeplog's graph is made of a KeyLSTM, not of a {type(network).__name__}")
    random = np.random.default_rng(0)
    layers, units = network.lstm.num_layers, network.lstm.hidden_size

    def example(batch: int) -> Inputs:
        states = random.normal(0.0, 0.5, (2, batch, layers, units)).astype(np.float32)
        return {"windows": random.integers(0, vocabulary.size, (batch, h)), "hidden": states[0], "cell": states[1]}

    metadata = {
        "vocabulary": vocabulary.fingerprint(), "h": str(h), "g": repr(float(g)), "rule": rule,
        "layers": str(layers), "units": str(units),
    }  # fmt: skip
    outputs = ("logits", "hidden_after", "cell_after")
    network.eval()
    return export("deeplog", Continued(network), example, outputs, metadata, dynamic={"windows": {1: "steps"}})


def restore(state: State, embedding: int, hidden: int, layers: int) -> KeyLSTM:
    """The network of these weights, in eval mode; the vocabulary's size follows from them."""
    network = KeyLSTM(len(state["output.bias"]), embedding, hidden, layers)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()
