"""What the construction asks of a key model: how probable is each next key?

Owns the question and DeepLog's answer to it. Does not know what is built from it.
"""

from typing import Protocol

import numpy as np

from models.deeplog.detector import Network
from models.sessions import Float64, Int64
from models.vocabulary import EOS, Vocabulary


class NextProbabilities(Protocol):
    """Pr[next key | history] for all keys at once."""

    @property
    def window(self) -> int:
        """h, keys of history."""

    @property
    def keys(self) -> Int64:
        """Template id of each column, int64 [V]; ``END`` is one of them."""

    def __call__(self, history: Int64) -> Float64:
        """Probabilities float64 [n, V], rows that add to one, after ``history`` int64 [n, window] of template ids,
        ``BEFORE_SESSION`` on the left."""


class DeepLogProbabilities:
    """Of DeepLog's network: the softmax over the keys and the end of the session, the other places left out."""

    def __init__(self, vocabulary: Vocabulary, window: int, network: Network) -> None:
        """``network``: that of the exported graph (``models.deeplog.prefixes``), or the network in training."""
        self.window = window
        self.keys: Int64 = np.array([vocabulary.decode(place) for place in range(EOS, vocabulary.size)], dtype=np.int64)
        self._vocabulary = vocabulary
        self._network = network

    def __call__(self, history: Int64) -> Float64:
        logits = self._network.run(windows=self._vocabulary.encode(history))[0][:, EOS:].astype(np.float64)
        probabilities: Float64 = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities
