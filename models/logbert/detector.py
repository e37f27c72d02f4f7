"""LogBERT's two decisions on a closed session: how many of its keys are anomalous where they are masked, and how far it
is from the centre of the normal ones.

Owns both raw outputs and their explanation. Does not know how a network reads sequences (``reader``), how sessions
are kept, nor templates' texts.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from models.errors import BundleError
from models.graph import Graph
from models.logbert.inputs import cut
from models.logbert.reader import Reader
from models.sessions import Float64, Int64
from models.vocabulary import END, EOS, Vocabulary

SHOWN = 5
"""Keys in an explanation, and likelier keys named beside each."""


class _Sequences(ABC):
    """Folds equal sequences and cuts long ones; what is made of each distinct one is the subclass's."""

    def __init__(self, reader: Reader, g: int) -> None:
        """``g``: ranks from which on a key is anomalous."""
        self.reader = reader
        self.g = g

    @classmethod
    def from_graph(cls, vocabulary: Vocabulary, graph: Graph) -> Self:
        """From the graph that training exported; g and the way of masking are in its metadata. Raises BundleError
        where they are missing or the graph is another vocabulary's."""
        try:
            g = int(graph.metadata["g"])
        except (KeyError, ValueError) as error:
            raise BundleError(f"logbert: the graph's metadata lack {error}; train the source again") from error
        return cls(Reader.from_graph(vocabulary, graph), g)

    @abstractmethod
    def raws(self, sequences: Sequence[Int64]) -> Float64:
        """Raw outputs float64 [u] of u sequences, at least one, each int64 [1..SEGMENT]."""

    def score_sequences(self, sequences: Sequence[Int64]) -> Float64:
        """Raw outputs float64 [k] of k sequences, each int64 [n] of template ids.

        Equal sequences, and those that differ in unknown keys alone, are put to the network once. One of more than
        ``SEGMENT`` keys gets the largest raw output of its segments; one without a key gets NaN.
        """
        segments = [cut(np.asarray(sequence, dtype=np.int64)) for sequence in sequences]
        owner = np.repeat(np.arange(len(segments)), [len(parts) for parts in segments])
        flat = [segment for parts in segments for segment in parts]
        places = self.reader.vocabulary.encode(np.concatenate(flat)) if flat else np.empty(0, dtype=np.int64)
        ends = np.cumsum([len(segment) for segment in flat]).tolist()
        found: dict[bytes, int] = {}
        once: list[Int64] = []
        index = np.empty(len(flat), dtype=np.int64)
        begin = 0
        for number, end in enumerate(ends):
            index[number] = found.setdefault(places[begin:end].tobytes(), len(once))
            if index[number] == len(once):
                once.append(flat[number])
            begin = end
        raws = np.full(len(once), -np.inf)
        judged = [number for number, segment in enumerate(once) if len(segment)]
        if judged:
            raws[judged] = self.raws([once[number] for number in judged])
        largest = np.full(len(segments), -np.inf)
        np.maximum.at(largest, owner, raws[index])
        return np.where(np.isneginf(largest), np.nan, largest)

    def explain(self, sequence: Int64) -> dict[str, Any]:
        """Why ``sequence`` int64 [n], n at least 1, is strange: both scores, and the least likely keys first.

        Of several segments the strangest. ``position`` counts from 0 in ``sequence``; the key ``END`` is its end.
        Rank and probability are None for a key outside the vocabulary.
        """
        segments = cut(np.asarray(sequence, dtype=np.int64))
        number = int(np.argmax(self.raws(segments)))
        segment, first = segments[number], sum(len(part) for part in segments[:number])
        scores = self.reader.keys([segment])
        vocabulary, logits = self.reader.vocabulary, self.reader.logits(segment)
        odd = np.lexsort((np.arange(len(scores.rank)), -scores.surprisal))
        keys = []
        for position in odd[:SHOWN].tolist():
            probability = np.exp(logits[position].astype(np.float64) - logits[position].max())
            probability /= probability.sum()
            likeliest = np.argsort(-probability, kind="stable")[:SHOWN].tolist()
            known = scores.rank[position] < vocabulary.size
            keys.append(
                {
                    "position": first + position,
                    "template_id": int(segment[position]) if position < len(segment) else END,
                    "rank": int(scores.rank[position]) if known else None,
                    "probability": float(np.exp(-scores.surprisal[position])) if known else None,
                    "expected": [
                        {"template_id": vocabulary.decode(place + EOS), "probability": float(probability[place])}
                        for place in likeliest
                    ],
                }
            )
        return {
            "anomalous_keys": int((scores.rank >= self.g).sum()),
            "judged_keys": len(scores.rank),
            "share": float(scores.shares(self.g)[0]),
            "mean_surprisal": float(scores.surprisal.mean()),
            "distance": float(self.reader.distances([segment])[0]),
            "g": self.g,
            "keys": keys,
        }


class LogBERT(_Sequences):
    """Raw output: the share of anomalous keys, from 0 (none) to 1 (all), and below any step of it the mean surprisal.

    Each key is masked once and is anomalous where at least ``g`` keys are likelier (paper: it is not
    among the top g candidates); one outside the vocabulary always is. A session is anomalous where more than a share r
    of its keys are, which is ``raw >= r + STEP``.
    """

    name = "logbert"

    def raws(self, sequences: Sequence[Int64]) -> Float64:
        return self.reader.keys(sequences).raws(self.g)


class LogBERTDistance(_Sequences):
    """Raw output: squared distance of the session's state from the centre of the normal ones, at least 0, 1 being
    their mean (paper: volume of hypersphere minimisation). Nothing is masked."""

    name = "logbert_distance"

    def raws(self, sequences: Sequence[Int64]) -> Float64:
        return self.reader.distances(sequences)
