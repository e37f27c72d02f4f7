"""From a trained network to what a bundle holds: an ONNX graph to serve and safetensors to fine-tune from.

Owns the formats and the check that the graph says what the network says. Does not know bundles.
"""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from models.deeplog.detector import Rule
from models.deeplog.network import KeyLSTM
from models.errors import BundleError, DataError
from models.graph import Graph
from models.sessions import Int64
from models.vocabulary import Vocabulary

OPSET = 17
TOLERANCE = 1e-5
"""Largest difference of a logit between PyTorch and ONNX Runtime on a CPU."""

_SLICE = 512

State = dict[str, NDArray[np.float32]]
"""Weights by name."""


class Unexported:
    """A network in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: KeyLSTM) -> None:
        self._network = network

    def run(self, *, windows: Int64) -> list[NDArray[np.float32]]:
        """As ``Graph.run``, in slices of the same size."""
        with torch.inference_mode():
            return [
                np.concatenate([self._network(part).numpy() for part in torch.split(torch.from_numpy(windows), _SLICE)])
            ]


def to_onnx(network: KeyLSTM, vocabulary: Vocabulary, h: int, g: float, rule: Rule = "rank") -> bytes:
    """The graph ``windows`` int64 [batch, h] -> ``logits`` float32 [batch, size], batch free, by the TorchScript
    exporter (``dynamo=False``). Metadata: ``vocabulary`` (its fingerprint), ``h``, ``g``, ``rule``. Raises
    DataError where it disagrees with the network by more than ``TOLERANCE``. The network is left in eval mode.
    """
    network.eval()
    sample = torch.zeros((2, h), dtype=torch.int64)
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        path = Path(folder) / "deeplog.onnx"
        # The exporter warns that it is the older one, and that an LSTM's batch may be frozen: the check below looks.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (sample,),
            path,
            input_names=["windows"],
            output_names=["logits"],
            dynamic_axes={"windows": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load_model(path)
    network.eval()
    onnx.helper.set_model_props(
        model,
        {"detector": "deeplog", "vocabulary": vocabulary.fingerprint(), "h": str(h), "g": repr(float(g)), "rule": rule},
    )
    graph: bytes = model.SerializeToString()
    _check(graph, network, vocabulary.size, h)
    return graph


def to_safetensors(state: State) -> bytes:
    """Weights as safetensors, for the learner to fine-tune from."""
    data: bytes = save(state)
    return data


def from_safetensors(data: bytes) -> State:
    """Weights back. Raises BundleError where ``data`` is no safetensors file."""
    try:
        state: State = load(data)
    except Exception as error:  # safetensors raises its own type from Rust, and ValueError, by kind of damage
        raise BundleError(f"deeplog: the weights are damaged ({error}); restore the bundle") from error
    return state


def state_of(network: KeyLSTM) -> State:
    """The network's weights, copied."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def restore(state: State, embedding: int, hidden: int, layers: int) -> KeyLSTM:
    """The network of these weights, in eval mode; the vocabulary's size follows from them."""
    network = KeyLSTM(len(state["output.bias"]), embedding, hidden, layers)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()


def _check(graph: bytes, network: KeyLSTM, size: int, h: int) -> None:
    served = Graph(graph, provider="cpu")
    random = np.random.default_rng(0)
    trained = Unexported(network)
    for batch in (1, 2, 33):
        windows = random.integers(0, size, (batch, h))
        difference = float(np.abs(served.run(windows=windows)[0] - trained.run(windows=windows)[0]).max())
        if not difference <= TOLERANCE:
            raise DataError(
                f"deeplog: the exported graph differs from the network by {difference:.1e} at batch {batch}; "
                "this torch cannot export it: install the version that pyproject.toml pins"
            )
