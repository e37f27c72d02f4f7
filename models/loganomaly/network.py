"""The network: order and meaning of a window's keys in one LSTM, their running counts in another; logits out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.loganomaly.counts import columns
from models.vocabulary import SPECIALS

# Shares of a window are too small to learn from at the pace of the other weights.
_COUNT_SCALE = 10.0


class Templates(nn.Module):
    """Inputs of the sequence LSTM from what templates say: their frozen vectors, projected; the places that stand for
    no template are learned.

    Sentence vectors take the place of the paper's template2vec (word vectors that know synonyms from antonyms, averaged
    over a template).
    """

    def __init__(self, vectors: Tensor, embedding: int) -> None:
        """``vectors`` float32 [keys, width] of length 1, in the vocabulary's order."""
        super().__init__()
        self.special = nn.Embedding(SPECIALS, embedding)
        self.project = nn.Linear(vectors.shape[1], embedding)
        # Cells of a vector of length 1 are too small to learn from at the pace of the other weights.
        self.register_buffer("vectors", vectors * vectors.shape[1] ** 0.5, persistent=False)

    def table(self) -> Tensor:
        """One row for each place, float32 [size, embedding]."""
        return torch.cat([self.special.weight, self.project(self.get_buffer("vectors"))])

    def forward(self, places: Tensor) -> Tensor:
        return functional.embedding(places, self.table())

    def projected(self) -> nn.Embedding:
        """The same for serving: the vectors themselves are no longer there."""
        table = self.table().detach()
        rows, width = table.shape
        return nn.Embedding(rows, width, _weight=table)


class LogAnomalyNetwork(nn.Module):
    """Two LSTMs, their last steps joined, and a linear layer. The quantitative one has a single layer: a second costs a
    quarter of the speed, and the held-out loss on HDFS was no lower with it."""

    def __init__(self, keys: nn.Module, size: int, embedding: int, hidden: int, layers: int) -> None:
        """``keys`` gives the sequence LSTM its inputs float32 [..., embedding] for places int64 [...]; ``size`` is the
        vocabulary's."""
        super().__init__()
        self.keys = keys
        self.sequence = nn.LSTM(embedding, hidden, layers)
        self.quantity = nn.LSTM(columns(size), hidden)
        self.output = nn.Linear(2 * hidden, size)

    def forward(self, windows: Tensor, counts: Tensor, heard: Tensor | None = None) -> Tensor:
        """Logits float32 [n, size] for ``windows`` int64 [n, h] and their ``running_counts`` float32 [n, h, columns].

        ``heard`` float32 [n, 1], in training alone: 0 where the linear layer has to do without the counts.

        Time first and without initial states, for the reasons that ``models.deeplog.network`` gives.
        """
        order, _ = self.sequence(self.keys(windows.t()))
        amount, _ = self.quantity(_COUNT_SCALE * counts.transpose(0, 1))
        last = amount[-1] if heard is None else amount[-1] * heard
        logits: Tensor = self.output(torch.cat([order[-1], last], dim=1))
        return logits


def build(
    size: int, embedding: int, hidden: int, layers: int, seed: int, vectors: Tensor | None = None
) -> LogAnomalyNetwork:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was.

    ``vectors`` as in ``Templates``; without, an embedding is learned for each key.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        keys = nn.Embedding(size, embedding) if vectors is None else Templates(vectors, embedding)
        return LogAnomalyNetwork(keys, size, embedding, hidden, layers)
