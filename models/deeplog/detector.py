"""DeepLog's decision: how unexpected was this key, or this end, after those keys?

Owns the rank rule and its explanation. Does not know how the logits come about (an ONNX graph, a network in
training), how windows are kept, nor templates' texts.
"""

from typing import Any, Literal, Protocol, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from models.deeplog.prefixes import network_of
from models.errors import BundleError
from models.graph import Graph
from models.rows import unique_rows
from models.sessions import Float64, Int64
from models.vocabulary import EOS, UNK, Vocabulary


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        """Logits float32 [n, vocabulary size], alone in a list, for ``windows`` int64 [n, h] of places in it."""


Rule = Literal["rank", "surprisal"]
"""``rank``: how many keys were likelier (the paper's); ``surprisal``: -ln p of the key, in nats."""

# Keeps the raw output of a rank inside [rank, rank + 1) where a probability underflows, so that raw >= g says
# the same as rank >= g; and a surprisal below that of an unknown key.
_LEAST_PROBABILITY = 1e-9
UNKNOWN_SURPRISAL = 30.0
"""Nats; a known key has 20.7 at most."""

# Rows of the softmax at a time: bounds memory where a source has thousands of templates.
_SLICE = 8192


class DeepLog:
    """How strange a key is after a history; anomalous iff the raw output reaches ``g``.

    Rule ``rank``: raw = ``rank + (1 - p)`` where ``rank = #{j : z_j > z_y}`` is how many keys were likelier and p
    is the key's own probability. The rank is safe with ties and needs no sort; ``raw >= g`` exactly where ``rank >=
    g`` (paper, section 3.1: the key is not among the top g). Blind to a wrong key among the top g, however
    improbable.

    Rule ``surprisal``: raw = ``-ln p``, for sources whose steps are strict: where one key must follow, the second
    likeliest is already an alarm.

    The end of a session is a key like any other. Padding, "before the session" and the unknown key are no possible
    next keys: their outputs take part in neither rank nor probability. An unknown key as target is an anomaly
    always, with a raw output above any other.
    """

    name = "deeplog"
    judges_end = True

    def __init__(self, vocabulary: Vocabulary, h: int, g: float, network: Network, rule: Rule = "rank") -> None:
        """``h`` keys of history; ``g`` keys that may follow, or nats from which on a key is anomalous."""
        self.vocabulary = vocabulary
        self.window = h
        self.g = g
        self.rule = rule
        self._network = network

    @classmethod
    def from_graph(cls, vocabulary: Vocabulary, graph: Graph) -> Self:
        """From the graph that training exported; h, g and rule are in its metadata. Raises BundleError where it is
        another vocabulary's."""
        try:
            h, g = int(graph.metadata["h"]), float(graph.metadata["g"])
            fingerprint, rule = graph.metadata["vocabulary"], graph.metadata["rule"]
            network = network_of(graph)
        except (KeyError, ValueError) as error:
            raise BundleError(f"deeplog: the graph's metadata lack {error}; train the source again") from error
        if fingerprint != vocabulary.fingerprint():
            raise BundleError("deeplog: the graph was trained with another vocabulary; restore the bundle")
        if rule not in get_args(Rule):
            raise BundleError(f"deeplog: rule {rule!r} is not known to this Tocsin; upgrade it to use this bundle")
        return cls(vocabulary, h, g, network, cast("Rule", rule))

    @property
    def unknown(self) -> float:
        """Raw output of a key outside the vocabulary."""
        return unknown_raw(self.rule, self.vocabulary.size)

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs float64 [n] of ``keys`` int64 [n] (template ids or ``END``) after ``history`` int64 [n,
        window].

        The network sees each distinct window once.
        """
        if len(keys) == 0:
            return np.empty(0, dtype=np.float64)
        windows, targets = self.vocabulary.encode(history), self.vocabulary.encode(keys)
        raw = np.full(len(keys), self.unknown)
        judged = np.flatnonzero(targets > UNK)
        if not len(judged):
            return raw
        first, inverse = unique_rows(windows[judged])
        logits = self._network.run(windows=windows[judged][first])[0][:, EOS:]
        for start in range(0, len(judged), _SLICE):
            part = slice(start, start + _SLICE)
            rank, probability = _place(logits[inverse[part]], targets[judged[part]] - EOS)
            raw[judged[part]] = rank + 1.0 - probability if self.rule == "rank" else -np.log(probability)
        return raw

    def explain(self, history: Int64, key: int, k: int = 5) -> dict[str, Any]:
        """The ``k`` likeliest keys after ``history`` int64 [window] with their probabilities, and the actual one's
        rank (0 is the likeliest) and probability; both None for a key outside the vocabulary. ``END`` is a key."""
        logits = self._network.run(windows=self.vocabulary.encode(history)[None, :])[0][0, EOS:].astype(np.float64)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        target = int(self.vocabulary.encode(np.array([key], dtype=np.int64))[0]) - EOS
        known = target >= 0
        return {
            "expected": [
                {"template_id": self.vocabulary.decode(place + EOS), "probability": float(probabilities[place])}
                for place in np.argsort(-logits, kind="stable")[:k].tolist()
            ],
            "template_id": key,
            "rank": int((logits > logits[target]).sum()) if known else None,
            "probability": float(probabilities[target]) if known else None,
            "rule": self.rule,
            "g": self.g,
        }


def unknown_raw(rule: Rule, size: int) -> float:
    """Raw output of a key outside a vocabulary of ``size``: above that of any key inside."""
    return size + 1.0 if rule == "rank" else UNKNOWN_SURPRISAL


def _place(logits: NDArray[np.float32], targets: Int64) -> tuple[Int64, Float64]:
    """Ranks int64 [n] and probabilities float64 [n] of ``targets`` int64 [n] among ``logits`` float32 [n, k]."""
    own = np.take_along_axis(logits, targets[:, None], axis=1)
    rank: Int64 = (logits > own).sum(axis=1)
    # exp(z_j - z_y) may overflow to infinity, which is a probability of zero.
    with np.errstate(over="ignore"):
        probability = 1.0 / np.exp(logits.astype(np.float64) - own).sum(axis=1)
    return rank, np.maximum(probability, _LEAST_PROBABILITY)
