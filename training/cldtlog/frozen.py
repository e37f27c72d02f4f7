"""What the frozen layers make of each distinct text, computed once.

Owns tokenising, the split into frozen and trained layers, and the batches of activations. Does not know labels.
"""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.cldtlog.network import Upper, walk
from models.sessions import Int64
from models.wordpiece import WordPiece
from training.encoder import Encoder


class FrozenPart:
    """An encoder's embeddings and first layers, which no training changes."""

    def __init__(self, encoder: Encoder, trained_share: float) -> None:
        """``trained_share``: of the layers, the last ones, rounded up."""
        self.encoder = encoder
        self._split = len(encoder.layers) - math.ceil(trained_share * len(encoder.layers))

    @property
    def layers(self) -> nn.ModuleList:
        """The frozen layers."""
        return nn.ModuleList(list(self.encoder.layers)[: self._split])

    def upper(self) -> Upper:
        """A fresh trainable part: the encoder's last layers, copied, and a head drawn from the global generator."""
        layers = nn.ModuleList(copy.deepcopy(layer) for layer in list(self.encoder.layers)[self._split :])
        return Upper(layers.requires_grad_(True), self.encoder.width, self.encoder.pooling)


class Activations:
    """Hidden states of t texts after the frozen part, each kept at its own length."""

    def __init__(self, part: FrozenPart, texts: Sequence[str]) -> None:
        wordpiece = WordPiece.from_json(part.encoder.tokenizer)
        found: list[Tensor | None] = [None] * len(texts)
        layers = part.layers
        with torch.no_grad():  # not inference mode: training differentiates through what comes after
            for batch in wordpiece.batches(texts):
                ids, mask = torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)
                hidden = walk(layers, part.encoder.embeddings(ids), mask)
                for row, states, length in zip(batch.rows.tolist(), hidden, mask.sum(dim=1).tolist(), strict=True):
                    found[row] = states[:length].clone()
        self._states = [states for states in found if states is not None]
        self.lengths = np.array([len(states) for states in self._states], dtype=np.int64)
        """Tokens of each text, int64 [t]."""

    def __len__(self) -> int:
        return len(self._states)

    def of(self, texts: Int64) -> tuple[Tensor, Tensor]:
        """Hidden states float32 [n, time, width] and mask int64 [n, time] of the texts numbered int64 [n]."""
        states = [self._states[text] for text in texts.tolist()]
        hidden = nn.utils.rnn.pad_sequence(states, batch_first=True)
        lengths = torch.tensor([len(one) for one in states])
        return hidden, (torch.arange(hidden.shape[1]) < lengths[:, None]).long()
