"""LogAnomaly as cross-fitting asks for it, with the known templates' vectors where there are any.

Owns how the two-input network is trained on windows alone. Does not know how it is fitted, nor encoders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.loganomaly.counts import Float32, running_counts
from models.loganomaly.detector import LogAnomaly
from models.loganomaly.nearest import Match, Nearest
from models.loganomaly.network import LogAnomalyNetwork, build
from models.sessions import Int64
from models.vocabulary import SPECIALS, Vocabulary
from training.loganomaly.settings import LogAnomalySettings
from training.onnx import run_network


class Counting(nn.Module):
    """The network over windows alone: counts are taken as the service takes them, and in training withheld from a
    share of the windows, drawn by ``seed``."""

    def __init__(self, network: LogAnomalyNetwork, size: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.dropout = dropout
        self._random = torch.Generator().manual_seed(seed)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits float32 [n, size] for ``windows`` int64 [n, h]."""
        counts = torch.from_numpy(running_counts(windows.cpu().numpy(), self.size))
        heard = None
        if self.training:
            drawn = torch.rand((len(windows), 1), generator=self._random) >= self.dropout
            heard = drawn.to(windows.device, torch.float32)
        logits: Tensor = self.network(windows, counts.to(windows.device), heard)
        return logits


class Unexported:
    """A network in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: LogAnomalyNetwork) -> None:
        self._network = network

    def run(self, *, windows: Int64, counts: Float32) -> list[NDArray[Any]]:
        """As ``Graph.run``."""
        return run_network(self._network, {"windows": windows, "counts": counts})


@dataclass(frozen=True, slots=True)
class Meanings:
    """Vectors float32 [keys, width] of all templates seen in training, of length 1 or zeros, in the order of their
    ``vocabulary``."""

    vocabulary: Vocabulary
    vectors: Float32

    def of(self, keys: Sequence[int]) -> Float32:
        """Vectors of some of them, float32 [n, width]."""
        return self.vectors[self.vocabulary.encode(np.array(keys, dtype=np.int64)) - SPECIALS]


@dataclass(frozen=True, slots=True)
class CountModel:
    """LogAnomaly; ids and counts alone where ``meanings`` is None."""

    settings: LogAnomalySettings
    meanings: Meanings | None

    def network(self, vocabulary: Vocabulary, seed: int) -> Counting:
        settings = self.settings
        vectors = None if self.meanings is None else torch.from_numpy(self.meanings.of(vocabulary.keys))
        network = build(vocabulary.size, settings.embedding, settings.hidden, settings.layers, seed, vectors)
        return Counting(network, vocabulary.size, settings.count_dropout, seed)

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> LogAnomaly:
        """Keys that the fit has not seen are read as the nearest that it has, as they are when serving."""
        nearest = None
        if self.meanings is not None:
            of = self.meanings.of
            nearest = Nearest(vocabulary.keys, of(vocabulary.keys), self.settings.similarity, of, _silent)
        unexported = Unexported(inner(network))
        return LogAnomaly(vocabulary, self.settings.h, 1, unexported, self.settings.rule, nearest)


def inner(network: nn.Module) -> LogAnomalyNetwork:
    """The two-input network of a fitted ``Counting``."""
    assert isinstance(network, Counting)
    return network.network


def _silent(_template_id: int, _match: Match) -> None:
    """Matches of a fold mean nothing to the operator."""
