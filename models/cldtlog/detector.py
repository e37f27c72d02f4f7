"""CLDTLog's decision: how much does this message read like those of anomalies?

Owns the raw output, what is remembered of it, and its explanation. Does not know how the network was trained, nor
what a session is.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from models.cldtlog.exemplars import Exemplars
from models.cldtlog.memory import Memory
from models.cldtlog.words import prepared
from models.errors import BundleError
from models.graph import Graph
from models.sessions import Float64, Int64
from models.wordpiece import WordPiece, digest


class Network(Protocol):
    """A ``Graph``, or a stand-in."""

    def run(self, *, ids: Int64, mask: Int64) -> list[NDArray[Any]]:
        """``logit`` float32 [n] and ``embedding`` float32 [n, width] for ``ids`` and ``mask`` int64 [n, t]."""


_DECIMALS = 4
"""Of a raw output: padding, the batch and the processor move a logit by less, so that none of them is seen."""
_SHOWN = 3
_WORDS_SHOWN = 5


class CLDTLog:
    """How much one message reads like the anomalies that training was shown.

    The raw output is the logit of the anomalous class (the paper's probability before the sigmoid, which saturates
    where calibration has to tell scores apart), rounded to 1e-4; NaN where the message has no word. A text has the
    same output whatever stands beside it. Safe to use from several threads at once.
    """

    name = "cldtlog"

    def __init__(self, network: Network, wordpiece: WordPiece, threshold: float, exemplars: Exemplars) -> None:
        """``threshold``: the logit from which on a message alone rings."""
        self.threshold = threshold
        self._network = network
        self._wordpiece = wordpiece
        self._exemplars = exemplars
        self._prepared: Memory[str] = Memory()
        self._logits: Memory[float] = Memory()

    @classmethod
    def from_graph(cls, graph: Graph, tokenizer_json: bytes, state_json: bytes) -> Self:
        """From the bundle's ``cldtlog.onnx``, ``cldtlog.tokenizer.json`` and ``cldtlog.json``. Raises BundleError
        where one is damaged or they do not belong together."""
        try:
            width = int(graph.metadata["width"])
            tokenizer = graph.metadata["tokenizer"]
            state = orjson.loads(state_json)
            threshold, exemplars = float(state["threshold"]), state["exemplars"]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"cldtlog: the bundle's parts lack {error}; restore it or train it again") from error
        if graph.metadata.get("detector") != cls.name:
            raise BundleError("cldtlog: the graph is another detector's; restore the bundle")
        if tokenizer != digest(tokenizer_json):
            raise BundleError("cldtlog: the network was trained with another tokeniser; restore the bundle")
        if not math.isfinite(threshold):
            raise BundleError("cldtlog: the threshold is not finite; restore the bundle")
        return cls(graph, WordPiece.from_json(tokenizer_json), threshold, Exemplars.from_dict(exemplars, width))

    def prepare(self, masked: Sequence[str]) -> list[str]:
        """The words of each of n masked messages; see ``models.cldtlog.words.prepared``."""
        return self._prepared.answers(masked, lambda missing: [prepared(message) for message in missing])

    def score_texts(self, texts: Sequence[str]) -> Float64:
        """Raw outputs, float64 [n], of n prepared texts; NaN for an empty one.

        The network sees each distinct text once, and not again while it is remembered.
        """
        return np.array(self._logits.answers(texts, self._find), dtype=np.float64)

    def explain(self, text: str) -> dict[str, Any]:
        """Probability and logit of a prepared text, the labelled training texts nearest to it, and its words by how
        much the logit falls where a word is left out."""
        words = list(dict.fromkeys(text.split()))
        if not words:
            return {"probability": None, "logit": None, "threshold": self.threshold, "words": [], "nearest": {}}
        without = [" ".join(word for word in text.split() if word != left_out) for left_out in words]
        logits, embeddings = self._run([text, *without])
        effect = {word: float(logits[0] - other) for word, other in zip(words, logits[1:], strict=True)}
        ranked = sorted(effect, key=lambda word: -effect[word])[:_WORDS_SHOWN]
        return {
            "probability": _sigmoid(float(logits[0])),
            "logit": float(logits[0]),
            "threshold": self.threshold,
            "words": [{"word": word, "effect": round(effect[word], _DECIMALS)} for word in ranked if effect[word] > 0],
            "nearest": {
                name: self._exemplars.nearest(embeddings[0], anomalous, _SHOWN)
                for name, anomalous in (("normal", False), ("anomalous", True))
            },
        }

    def _find(self, texts: list[str]) -> list[float]:
        worded = [text for text in texts if text]
        found = dict(zip(worded, self._run(worded)[0].tolist(), strict=True)) if worded else {}
        return [found.get(text, math.nan) for text in texts]

    def _run(self, texts: Sequence[str]) -> tuple[Float64, Float64]:
        """Rounded logits float64 [n] and embeddings float64 [n, width] of n > 0 texts."""
        logits = np.empty(len(texts), dtype=np.float64)
        parts: list[tuple[Int64, NDArray[Any]]] = []
        for batch in self._wordpiece.batches(texts):
            logits[batch.rows], embeddings = self._network.run(ids=batch.ids, mask=batch.mask)
            parts.append((batch.rows, embeddings))
        order = np.argsort(np.concatenate([rows for rows, _ in parts]))
        return np.round(logits, _DECIMALS), np.concatenate([part for _, part in parts]).astype(np.float64)[order]


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0.0 else math.exp(logit) / (1.0 + math.exp(logit))
