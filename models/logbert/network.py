"""The network: a session of places, some of them masked, in; a logit for each key that may be masked, and the
session's squared distance from the centre of the normal ones, out."""

import math

import torch
from torch import Tensor, nn

from models.logbert.inputs import LEAD
from models.sessions import SEGMENT
from models.vocabulary import EOS, PAD

LONGEST = LEAD + SEGMENT
"""Tokens of the longest sequence: the first one and a segment's keys."""

_HIDDEN = -1e9
"""What padding's attention scores become; minus infinity would give NaN where nothing else is left."""


class SessionEncoder(nn.Module):
    """Embedding and sinusoid, a Transformer encoder, a linear layer on masked steps (as in the paper).

    Attention and feed-forward take normalised input (as in the published code), which needs no warm-up of many
    thousand steps. Attention is written out, so that the exported graph is the network that was trained: PyTorch's own
    layer takes another way in eval mode. There is no dropout: every epoch masks other keys, and on a CPU the draws
    would cost a third of a fit.
    """

    sinusoid: Tensor
    centre: Tensor

    def __init__(self, size: int, width: int = 64, heads: int = 4, layers: int = 2, feed_forward: int = 128) -> None:
        """``size`` is the vocabulary's. The embedding has one row more, for the mask."""
        super().__init__()
        self.embedding = nn.Embedding(size + 1, width)
        self.register_buffer("sinusoid", _sinusoid(LONGEST, width), persistent=False)
        self.layers = nn.ModuleList(_Layer(width, heads, feed_forward) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, size - EOS)
        self.register_buffer("centre", torch.zeros(width))

    def encode(self, places: Tensor) -> Tensor:
        """Hidden states float32 [n, t, width] of ``places`` int64 [n, t], ``PAD`` on the right."""
        hidden = self.embedding(places) + self.sinusoid[: places.shape[1]]
        padding = (places == PAD)[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, padding)
        normed: Tensor = self.norm(hidden)
        return normed

    def distance(self, hidden: Tensor) -> Tensor:
        """Squared distance float32 [n] of the first token's state from the centre, mean over its dimensions (so that
        its weight in the loss does not depend on the width)."""
        return (hidden[:, 0] - self.centre).square().mean(dim=1)

    def forward(self, places: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [n, m, size - EOS] of ``EOS`` and the keys at steps ``at`` int64 [n, m] of ``places`` int64
        [n, t], and distances float32 [n]."""
        hidden = self.encode(places)
        chosen = hidden.gather(1, at[:, :, None].expand(-1, -1, hidden.shape[2]))
        return self.output(chosen), self.distance(hidden)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.attention = _Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, feed_forward), nn.GELU(), nn.Linear(feed_forward, width))
        self.before_attention = nn.LayerNorm(width)
        self.before_feed_forward = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        hidden = hidden + self.attention(self.before_attention(hidden), padding)
        after: Tensor = hidden + self.feed_forward(self.before_feed_forward(hidden))
        return after


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.joined = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, hidden: Tensor, padding: Tensor) -> Tensor:
        """``padding`` bool [n, 1, 1, t], broadcast over heads and queries."""
        rows, steps, width = hidden.shape
        parts = self.joined(hidden).view(rows, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads)
        weights = scores.masked_fill(padding, _HIDDEN).softmax(dim=3)
        found: Tensor = self.output((weights @ value).transpose(1, 2).reshape(rows, steps, width))
        return found


def _sinusoid(steps: int, width: int) -> Tensor:
    """Positions, float32 [steps, width]: sines at even places, cosines at odd ones."""
    angle = torch.arange(steps)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], dim=2).reshape(steps, width)


def build(size: int, width: int, heads: int, layers: int, feed_forward: int, seed: int) -> SessionEncoder:
    """A fresh network whose weights depend on ``seed`` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SessionEncoder(size, width, heads, layers, feed_forward)
