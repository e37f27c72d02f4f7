"""What cross-fitting asks of a model of keys: a fresh network, and the detector that judges by it.

Owns DeepLog's answer. LogAnomaly has its own (``training/loganomaly/model.py``).
"""

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from models.deeplog.detector import DeepLog
from models.deeplog.network import build
from models.sessions import Float64, Int64
from models.vocabulary import Vocabulary
from training.deeplog.export import Unexported
from training.deeplog.settings import DeepLogSettings


class Scorer(Protocol):
    """An event detector whose raw output of an unknown key is above every other."""

    @property
    def unknown(self) -> float:
        """Raw output of a key outside the vocabulary."""

    def score(self, history: Int64, keys: Int64) -> Float64:
        """As ``models.detector.EventDetector.score``."""


class Model(Protocol):
    """A kind of network over keys."""

    def network(self, vocabulary: Vocabulary, seed: int) -> nn.Module:
        """A fresh one: logits float32 [n, vocabulary size] for windows int64 [n, h] of places in ``vocabulary``."""

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> Scorer:
        """The detector around a trained one in eval mode."""


@dataclass(frozen=True, slots=True)
class KeyModel:
    """DeepLog's."""

    settings: DeepLogSettings

    def network(self, vocabulary: Vocabulary, seed: int) -> nn.Module:
        settings = self.settings
        return build(vocabulary.size, settings.embedding, settings.hidden, settings.layers, seed)

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> DeepLog:
        return DeepLog(vocabulary, self.settings.h, 1, Unexported(network), self.settings.rule)
