"""Sentence vectors from a pretrained BERT: what a text means, as far as a general encoder can tell.

Owns the way from texts to vectors under ONNX Runtime. Does not know who asks, nor how the graph is made
(``training.encoder``).
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError
from models.graph import Graph
from models.wordpiece import WordPiece, digest

GRAPH_NAME = "encoder"
"""What a sentence encoder's graph says that it is."""


class SentenceEncoder:
    """Texts to unit vectors: the mean of a BERT's last hidden states over a text's tokens, made of length 1.

    Texts are cut to ``models.wordpiece.MAX_TOKENS`` tokens. Equal texts are encoded once a call. Scoring in another
    batch moves a vector by rounding alone (1e-6).
    """

    def __init__(self, graph: Graph, wordpiece: WordPiece, width: int) -> None:
        """``graph``: ``ids``, ``mask`` int64 [batch, time] -> ``embedding`` float32 [batch, width]."""
        self.width = width
        self._graph = graph
        self._wordpiece = wordpiece

    @classmethod
    def from_parts(cls, graph: Graph, tokenizer_json: bytes) -> Self:
        """From what ``training.encoder`` exported. Raises BundleError where the two do not belong together."""
        meta = graph.metadata
        if meta.get("detector") != GRAPH_NAME or not meta.get("width", "").isdigit():
            raise BundleError("the graph is no sentence encoder; restore the bundle")
        if meta.get("tokenizer") != digest(tokenizer_json):
            raise BundleError("the sentence encoder was exported with another tokeniser; restore the bundle")
        return cls(graph, WordPiece.from_json(tokenizer_json), int(meta["width"]))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, width] of n texts; an empty text has one too, that of no words."""
        distinct = list(dict.fromkeys(texts))
        vectors = np.empty((len(distinct), self.width), dtype=np.float32)
        for batch in self._wordpiece.batches(distinct):
            vectors[batch.rows] = self._graph.run(ids=batch.ids, mask=batch.mask)[0]
        place = {text: row for row, text in enumerate(distinct)}
        return vectors[np.array([place[text] for text in texts], dtype=np.int64)]
