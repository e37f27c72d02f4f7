"""LogLSTM's decision: does this window, the key judged being its last, look spoilt?

Han, Cheng, Xu, Yuan, "InterpretableSAD: Interpretable Anomaly Detection in Sequential Log Data", IEEE Big Data 2021, as
Morpheus serves it; here key by key. Owns the raw output and its explanation. Does not know how the logits come about
(an ONNX graph, a network in training), nor how windows are kept.
"""

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError
from models.graph import Graph
from models.rows import unique_rows
from models.sessions import Float64, Int64
from models.vocabulary import BOS, UNK, Vocabulary

LARGEST = 100.0
"""Bound of the raw output of a window whose last key is known, in nats either way."""
UNKNOWN = 2.0 * LARGEST
"""Raw output of an unknown key: above that of any other."""


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        """Logits float32 [n, 2] of normal and spoilt, alone in a list, for ``windows`` int64 [n, length] of places in
        the vocabulary."""


class LogLSTM:
    """Raw output: log odds, in nats, that the window which ends with the key judged is spoilt.

    A window is ``window`` keys of history and the key. Short sessions have "before the session" on the left; the end
    of a session is a key like any other and can stand last alone, because a session that stops early is spoilt by
    nothing else. An unknown key in the history has a vector of its own; as the key judged it is an anomaly always.
    """

    name = "loglstm"
    judges_end = True

    def __init__(self, vocabulary: Vocabulary, length: int, threshold: float, network: Network) -> None:
        """``length`` of a window, the key judged included; ``threshold``: the raw output from which on a key is
        anomalous."""
        self.vocabulary = vocabulary
        self.window = length - 1
        self.threshold = threshold
        self._network = network

    @classmethod
    def from_graph(cls, vocabulary: Vocabulary, graph: Graph) -> Self:
        """From the graph that training exported, whose metadata hold the rest. Raises BundleError where they do not,
        or it is another vocabulary's."""
        try:
            length, threshold = int(graph.metadata["length"]), float(graph.metadata["threshold"])
            fingerprint = graph.metadata["vocabulary"]
        except (KeyError, ValueError) as error:
            raise BundleError(f"loglstm: the graph's metadata lack {error}; train the source again") from error
        if fingerprint != vocabulary.fingerprint():
            raise BundleError("loglstm: the graph was trained with another vocabulary; restore the bundle")
        return cls(vocabulary, length, threshold, graph)

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs float64 [n] of ``keys`` int64 [n] (template ids or ``END``) after ``history`` int64 [n,
        window].

        The network sees each distinct window once.
        """
        raw = np.full(len(keys), UNKNOWN)
        windows = self.vocabulary.encode(np.column_stack([history, keys]))
        judged = np.flatnonzero(windows[:, -1] > UNK)
        if len(judged):
            first, inverse = unique_rows(windows[judged])
            raw[judged] = self._raw(windows[judged][first])[inverse]
        return raw

    def explain(self, history: Int64, key: int, k: int = 3) -> dict[str, Any]:
        """The log odds that the window is spoilt, and the ``k`` places in it that speak most for that: how much the
        odds fall where the key there is hidden from the network. ``offset`` 0 is the key judged, -1 the one before it.

        ``raw`` is None, and nothing is compared, for a key outside the vocabulary.
        """
        found: dict[str, Any] = {"template_id": key, "raw": None, "threshold": self.threshold, "places": []}
        places = self.vocabulary.encode(np.append(history, key))
        if places[-1] <= UNK:
            return found
        shown = np.flatnonzero(places > BOS)
        hidden = np.tile(places, (len(shown) + 1, 1))
        hidden[np.arange(len(shown)), shown] = UNK
        raws = self._raw(hidden)
        found["raw"] = float(raws[-1])
        found["places"] = [
            {
                "offset": int(shown[at]) - self.window,
                "template_id": self.vocabulary.decode(int(places[shown[at]])),
                "fall": float(raws[-1] - raws[at]),
            }
            for at in np.argsort(raws[:-1], kind="stable")[:k].tolist()
        ]
        return found

    def _raw(self, windows: Int64) -> Float64:
        """Raw outputs float64 [n] of ``windows`` int64 [n, length] of places."""
        logits = self._network.run(windows=windows)[0].astype(np.float64)
        return np.clip(logits[:, 1] - logits[:, 0], -LARGEST, LARGEST)
