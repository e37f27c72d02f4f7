"""Key vectors by Word2Vec: each key is guessed from the mean of the vectors around it (CBOW).

Mikolov et al., "Efficient Estimation of Word Representations in Vector Space", 2013. Vocabularies are small, so that
the softmax is taken in full, and equal neighbourhoods are learned once with a weight. Owns vectors. Does not know what
reads them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.rows import unique_rows
from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import BOS, END, PAD, UNK, Vocabulary
from training.loglstm.settings import LogLSTMSettings

BATCH = 256
LEARNING_RATE = 1e-2


class _Guesser(nn.Module):
    """Mean of the vectors around a key to a logit for each place."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(size, width, padding_idx=PAD)
        self.output = nn.Linear(width, size)

    def forward(self, around: Tensor) -> Tensor:
        """Logits float32 [n, size] for ``around`` int64 [n, 2 * context], ``PAD`` where there is nothing."""
        number = (around != PAD).sum(dim=1, keepdim=True).clamp(min=1)
        logits: Tensor = self.output(self.vectors(around).sum(dim=1) / number)
        return logits


def key_vectors(
    sessions: list[Int64], counts: Int64, vocabulary: Vocabulary, settings: LogLSTMSettings, seed: int
) -> NDArray[np.float32]:
    """Vectors float32 [vocabulary size, embedding] of distinct ``sessions`` (each int64 [length], raw ids) that were
    seen ``counts`` int64 [sessions] times, the beginning and the end of each being keys too.

    ``UNK`` learns where it stands in for keys that are hidden at random. The same seed and data give the same vectors.
    """
    around, key, count = _neighbourhoods(sessions, counts, vocabulary, settings.context)
    inputs, targets = torch.from_numpy(around), torch.from_numpy(key)
    weight = torch.from_numpy((count.astype(np.float64) ** settings.weight_power).astype(np.float32))
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Guesser(vocabulary.size, settings.embedding)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    epochs = max(settings.epochs, -(-settings.vector_steps // -(-len(targets) // BATCH)))
    for _ in range(epochs):
        for at in torch.split(torch.randperm(len(targets), generator=random), BATCH):
            shown = inputs[at]
            hidden = (torch.rand(shown.shape, generator=random) < settings.unk_dropout) & (shown > BOS)
            losses = functional.cross_entropy(network(shown.masked_fill(hidden, UNK)), targets[at], reduction="none")
            optimizer.zero_grad()
            torch.autograd.backward((losses * weight[at]).sum() / weight[at].sum())
            optimizer.step()
    vectors: NDArray[np.float32] = network.vectors.weight.detach().numpy().copy()
    return vectors


def _neighbourhoods(
    sessions: list[Int64], counts: Int64, vocabulary: Vocabulary, context: int
) -> tuple[Int64, Int64, Int64]:
    """Distinct (keys around, key) as places, int64 [p, 2 * context] and [p], and how often each was seen, int64
    [p]."""
    gap = np.full(context, PAD)
    begin, end = np.array([BEFORE_SESSION]), np.array([END])
    parts = [part for keys in sessions for part in (gap, vocabulary.encode(np.concatenate([begin, keys, end])))]
    flat = np.concatenate([*parts, gap])
    cell = np.flatnonzero(flat != PAD)
    offsets = np.delete(np.arange(-context, context + 1), context)
    rows = np.column_stack([flat[cell[:, None] + offsets], flat[cell]])
    seen = np.repeat(counts, [len(keys) + 2 for keys in sessions])
    first, inverse = unique_rows(rows)
    count = np.bincount(inverse, weights=seen, minlength=len(first)).astype(np.int64)
    return rows[first, :-1], rows[first, -1], count
