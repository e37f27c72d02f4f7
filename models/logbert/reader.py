"""How sequences are put to the network, and what comes back: a rank and a surprisal for each key, a distance for each
sequence.

Owns the reading of the network's answers. Does not know where the logits come from (an ONNX graph, a network in
training), nor what is decided by them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError
from models.graph import Graph
from models.logbert.inputs import LEAD, Tokens, passes, tokens, whole
from models.sessions import SEGMENT, Float64, Int64
from models.vocabulary import EOS, Vocabulary

UNKNOWN_SURPRISAL = 30.0
"""Nats that a key outside the vocabulary counts as; a known key has 20.7 at most."""

STEP = 1.0 / SEGMENT**2
"""Less than the difference between any two shares that a segment can have: what the tie-breaker stays below."""

_LEAST_PROBABILITY = 1e-9
_BOUND = UNKNOWN_SURPRISAL + 1.0


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, places: Int64, at: Int64) -> list[NDArray[Any]]:
        """Logits float32 [n, m, size - EOS] of ``EOS`` and the keys at steps ``at`` int64 [n, m] of ``places`` int64
        [n, t], and distances float32 [n]."""


@dataclass(frozen=True, slots=True)
class KeyScores:
    """What each of k judged keys got where it was masked, sequence after sequence.

    ``rank`` int64 [k]: how many keys were likelier, the vocabulary's size for an unknown one; ``surprisal`` float64
    [k]: -ln of its probability, nats; ``start`` int64 [u]: where each of the u sequences begins.
    """

    rank: Int64
    surprisal: Float64
    start: Int64

    @property
    def length(self) -> Int64:
        """Keys judged of each sequence, its end included, int64 [u]."""
        return np.diff(self.start, append=len(self.rank))

    def shares(self, g: int) -> Float64:
        """Share of each sequence's keys whose rank is at least ``g``, float64 [u], 0..1."""
        anomalous: Float64 = np.add.reduceat((self.rank >= g).astype(np.float64), self.start)
        return anomalous / self.length

    def raws(self, g: int) -> Float64:
        """The share, and below any step of it the mean surprisal: float64 [u], 0 <= raw < 1 + ``STEP``.

        Where two sequences have the same share, the one whose keys are less likely is the stranger; the share can be
        read off the raw output again, as ``raw >= r + STEP`` exactly where the share is above r.
        """
        total: Float64 = np.add.reduceat(self.surprisal, self.start)
        return self.shares(g) + STEP * total / self.length / _BOUND


class Reader:
    """A network with its vocabulary, and the way in which sequences are masked for it.

    Each of ``groups`` passes masks every ``groups``-th token, so that each is judged exactly once, always with the
    tokens beside it in view (two groups or more), and no draw decides what is looked at: equal sessions get equal
    outputs, and the shortest one is judged in full. With ``end`` the end of a session is a token like any other.
    """

    def __init__(self, vocabulary: Vocabulary, groups: int, end: bool, network: Network, scale: float = 1.0) -> None:
        """``scale``: mean squared distance of the sessions that the network was fitted to."""
        self.vocabulary = vocabulary
        self.groups = groups
        self.end = end
        self._network = network
        self._scale = scale

    @classmethod
    def from_graph(cls, vocabulary: Vocabulary, graph: Graph) -> Self:
        """From the graph that training exported, with ``groups``, ``end`` and ``scale`` in its metadata. Raises
        BundleError where they are missing or the graph is another vocabulary's."""
        try:
            fingerprint = graph.metadata["vocabulary"]
            groups, end = int(graph.metadata["groups"]), bool(int(graph.metadata["end"]))
            scale = float(graph.metadata["scale"])
        except (KeyError, ValueError) as error:
            raise BundleError(f"logbert: the graph's metadata lack {error}; train the source again") from error
        if groups < 1 or not scale > 0.0:
            raise BundleError(
                f"logbert: the graph's metadata say {groups} groups and scale {scale}; restore the bundle"
            )
        if fingerprint != vocabulary.fingerprint():
            raise BundleError("logbert: the graph was trained with another vocabulary; restore the bundle")
        return cls(vocabulary, groups, end, graph, scale)

    def keys(self, sequences: Sequence[Int64]) -> KeyScores:
        """Of u sequences, at least one, each int64 [1..SEGMENT] of template ids."""
        given = tokens(self.vocabulary, sequences, self.end)
        target = given.flat - EOS
        rank = np.full(len(target), self.vocabulary.size)
        surprisal = np.full(len(target), UNKNOWN_SURPRISAL)
        for token, logits in self._masked(given):
            known = np.flatnonzero(target[token] >= 0)
            at = token[known]
            rank[at], surprisal[at] = _place(logits[known], target[at])
        judged = np.ones(len(target), dtype=bool)
        judged[given.start] = False
        return KeyScores(rank[judged], surprisal[judged], given.start - LEAD * np.arange(len(given.start)))

    def logits(self, sequence: Int64) -> NDArray[np.float32]:
        """Of ``EOS`` and the keys at each of the k judged keys of ``sequence`` int64 [1..SEGMENT], where it was masked:
        float32 [k, size - EOS]."""
        given = tokens(self.vocabulary, [sequence], self.end)
        found = np.empty((len(given.flat) - LEAD, self.vocabulary.size - EOS), dtype=np.float32)
        for token, logits in self._masked(given):
            found[token - LEAD] = logits
        return found

    def distances(self, sequences: Sequence[Int64]) -> Float64:
        """Of u sequences, with nothing masked: float64 [u], 1 being the mean of those that the network was fitted
        to."""
        given = tokens(self.vocabulary, sequences, self.end)
        distances = np.empty(len(given.start))
        for batch in whole(given):
            distances[batch.sequence] = self._network.run(places=batch.places, at=batch.at)[1]
        return distances / self._scale

    def _masked(self, given: Tokens) -> Iterator[tuple[Int64, NDArray[np.float32]]]:
        """Tokens, int64 [n], and their logits where they were masked, float32 [n, size - EOS]."""
        for batch in passes(given, self.groups, self.vocabulary.size, self.vocabulary.size - EOS):
            logits = self._network.run(places=batch.places, at=batch.at)[0]
            row, column = np.nonzero(batch.judged)
            yield given.start[batch.sequence[row]] + batch.at[row, column], logits[row, column]


def _place(logits: NDArray[np.float32], targets: Int64) -> tuple[Int64, Float64]:
    """Ranks int64 [n] and surprisals float64 [n] of ``targets`` int64 [n] among ``logits`` float32 [n, k]."""
    own = np.take_along_axis(logits, targets[:, None], axis=1)
    rank: Int64 = (logits > own).sum(axis=1)
    # exp(z_j - z_y) may overflow to infinity, which is a probability of zero.
    with np.errstate(over="ignore"):
        probability = 1.0 / np.exp(logits.astype(np.float64) - own).sum(axis=1)
    return rank, -np.log(np.maximum(probability, _LEAST_PROBABILITY))
