"""The network: a BERT's last layers, trained, over its first ones, frozen; a vector and a logit for each text.

Owns the walk through a BERT's layers, pooling and the head. Does not know where a BERT comes from.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "cls"]
"""How a text's hidden states become one vector: their mean over its tokens, or the first one."""


class Upper(nn.Module):
    """What is trained: the last layers and the head (z and sigmoid(Wz + b) of the paper, the sigmoid left out)."""

    def __init__(self, layers: nn.ModuleList, width: int, pooling: Pooling) -> None:
        """``layers``: hidden states and an additive mask in, hidden states [n, t, width] out."""
        super().__init__()
        self.layers = layers
        self.head = nn.Linear(width, 1)
        self.pooling = pooling

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``logit`` float32 [n] and ``embedding`` float32 [n, width] from the frozen part's ``hidden`` float32 [n, t,
        width] and ``mask`` int64 [n, t]."""
        embedding = pool(walk(self.layers, hidden, mask), mask, self.pooling)
        return self.head(embedding)[:, 0], embedding


class LineClassifier(nn.Module):
    """The whole network as it is exported: token ids in, logit and embedding out."""

    def __init__(self, embeddings: nn.Module, frozen: nn.ModuleList, upper: Upper) -> None:
        """``embeddings``: ids int64 [n, t] to hidden states float32 [n, t, width]."""
        super().__init__()
        self.embeddings = embeddings
        self.frozen = frozen
        self.upper = upper

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states float32 [n, t, width] after the frozen part, of ``ids`` and ``mask`` int64 [n, t]."""
        return walk(self.frozen, self.embeddings(ids), mask)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Upper.forward``, from ``ids`` and ``mask`` int64 [n, t]."""
        logit, embedding = self.upper(self.lower(ids, mask), mask)
        return logit, embedding


def walk(layers: nn.ModuleList, hidden: Tensor, mask: Tensor) -> Tensor:
    """``hidden`` float32 [n, t, width] through BERT layers, blind to where ``mask`` int64 [n, t] is 0."""
    blind = (1.0 - mask[:, None, None, :].to(hidden.dtype)) * torch.finfo(hidden.dtype).min
    for layer in layers:
        hidden = layer(hidden, blind)
    return hidden


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One vector float32 [n, width] for each text's hidden states float32 [n, t, width]."""
    if pooling == "cls":
        return hidden[:, 0]
    weight = mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)
