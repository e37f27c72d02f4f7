"""Labelled training texts to compare a text with.

Owns the nearest ones of both classes and how they are written. Does not know networks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.errors import BundleError
from models.sessions import Bool, Float64, Int64

_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Exemplars:
    """n texts with their embeddings float64 [n, width], in how many normal and anomalous sessions (or lines) of the
    training data each stood, int64 [n], and to which class it is counted, bool [n]."""

    texts: Sequence[str]
    embeddings: Float64
    normal: Int64
    anomalous: Int64
    telling: Bool

    def nearest(self, embedding: Float64, anomalous: bool, k: int) -> list[dict[str, Any]]:
        """The ``k`` texts of one class nearest to ``embedding`` float64 [width], by Euclidean distance as the triplet
        loss has it, the nearest first."""
        rows = np.flatnonzero(self.telling == anomalous)
        distance = np.linalg.norm(self.embeddings[rows] - embedding, axis=1)
        return [
            {
                "text": self.texts[row],
                "distance": round(float(distance[place]), _DECIMALS),
                "normal": int(self.normal[row]),
                "anomalous": int(self.anomalous[row]),
            }
            for place, row in ((place, int(rows[place])) for place in np.argsort(distance, kind="stable")[:k])
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "texts": list(self.texts),
            "embeddings": np.round(self.embeddings, _DECIMALS).tolist(),
            "normal": self.normal.tolist(),
            "anomalous": self.anomalous.tolist(),
            "telling": self.telling.tolist(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], width: int) -> Self:
        """Read back. Raises BundleError where a part is missing or of another shape."""
        try:
            texts = [str(text) for text in state["texts"]]
            read = cls(
                texts,
                np.array(state["embeddings"], dtype=np.float64).reshape(len(texts), width),
                np.array(state["normal"], dtype=np.int64).reshape(len(texts)),
                np.array(state["anomalous"], dtype=np.int64).reshape(len(texts)),
                np.array(state["telling"], dtype=np.bool_).reshape(len(texts)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"cldtlog: the exemplars are damaged ({error}); restore the bundle") from error
        if not np.isfinite(read.embeddings).all():
            raise BundleError("cldtlog: an exemplar's embedding is not finite; restore the bundle")
        return read
