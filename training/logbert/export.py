"""From a trained network to what a bundle holds: an ONNX graph to serve and weights to fine-tune from.

Owns the graph's inputs and metadata. Does not know bundles.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from models.logbert.inputs import LEAD
from models.logbert.network import SessionEncoder
from models.sessions import Int64
from models.vocabulary import BOS, EOS, PAD, Vocabulary
from training.onnx import Inputs, export

_SLICE = 512
_LONGEST = 12
"""Tokens of the longest row that the graph is checked with; any number is served."""


class Unexported:
    """A network in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: SessionEncoder) -> None:
        self._network = network

    def run(self, *, places: Int64, at: Int64) -> list[NDArray[np.float32]]:
        """As ``Graph.run``, in slices of the same size."""
        with torch.inference_mode():
            slices = zip(
                torch.split(torch.from_numpy(places), _SLICE), torch.split(torch.from_numpy(at), _SLICE), strict=True
            )
            parts = zip(*(self._network(*part) for part in slices), strict=True)
            return [torch.cat(part).numpy() for part in parts]


def to_onnx(network: SessionEncoder, vocabulary: Vocabulary, g: int, groups: int, end: bool, scale: float) -> bytes:
    """The graph ``places`` int64 [batch, time], ``at`` int64 [batch, masked] -> ``logits`` float32 [batch, masked, size
    - EOS], ``distance`` float32 [batch]. Metadata: ``vocabulary`` (its fingerprint), ``g``, ``groups``, ``end``,
    ``scale``. Raises DataError where it disagrees with the network, which is left in eval mode."""
    random = np.random.default_rng(0)

    def example(batch: int) -> Inputs:
        # As many steps as rows or so, that no size which the trace saw could be frozen unnoticed.
        steps = min(_LONGEST, batch + 3)
        places = random.integers(EOS, vocabulary.size + 1, (batch, steps))
        places[:, 0] = BOS
        places[np.arange(steps) >= random.integers(LEAD + 1, steps + 1, batch)[:, None]] = PAD
        return {"places": places, "at": random.integers(0, steps, (batch, steps // 2))}

    metadata = {
        "vocabulary": vocabulary.fingerprint(), "g": str(g), "groups": str(groups), "end": str(int(end)),
        "scale": repr(scale),
    }  # fmt: skip
    dynamic = {"places": {1: "time"}, "at": {1: "masked"}, "logits": {1: "masked"}}
    return export("logbert", network, example, ("logits", "distance"), metadata, dynamic=dynamic)
