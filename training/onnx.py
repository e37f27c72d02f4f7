"""Networks to ONNX graphs and weights to safetensors, for every detector alike.

Owns the exporter's settings and the check that the graph says what the network says. Does not know any network.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor, nn

from models.errors import BundleError, DataError
from models.graph import Graph

OPSET = 17
TOLERANCE = 1e-5
"""Largest difference between PyTorch and ONNX Runtime on a CPU, absolute, relative where a value exceeds 1."""
BATCHES = (1, 2, 33)

State = dict[str, NDArray[np.float32]]
"""Weights by name."""

Inputs = dict[str, NDArray[Any]]


def export(
    detector: str,
    network: nn.Module,
    example: Callable[[int], Inputs],
    outputs: tuple[str, ...],
    metadata: Mapping[str, str],
    *,
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
    tolerance: float = TOLERANCE,
) -> bytes:
    """The graph of a network, batch free, by the TorchScript exporter (``dynamo=False``).

    ``example(n)``: n rows of every input by name, in the order of the network's arguments; ``dynamic`` names further
    free axes, e.g. ``{"keys": {1: "time"}}``. Raises DataError where graph and network differ by more than
    ``tolerance`` at batch 1, 2 or 33. The network is left in eval mode.
    """
    network.eval()
    sample = example(2)
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*sample, *outputs)}
    for name, further in (dynamic or {}).items():
        axes[name].update(further)
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        path = Path(folder) / f"{detector}.onnx"
        # The exporter warns that it is the older one, and that an LSTM's batch may be frozen: the check below looks.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(value) for value in sample.values()),
            path,
            input_names=list(sample),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load_model(path)
    # The exporter gives the network back in the mode in which it thinks that it was.
    network.eval()
    onnx.helper.set_model_props(model, {"detector": detector, **metadata})
    graph: bytes = model.SerializeToString()
    _check(detector, graph, network, example, tolerance)
    return graph


def to_safetensors(state: State) -> bytes:
    """Weights as safetensors, for the learner to fine-tune from."""
    data: bytes = save(state)
    return data


def from_safetensors(data: bytes, detector: str) -> State:
    """Weights back. Raises BundleError where ``data`` is no safetensors file."""
    try:
        state: State = load(data)
    except Exception as error:  # safetensors raises its own type from Rust, and ValueError, by kind of damage
        raise BundleError(f"{detector}: the weights are damaged ({error}); restore the bundle") from error
    return state


def state_of(network: nn.Module) -> State:
    """The network's weights, copied."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def run_network(network: nn.Module, inputs: Inputs) -> list[NDArray[Any]]:
    """What ``Graph.run`` will give: all outputs of a network in eval mode, as arrays."""
    with torch.inference_mode():
        found = network(*(torch.from_numpy(value) for value in inputs.values()))
    return [part.numpy() for part in ([found] if isinstance(found, Tensor) else found)]


def _check(detector: str, graph: bytes, network: nn.Module, example: Callable[[int], Inputs], tolerance: float) -> None:
    served = Graph(graph, provider="cpu")
    for batch in BATCHES:
        inputs = example(batch)
        for exported, trained in zip(served.run(**inputs), run_network(network, inputs), strict=True):
            difference = float((np.abs(exported - trained) / np.maximum(1.0, np.abs(trained))).max(initial=0.0))
            if not difference <= tolerance:
                raise DataError(
                    f"{detector}: the exported graph differs from the network by {difference:.1e} at batch {batch}; "
                    "this torch cannot export it: install the version that pyproject.toml pins"
                )
