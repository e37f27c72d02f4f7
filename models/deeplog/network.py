"""The network: keys of a window in, one logit for each possible next key out."""

import torch
from torch import Tensor, nn


class KeyLSTM(nn.Module):
    """Embedding, stacked LSTM, and a linear layer on the last step (paper section 3.1: two layers of 64 units).

    The paper's one-hot input is the same as an embedding; a scalar key as input, as in the code that circulates, puts
    an order on the keys that they do not have.
    """

    def __init__(self, size: int, embedding: int = 32, hidden: int = 64, layers: int = 2) -> None:
        """``size`` is the vocabulary's."""
        super().__init__()
        self.embedding = nn.Embedding(size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers)
        self.output = nn.Linear(hidden, size)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits float32 [n, size] for ``windows`` int64 [n, h] of places in the vocabulary.

        The LSTM runs with time first, which is about a third faster on a CPU.
        """
        steps, _ = self.lstm(self.embedding(windows.t()))
        logits: Tensor = self.output(steps[-1])
        return logits


class Continued(nn.Module):
    """A ``KeyLSTM`` that can go on where another call stopped, as its graph does: windows that begin alike are then
    read once up to where they part (``models.deeplog.prefixes``)."""

    def __init__(self, network: KeyLSTM) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits float32 [n, size] after ``windows`` int64 [n, steps], read on from ``hidden`` and ``cell`` float32
        [n, layers, units] (zeros: from the start), and both states after them."""
        states = hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()
        steps, (hidden_after, cell_after) = self.network.lstm(self.network.embedding(windows.t()), states)
        logits: Tensor = self.network.output(steps[-1])
        return logits, hidden_after.transpose(0, 1), cell_after.transpose(0, 1)


def build(size: int, embedding: int, hidden: int, layers: int, seed: int) -> KeyLSTM:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KeyLSTM(size, embedding, hidden, layers)
