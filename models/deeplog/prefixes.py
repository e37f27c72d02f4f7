"""DeepLog's graph over many windows at once: what windows have in common at their beginning is read once.

Owns how far windows are read together. The states of a shared beginning are those that each window would have had, so
the logits are the same as of every window read alone. Does not know what the keys mean.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.sessions import Int64

SHARED_FROM = 1_024
"""Windows from which on it pays: on the HDFS keys 12,000 distinct windows take two thirds of the time, 400 as long as
ever."""
APART = 0.5
"""Once there are this many distinct beginnings a window, the windows are read to their ends each for itself."""

Float32 = NDArray[np.float32]


class ContinuedGraph(Protocol):
    """A graph that takes up where another call stopped."""

    def run(self, *, windows: Int64, hidden: Float32, cell: Float32) -> list[NDArray[Any]]:
        """Logits float32 [n, size] after ``windows`` int64 [n, steps] and the states ``hidden`` and ``cell`` float32
        [n, layers, units], and both states after them."""


def network_of(graph: Graph) -> "Graph | SharedPrefixes":
    """What reads whole windows of a graph: the graph itself where an earlier Tocsin exported it. Raises ValueError or
    KeyError where its metadata are damaged."""
    if "layers" not in graph.metadata:
        return graph
    return SharedPrefixes(graph, int(graph.metadata["layers"]), int(graph.metadata["units"]))


class SharedPrefixes:
    """The network of a ``ContinuedGraph`` with so many ``layers`` of ``units``."""

    def __init__(self, graph: ContinuedGraph, layers: int, units: int) -> None:
        self._graph = graph
        self._shape = (layers, units)

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        """Logits float32 [n, size], alone in a list, for ``windows`` int64 [n, h]."""
        number, width = windows.shape
        beginning = np.zeros(number, dtype=np.int64)
        hidden = cell = np.zeros((1, *self._shape), dtype=np.float32)
        logits: NDArray[Any] | None = None
        span = int(windows.max(initial=0)) + 1
        read = 0
        while number >= SHARED_FROM and read < width:
            _, first, which = np.unique(beginning * span + windows[:, read], return_index=True, return_inverse=True)
            if len(first) > APART * number:
                break
            before = beginning[first]
            logits, hidden, cell = self._graph.run(
                windows=windows[first, read : read + 1], hidden=hidden[before], cell=cell[before]
            )
            beginning = which
            read += 1
        if logits is not None and read == width:
            return [logits[beginning]]
        rest = self._graph.run(windows=windows[:, read:], hidden=hidden[beginning], cell=cell[beginning])
        return rest[:1]
