"""Teaching LogAnomaly: by DeepLog's steps (``training.deeplog.teach``), as both judge alike.

Owns what a bundle holds of it, and how it takes in new keys. Does not know how steps are taken.

Trained on ids and counts, it takes in a key called normal: one column of counts more, which begins as that of unknown
keys. Trained with what templates say, it does not: the vector of a new template is not in the bundle, whose encoder
reads it as the nearest known one. Lessons with such a key are left to their rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.deeplog.detector import Rule
from models.errors import BundleError, ConfigError, DataError
from models.graph import Graph
from models.lesson import Seen
from models.loganomaly.counts import Float32
from models.loganomaly.detector import LogAnomaly, read_vectors
from models.loganomaly.network import build
from models.sessions import BEFORE_SESSION
from models.vocabulary import END, Vocabulary
from training.deeplog.growth import grown
from training.deeplog.teach import teach_keys
from training.learning.teaching import Learned, Part, Taught
from training.loganomaly.export import to_onnx
from training.loganomaly.model import Counting, Unexported, inner
from training.loganomaly.settings import LogAnomalySettings
from training.onnx import State, from_safetensors, state_of, to_safetensors
from training.progress import Progress

NAME = "loganomaly"
GRAPH, WEIGHTS = f"{NAME}.onnx", f"{NAME}.safetensors"


def teach_loganomaly(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """As ``training.learning.teaching.Teach``."""
    held = _Held.read(part)
    return teach_keys(held, part, [one for one in taught if held.reads(one.seen)], seed, progress)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a bundle holds of the model; ``vectors`` float32 [keys, width] where it was trained with them."""

    state: State
    vocabulary: Vocabulary
    settings: LogAnomalySettings
    h: int
    g: float
    vectors: Float32 | None
    name: str = NAME

    @classmethod
    def read(cls, part: Part) -> "_Held":
        try:
            own, files = part.settings, part.files
            vocabulary = Vocabulary.from_dict(own["vocabulary"])
            vectors = read_vectors(files, len(vocabulary.keys)) if own["semantic"] else None
            held = cls(
                from_safetensors(files[WEIGHTS], NAME), vocabulary, LogAnomalySettings.from_dict(own["training"]),
                int(own["h"]), float(own["g"]), vectors,
            )  # fmt: skip
            if len(held.state["output.bias"]) != vocabulary.size:
                raise DataError("weights and vocabulary differ in size")
            LogAnomaly.from_parts(own, Graph(files[GRAPH], "cpu"), files)
            held.network()
        except (AttributeError, ConfigError, DataError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BundleError(
                f"{NAME}: cannot go on from this bundle ({error}); restore it or train it again"
            ) from error
        return held

    @property
    def rule(self) -> Rule:
        """How raw outputs follow from logits."""
        return self.settings.rule

    def reads(self, seen: Seen) -> bool:
        """Whether it is here what it is where it serves: there an encoder may read an unknown key as a known one."""
        keys = [key for key in (*seen["history"][-self.h :], seen["key"]) if key not in (BEFORE_SESSION, END)]
        return self.vectors is None or bool(self.vocabulary.known(np.array(keys, dtype=np.int64)).all())

    def network(self, state: State | None = None) -> Counting:
        """The network of the bundle's weights, or of other ones of its kind, in eval mode."""
        own, weights = self.settings, self.state if state is None else state
        size = len(weights["output.bias"])
        vectors = None if self.vectors is None else torch.from_numpy(self.vectors)
        network = build(size, own.embedding, own.hidden, own.layers, 0, vectors)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        # Never in training mode: counts are there in every window that is rehearsed, as they are when serving.
        return Counting(network, size, own.count_dropout, 0).eval()

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> LogAnomaly:
        """The detector around a network."""
        return LogAnomaly(vocabulary, self.h, self.g, Unexported(inner(network)), self.rule)

    def grown(self, ids: Sequence[int]) -> tuple[State, Vocabulary]:
        """As ``training.deeplog.growth.grown``; the same weights and vocabulary where there are vectors."""
        if self.vectors is not None:
            return self.state, self.vocabulary
        state, vocabulary = grown({**self.state, "embedding.weight": self.state["keys.weight"]}, self.vocabulary, ids)
        fresh = vocabulary.size - self.vocabulary.size
        counts = state["quantity.weight_ih_l0"]
        state["keys.weight"] = state.pop("embedding.weight")
        state["quantity.weight_ih_l0"] = np.hstack([counts, np.tile(counts[:, :1], (1, fresh))])
        return state, vocabulary

    def files(self, network: nn.Module, vocabulary: Vocabulary) -> dict[str, bytes]:
        """Graph and weights of a network."""
        own = inner(network)
        return {
            GRAPH: to_onnx(own, vocabulary, self.h, self.g, self.rule),
            WEIGHTS: to_safetensors(state_of(own)),
        }
