"""The network: the numbers of a template's earlier lines in, the expected numbers of its next line out."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

INPUT_BOUND = 10.0
"""Standard deviations; a history that holds an outlier must not throw the prediction off."""
ERROR_BOUND = 1e4
"""Standard deviations; keeps squares inside float32."""


@dataclass(frozen=True, slots=True)
class Scales:
    """How the cells of each of k templates are standardised, float64 [k, width] each: ``mean``, ``std`` (above 0) and
    ``unit`` of ``models.deeplog_values.layout.Position``; ``judged``: 1.0 for a cell that the network predicts."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    unit: NDArray[np.float64]
    judged: NDArray[np.float64]


class ValueLSTM(nn.Module):
    """One LSTM for all templates, told by an embedding which it reads, and a linear layer of each template's own.

    The own layer has a row of weights for each cell, all zero at first: an untrained network, and one that has no
    history, predicts the template's mean (plus what training found the first occurrence to differ by). Whole LSTMs of
    each template's own would be as exact and a hundred times larger. Standardisation is part of the network and runs
    in float64, as the difference of two large numbers needs it; a missing number (NaN) is a zero with a mask of zero
    beside it.
    """

    mean: Tensor
    std: Tensor
    unit: Tensor
    judged: Tensor

    def __init__(self, scales: Scales, embedding: int = 8, hidden: int = 32) -> None:
        super().__init__()
        templates, width = scales.mean.shape
        self.register_buffer("mean", torch.from_numpy(scales.mean))
        self.register_buffer("std", torch.from_numpy(scales.std))
        self.register_buffer("unit", torch.from_numpy(scales.unit))
        self.register_buffer("judged", torch.from_numpy(scales.judged))
        self.embedding = nn.Embedding(templates, embedding)
        self.lstm = nn.LSTM(2 * width + embedding, hidden)
        self.weight = nn.Parameter(torch.zeros(templates, width, hidden))
        self.bias = nn.Parameter(torch.zeros(templates, width))

    def forward(self, key: Tensor, history: Tensor, length: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of n events: masked mean squared error [n], deviation [n, width] (zero where missing or not judged) and
        prediction [n, width], float32, in standard deviations.

        ``key`` int64 [n], which template; ``history`` float64 [n, steps, width], oldest first, its first ``length``
        int64 [n] steps filled; ``values`` float64 [n, width]; NaN for a missing number.
        """
        past, seen = self._standardised(key.unsqueeze(1), history)
        own = self.embedding(key).unsqueeze(1).expand(-1, past.shape[1], -1)
        steps, _ = self.lstm(torch.cat([past.clamp(-INPUT_BOUND, INPUT_BOUND), seen, own], dim=2).transpose(0, 1))
        at = (length - 1).clamp(min=0).reshape(1, -1, 1).expand(-1, -1, steps.shape[2])
        last = steps.gather(0, at).squeeze(0) * (length > 0).unsqueeze(1)
        prediction = (self.weight[key] * last.unsqueeze(1)).sum(dim=2) + self.bias[key]
        actual, judged = self._standardised(key, values)
        deviation = (actual - prediction) * judged
        error = deviation.square().sum(dim=1) / judged.sum(dim=1).clamp(min=1.0)
        return error, deviation, prediction

    def _standardised(self, key: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised cells, zero where there is nothing to read, and 1.0 where there is; float32."""
        unit, judged = self.unit[key], self.judged[key]
        there = torch.logical_not(torch.isnan(values)) & (judged > 0.5)
        plain = torch.where(there, values, torch.zeros_like(values))
        logarithm = torch.sign(plain) * torch.log(1.0 + plain.abs() / torch.where(unit > 0.0, unit, 1.0))
        scaled = (torch.where(unit > 0.0, logarithm, plain) - self.mean[key]) / self.std[key]
        bounded = scaled.clamp(-ERROR_BOUND, ERROR_BOUND)
        mask = there.to(torch.float32)
        return bounded.to(torch.float32) * mask, mask


def build(scales: Scales, embedding: int, hidden: int, seed: int) -> ValueLSTM:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ValueLSTM(scales, embedding, hidden)
