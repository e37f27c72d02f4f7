"""The network: keys of a window in, a logit for "normal" and one for "spoilt" out."""

import torch
from torch import Tensor, nn


class WindowLSTM(nn.Module):
    """Frozen key vectors, a bidirectional LSTM, and a linear layer on the final states of both directions.

    The published code reads the last step alone, at which the backward direction has seen a single key.
    """

    def __init__(self, vectors: Tensor, hidden: int) -> None:
        """``vectors`` float32 [vocabulary size, width]: what stands for each place."""
        super().__init__()
        size, width = vectors.shape
        self.embedding = nn.Embedding(size, width, _weight=vectors, _freeze=True)
        self.lstm = nn.LSTM(width, hidden, bidirectional=True)
        self.output = nn.Linear(2 * hidden, 2)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits float32 [n, 2] for ``windows`` int64 [n, length] of places in the vocabulary.

        Time comes first and the initial state is left out, so that the zeros follow the batch in the exported graph
        too (pytorch#45653).
        """
        _, (final, _) = self.lstm(self.embedding(windows.t()))
        logits: Tensor = self.output(torch.cat([final[0], final[1]], dim=1))
        return logits


def build(vectors: Tensor, hidden: int, seed: int) -> WindowLSTM:
    """A fresh network whose weights depend on ``vectors`` and ``seed`` alone; the global generator is left as it
    was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WindowLSTM(vectors, hidden)
