"""The network: scores of the entities in a timeframe in, how badly the autoencoder gives them back out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Four dense layers, N -> ``wide`` ReLU -> ``narrow`` tanh -> ``wide`` ReLU -> N ReLU, with dropout after the first
    two, behind a scaler of each column to 0..1 over the training rows (the authors' Keras code: 128, 64, 0.6)."""

    low: Tensor
    span: Tensor

    def __init__(self, low: Tensor, span: Tensor, wide: int = 128, narrow: int = 64, dropout: float = 0.6) -> None:
        """``low``, ``span`` float32 [N]: smallest score of each entity, and how far its scores reach above that."""
        super().__init__()
        size = len(low)
        self.register_buffer("low", low)
        self.register_buffer("span", span)
        self.first = nn.Linear(size, wide)
        self.code = nn.Linear(wide, narrow)
        self.third = nn.Linear(narrow, wide)
        self.last = nn.Linear(wide, size)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.first, self.code, self.third, self.last):
            nn.init.normal_(layer.weight, 0.0, 0.05)
            nn.init.zeros_(layer.bias)

    def scale(self, scores: Tensor) -> Tensor:
        """Scores to what the layers see; outside the range seen in training they leave 0..1 and are not clipped."""
        return (scores - self.low) / self.span

    def activations(self, scaled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Activated output of each layer, the last one the reconstruction float32 [n, N] of ``scaled``."""
        first = torch.relu(self.first(scaled))
        code = torch.tanh(self.code(self.dropout(first)))
        third = torch.relu(self.third(self.dropout(code)))
        return first, code, third, torch.relu(self.last(third))

    def forward(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For ``scores`` float32 [n, N]: the mean squared error of each row [n], the squared error of each cell [n, N],
        both as scaled, and the scores expected [n, N]."""
        scaled = self.scale(scores)
        restored = self.activations(scaled)[-1]
        errors = (scaled - restored) ** 2
        return errors.mean(dim=1), errors, restored * self.span + self.low


def build(
    low: NDArray[np.float32], span: NDArray[np.float32], wide: int, narrow: int, dropout: float, seed: int
) -> Autoencoder:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder(torch.from_numpy(low), torch.from_numpy(span), wide, narrow, dropout)
