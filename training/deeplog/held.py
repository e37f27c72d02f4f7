"""What teaching asks of a model of keys as a bundle holds it.

Owns the face. DeepLog's is in ``teach``, LogAnomaly's in ``training/loganomaly/teach.py``.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from models.deeplog.detector import Rule
from models.vocabulary import Vocabulary
from training.deeplog.model import Scorer
from training.onnx import State


class Held(Protocol):
    """What a bundle holds of a model of keys."""

    @property
    def name(self) -> str:
        """Of the detector."""

    @property
    def state(self) -> State:
        """The network's weights."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The keys that it knows."""

    @property
    def h(self) -> int:
        """Keys of history."""

    @property
    def rule(self) -> Rule:
        """How raw outputs follow from logits."""

    def network(self, state: State | None = None) -> nn.Module:
        """The network of the bundle's weights, or of other ones of its kind, in eval mode: logits float32 [n, size] for
        windows int64 [n, h]."""

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> Scorer:
        """The detector around a network."""

    def grown(self, ids: Sequence[int]) -> tuple[State, Vocabulary]:
        """Weights and vocabulary with those of ``ids`` that it lacks and can take in."""

    def files(self, network: nn.Module, vocabulary: Vocabulary) -> dict[str, bytes]:
        """Graph and weights of a network."""
