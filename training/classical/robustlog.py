"""RobustLog: an attention BiLSTM that learns from labelled sessions of both kinds.

Zhang et al., "Robust log-based anomaly detection on unstable log data", ESEC/FSE 2019. Owns network and fit. A
yardstick for what labels are worth; it is not served.

The paper reads semantic vectors of templates, so that a changed template stays near its old self. Sets of keys have no
texts: here embeddings are learned, and a template that training never saw is ``UNK``, which stands now and then for
others during training. Every step's attention is tanh(w h), and the weighted sum of all steps is judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.errors import DataError
from models.sessions import Float64, Int64
from models.vocabulary import PAD, UNK, Vocabulary
from training.progress import Progress, silent
from training.windows import distinct

EMBEDDING, HIDDEN, LAYERS = 32, 64, 2
"""Half the paper's width, and learned embeddings in place of its 300: key sets have some dozens of templates."""
EPOCHS, BATCH, LEARNING_RATE = 12, 64, 2e-3
UNK_SHARE = 0.01
"""Keys that stand as ``UNK`` in training, so that it has a meaning."""
LONGEST = 512
"""Events read of a session, its first ones."""
JUDGED = 256
"""Sessions judged at once, of like length."""


class Network(nn.Module):
    """Places int64 [b, t] with lengths int64 [b] to logits float32 [b]; above 0 anomalous."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, EMBEDDING, padding_idx=PAD)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, LAYERS, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(2 * HIDDEN, 1)
        self.judge = nn.Linear(2 * HIDDEN, 1)

    def forward(self, places: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(places), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        # Padded states are zeros and add nothing.
        summed = (torch.tanh(self.attention(states)) * states).sum(dim=1)
        logits: Tensor = self.judge(summed)[:, 0]
        return logits


@dataclass(frozen=True, slots=True)
class RobustLog:
    """Raw output: the probability of being anomalous, 0.0 to 1.0."""

    vocabulary: Vocabulary
    network: Network
    curve: list[float]
    published: float = 0.5
    name: str = "robustlog"

    @classmethod
    def fit(cls, normal: Sequence[Int64], anomalous: Sequence[Int64], seed: int, progress: Progress = silent) -> Self:
        """Learn from sessions of both kinds, each int64 [length]; both weigh the same. Raises DataError where one kind
        is missing or a session is empty."""
        if not normal or not anomalous:
            raise DataError(
                f"robustlog learns from both kinds: {len(normal)} normal, {len(anomalous)} anomalous sessions"
            )
        once = distinct([*normal, *anomalous])
        vocabulary = Vocabulary.fit(once.sessions)
        ill = once.counts(np.arange(len(normal), len(once.index))) / (2.0 * len(anomalous))
        well = once.counts(np.arange(len(normal))) / (2.0 * len(normal))
        weight = torch.tensor((ill + well) * len(once.sessions), dtype=torch.float32)
        target = torch.tensor(ill / (ill + well), dtype=torch.float32)
        rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(vocabulary.size)
        optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        curve = []
        for epoch in range(EPOCHS):
            total = 0.0
            for chosen in _batches(once.sessions, BATCH, rng):
                places, lengths = _padded([once.sessions[i] for i in chosen], vocabulary)
                hidden = torch.from_numpy(rng.random(places.shape) < UNK_SHARE) & (places != PAD)
                logits = network(places.masked_fill(hidden, UNK), lengths)
                loss = binary_cross_entropy_with_logits(logits, target[chosen], weight[chosen])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                total += float(loss.detach()) * len(chosen)
            curve.append(total / len(once.sessions))
            progress("robustlog", epoch + 1, EPOCHS)
        return cls(vocabulary, network.eval(), curve)

    @torch.no_grad()
    def score(self, sessions: Sequence[Int64]) -> Float64:
        """Raw outputs float64 [n] of n sessions, each int64 [1 or more]."""
        once = distinct(sessions)
        raws = np.empty(len(once.sessions), dtype=np.float64)
        for chosen in _batches(once.sessions, JUDGED):
            raws[chosen] = torch.sigmoid(self.network(*_padded([once.sessions[i] for i in chosen], self.vocabulary)))
        return raws[once.index]


def _batches(sessions: Sequence[Int64], size: int, rng: np.random.Generator | None = None) -> list[list[int]]:
    """Numbers of sessions of like length, ``size`` at a time; shuffled by ``rng`` where there is one."""
    lengths = np.array([len(session) for session in sessions])
    order = np.argsort(lengths if rng is None else lengths + rng.uniform(0.0, 2.0, len(lengths)), kind="stable")
    batches = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    return batches if rng is None else [batches[i] for i in rng.permutation(len(batches)).tolist()]


def _padded(sessions: Sequence[Int64], vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
    """Places int64 [b, t], ``PAD`` behind, and lengths int64 [b]."""
    read = [torch.from_numpy(vocabulary.encode(session[:LONGEST])) for session in sessions]
    lengths = torch.tensor([len(places) for places in read])
    return nn.utils.rnn.pad_sequence(read, batch_first=True, padding_value=PAD), lengths
