"""The decision on the last events of a session by their keys and header fields together.

After the merged one-hot LSTM of a project report (Brno University of Technology) on HDFS. Owns the raw output and its
explanation. Does not know how the logits come about (an ONNX graph, a network in training), nor how events are kept.
"""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import BundleError, DataError
from models.graph import Graph
from models.keyvalue.places import Places, before_session
from models.rows import unique_rows
from models.sessions import Float64, Int64

HALF = 0.0
"""Raw output at which the network holds anomalous as likely as normal: the published rule, a probability of 0.5."""


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        """Logits float32 [n], alone in a list, for ``windows`` int64 [n, length, 1 + fields] of places."""


class KeyValue:
    """Raw output: log odds, in nats, that a window of events comes from a session that people would label anomalous.

    A window is ``window`` earlier events of the session and the one judged. It is supervised: what it finds is like
    what was labelled, and a new kind of fault may pass. Unknown keys and values have places of their own, which
    training fills by hiding known ones; they are not anomalous in themselves.
    """

    name = "keyvalue"

    def __init__(self, places: Places, length: int, threshold: float, network: Network) -> None:
        """``length`` of a window, the event judged included; ``threshold``: the raw output from which on an event is
        anomalous."""
        self.places = places
        self.window = length - 1
        self.threshold = threshold
        self._network = network

    @classmethod
    def from_graph(cls, settings: Mapping[str, Any], graph: Graph) -> Self:
        """From a bundle's ``settings`` of this member and the graph that training exported. Raises BundleError where
        they are damaged or do not belong together."""
        try:
            places = Places.from_dict(settings)
            length, threshold = int(graph.metadata["length"]), float(graph.metadata["threshold"])
            fingerprint = graph.metadata["places"]
        except (AttributeError, KeyError, TypeError, ValueError, DataError) as error:
            raise BundleError(f"keyvalue: the bundle lacks or damages {error}; train the source again") from error
        if fingerprint != places.fingerprint():
            raise BundleError("keyvalue: the graph was trained with other keys or fields; restore the bundle")
        return cls(places, length, threshold, graph)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the header fields that it reads."""
        return self.places.names

    def codes(self, fields: pl.DataFrame) -> Int64:
        """Codes of n records' header fields, int64 [n, fields]; 0 for a value that training did not see."""
        return self.places.codes(fields)

    def score_fields(self, history: Int64, keys: Int64, earlier: Int64, codes: Int64) -> Float64:
        """Raw outputs float64 [k] of ``keys`` int64 [k] with ``codes`` int64 [k, fields] after ``history`` int64 [k,
        window] with ``earlier`` int64 [k, window, fields].

        The network sees each distinct window once.
        """
        if len(keys) == 0:
            return np.empty(0, dtype=np.float64)
        windows = self.places.windows(history, keys, earlier, codes)
        first, inverse = unique_rows(windows.reshape(len(windows), -1))
        return self._raw(windows[first])[inverse]

    def explain(self, history: Int64, key: int, earlier: Int64, codes: Int64, k: int = 3) -> dict[str, Any]:
        """The raw output, its probability, and the ``k`` keys or values in the window that speak most for "anomalous":
        how much the raw output falls where one is hidden from the network. ``offset`` 0 is the event judged, -1 the one
        before it; ``field`` is None for the key, whose ``value`` is a template id."""
        window = self.places.windows(history[None], np.array([key]), earlier[None], codes[None])
        row, column = np.nonzero(~before_session(window)[0])
        hidden = np.repeat(window, len(row) + 1, axis=0)
        hidden[np.arange(len(row)), row, column] = [self.places.hidden(at) for at in column.tolist()]
        raws = self._raw(hidden)
        raw = float(raws[-1])
        return {
            "template_id": key,
            "raw": raw,
            "probability": float(np.exp(-np.logaddexp(0.0, -raw))),
            "threshold": self.threshold,
            "parts": [
                {
                    "offset": int(row[at]) - self.window,
                    "field": self.places.names[column[at] - 1] if column[at] else None,
                    "value": self.places.shown(int(column[at]), int(window[0, row[at], column[at]])),
                    "fall": raw - float(raws[at]),
                }
                for at in np.argsort(raws[:-1], kind="stable")[:k].tolist()
            ],
        }

    def _raw(self, windows: Int64) -> Float64:
        """Raw outputs float64 [n] of ``windows`` int64 [n, length, 1 + fields] of places."""
        logits: Float64 = self._network.run(windows=windows)[0].astype(np.float64)
        return logits
