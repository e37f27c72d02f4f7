"""AutoLog's decision: does each logging entity write in this timeframe what it writes in normal ones?

Owns the row of scores, the new-entity finding and the explanation. Does not know how the errors come about (an ONNX
graph, a network in training), how frames are counted, nor from which raw output on one rings.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from models.autolog.entity import EntityRule
from models.autolog.layout import Layout
from models.autolog.scoring import Terms, Weights, contributions, score
from models.errors import BundleError, ConfigError
from models.graph import Graph
from models.sessions import Bool, Float64

Float32 = NDArray[np.float32]

LARGEST = 1e9
"""Raw outputs of rows go up to here. Scaled scores are not clipped, so a quiet entity that floods may come near."""
NEW_ENTITY = 2e9
"""Raw output of a frame with an entity that training did not see: above any other."""

Frame = Mapping[str, Terms]
"""``{entity: {term: count}}``."""


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, scores: Float32) -> list[NDArray[Any]]:
        """For ``scores`` float32 [n, N]: mean squared error of each row float32 [n], squared error of each cell float32
        [n, N], and expected scores float32 [n, N]."""


class AutoLog:
    """Raw output: mean squared error of the frame's row under the autoencoder, 0 to ``LARGEST``; ``NEW_ENTITY`` where
    an entity writes that training did not see, as the row has no place for it.

    The row has one score for each known entity, in the order of their names; a silent one's is 0.
    """

    name = "autolog"

    def __init__(self, layout: Layout, weights: Mapping[str, Weights], network: Network) -> None:
        """``weights`` are those of every known entity's terms; ``network`` has a column for each entity."""
        self.layout = layout
        self.entities = tuple(sorted(weights))
        self._weights = dict(weights)
        self._network = network

    @classmethod
    def from_graph(cls, state: bytes, graph: Graph) -> Self:
        """From the state that ``to_json`` wrote and the graph that training exported with it. Raises BundleError where
        the state is damaged or the graph is another's."""
        try:
            fields = orjson.loads(state)
            rule = EntityRule(fields["entity_field"], fields["entity_pattern"])
            layout = Layout(float(fields["chunk_s"]), rule)
            weights = {
                entity: {term: float(weight) for term, weight in own.items()}
                for entity, own in fields["weights"].items()
            }
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise BundleError(f"autolog: its state is damaged ({error!r}); restore the bundle") from error
        if not (0.0 < layout.chunk_s < np.inf) or not weights:
            raise BundleError("autolog: its state has no timeframe or no entity; restore the bundle")
        detector = cls(layout, weights, graph)
        if graph.metadata.get("entities") != detector.fingerprint():
            raise BundleError("autolog: the graph was trained with other entities; restore the bundle")
        return detector

    def to_json(self) -> bytes:
        """All that ``from_graph`` needs beside the graph."""
        return orjson.dumps(
            {
                "chunk_s": self.chunk_s,
                "entity_field": self.layout.rule.field,
                "entity_pattern": self.layout.rule.pattern,
                "weights": {entity: self._weights[entity] for entity in self.entities},
            }
        )

    @property
    def chunk_s(self) -> float:
        """Length of a timeframe in seconds."""
        return self.layout.chunk_s

    @property
    def weights(self) -> Mapping[str, Weights]:
        """Weights of every known entity's terms."""
        return self._weights

    def fingerprint(self) -> str:
        """sha256 (hex) of the entities in their order: graph and state carry the same."""
        return hashlib.sha256(orjson.dumps(self.entities)).hexdigest()

    def entity(self, fields: pl.DataFrame) -> pl.Series:
        """Each record's logging entity, String [n]."""
        return self.layout.entity(fields)

    def terms(self, masked: str) -> dict[str, int]:
        """Terms of one masked message and how often each comes in it."""
        return self.layout.terms(masked)

    def rows(self, frames: Sequence[Frame]) -> Float32:
        """Score of each known entity in each frame, float32 [k, N]."""
        return rows(frames, self.entities, self._weights)

    def new(self, frames: Sequence[Frame]) -> Bool:
        """Whether each frame has an entity that training did not see, bool [k]."""
        return np.array([not frame.keys() <= self._weights.keys() for frame in frames], dtype=np.bool_)

    def score_frames(self, frames: Sequence[Frame]) -> Float64:
        """Raw outputs, float64 [k], of k frames; a frame without any line is a row of zeros."""
        if not frames:
            return np.empty(0, dtype=np.float64)
        error = self._network.run(scores=self.rows(frames))[0].astype(np.float64)
        raw = np.minimum(np.nan_to_num(error, nan=LARGEST), LARGEST)
        return np.where(self.new(frames), NEW_ENTITY, raw)

    def entity_errors(self, frames: Sequence[Frame]) -> Float64:
        """Squared error of each known entity's score in each frame, float64 [k, N], 0 to ``LARGEST``; a row's mean is
        the frame's raw output, where no entity is new."""
        if not frames:
            return np.empty((0, len(self.entities)), dtype=np.float64)
        errors = self._network.run(scores=self.rows(frames))[1].astype(np.float64)
        return np.asarray(np.minimum(np.nan_to_num(errors, nan=LARGEST), LARGEST))

    def explain(self, frame: Frame, k: int = 5) -> dict[str, Any]:
        """The entities that training did not see, and the ``k`` known ones that are worst given back: score seen and
        expected, share of the row's error, and their ``k`` strangest terms with count and weight (1: known from no
        frame of training, or from one)."""
        _, errors, expected = (part[0].astype(np.float64) for part in self._network.run(scores=self.rows([frame])))
        errors = np.minimum(np.nan_to_num(errors, nan=LARGEST), LARGEST)
        whole = float(errors.sum()) or 1.0
        places = np.argsort(-errors, kind="stable")[:k].tolist()
        new = [(entity, score(terms, {}), terms) for entity, terms in frame.items() if entity not in self._weights]
        new.sort(key=lambda item: (-item[1], item[0]))
        return {
            "new_entities": [
                {"entity": entity, "score": own, "terms": self._strangest(entity, terms, k)}
                for entity, own, terms in new[:k]
            ],
            "new_entity_count": len(new),
            "entities": [
                {
                    "entity": self.entities[at],
                    "score": score(frame.get(self.entities[at], {}), self._weights[self.entities[at]]),
                    "expected": float(np.nan_to_num(expected[at])),
                    "share": float(errors[at]) / whole,
                    "terms": self._strangest(self.entities[at], frame.get(self.entities[at], {}), k),
                }
                for at in places
            ],
            "chunk_s": self.chunk_s,
        }

    def _strangest(self, entity: str, terms: Terms, k: int) -> list[dict[str, Any]]:
        weights = self._weights.get(entity, {})
        parts = sorted(contributions(terms, weights).items(), key=lambda part: (-part[1], part[0]))
        return [{"term": term, "count": terms[term], "weight": weights.get(term, 1.0)} for term, _ in parts[:k]]


def rows(frames: Sequence[Frame], entities: Sequence[str], weights: Mapping[str, Weights]) -> Float32:
    """Score of each of ``entities`` in each frame, float32 [k, N]; 0 for a silent one."""
    column = {entity: at for at, entity in enumerate(entities)}
    found = np.zeros((len(frames), len(entities)), dtype=np.float32)
    for row, frame in enumerate(frames):
        for entity, terms in frame.items():
            at = column.get(entity)
            if at is not None:
                found[row, at] = score(terms, weights[entity])
    return found
