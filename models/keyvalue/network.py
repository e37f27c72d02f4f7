"""The network: keys and field codes of a window in, the log odds of "anomalous" out."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class FieldLSTM(nn.Module):
    """A merged one-hot vector for each event, a stacked LSTM, and a linear layer on the last step.

    The one-hot vector of an event, that of its key and those of its fields end to end, is only ever multiplied by a
    matrix: the rows of that matrix are looked up and added instead.
    """

    offset: Tensor

    def __init__(self, sizes: Sequence[int], width: int, hidden: int, layers: int = 2) -> None:
        """``sizes``: how many places the key and each field have."""
        super().__init__()
        self.register_buffer("offset", torch.from_numpy(np.cumsum([0, *sizes[:-1]])), persistent=False)
        self.table = nn.Embedding(int(sum(sizes)), width)
        self.lstm = nn.LSTM(width, hidden, layers)
        self.output = nn.Linear(hidden, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits float32 [n] for ``windows`` int64 [n, length, 1 + fields] of places, the key's first.

        Time comes first and the initial state is left out, so that the zeros follow the batch in the exported graph
        too (pytorch#45653).
        """
        steps, _ = self.lstm(self.table(windows.transpose(0, 1) + self.offset).sum(dim=2))
        logits: Tensor = self.output(steps[-1])[:, 0]
        return logits


def build(sizes: Sequence[int], width: int, hidden: int, layers: int, seed: int) -> FieldLSTM:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FieldLSTM(sizes, width, hidden, layers)
