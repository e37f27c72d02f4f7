"""Weights that a 16-bit float holds exactly, stored as such: half the size, the same numbers.

Owns the rounding of a network before it is judged or exported, and the storing. The arithmetic stays in float32: the
runtime widens the stored weights once, when it loads the graph. Does not know any network.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from models.errors import DataError

_LEAST_CELLS = 1_024
"""Smaller tensors are not worth a node."""


def round_weights(network: nn.Module) -> None:
    """Round every weight of ``network`` to the nearest 16-bit float, in place: by 5e-4 of itself at
    most, or by 3e-8 where it is tiny.

    Raises DataError where a weight exceeds what 16 bits hold (65,504).
    """
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(weight.half().float())
            if not bool(torch.isfinite(weight).all()):
                raise DataError(f"weight {name} does not fit a 16-bit float; the network did not train")


def store_halves(graph: bytes) -> bytes:
    """The same graph with each float32 weight that 16 bits hold exactly stored in 16; its outputs stay the same."""
    model = onnx.load_model_from_string(graph)
    casts = []
    for initializer in model.graph.initializer:
        if initializer.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(initializer)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if values.size < _LEAST_CELLS or not np.array_equal(halves.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    stored: bytes = model.SerializeToString()
    return stored
