"""LogAnomaly's decision: DeepLog's rule over a network that also reads counts and, where there are texts, meanings.

Owns which known template stands for an unknown one at serving, and the explanation. Does not know how the logits
come about (an ONNX graph, a network in training) nor how windows are kept.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from models.arrays import open_arrays
from models.deeplog.detector import DeepLog, Rule
from models.errors import BundleError, DataError, TemplateError
from models.graph import Graph
from models.loganomaly.counts import Float32, columns, running_counts
from models.loganomaly.nearest import Nearest
from models.loganomaly.words import Encoder, template_vectors
from models.sessions import Float64, Int64
from models.vocabulary import UNK, Vocabulary

VECTORS = "loganomaly.npz"
"""Bundle file with the known templates' vectors: ``vectors`` float16 [keys, width], in the vocabulary's order. Only in
bundles that were trained with an encoder."""

# Cells of counts at a time: bounds memory where a source has thousands of templates.
_CELLS = 2**23
_ROWS = 4096


class Network(Protocol):
    """A ``Graph``, or a network still in training."""

    def run(self, *, windows: Int64, counts: Float32) -> list[NDArray[Any]]:
        """Logits float32 [n, vocabulary size], alone in a list, for ``windows`` int64 [n, h] of places and their
        ``running_counts``."""


class LogAnomaly:
    """How strange a key is after a history; anomalous iff the raw output reaches ``g``.

    Raw outputs are DeepLog's (``models.deeplog.detector.DeepLog``): by rank ``rank + 1 - p``, an unknown key above any
    other. The end of a session is a key like any other.

    An id outside the vocabulary, in the history or as the key judged, is read as the known template whose vector is
    nearest to its own, where their cosine reaches the ``similarity`` that training was set to; else, or without
    an encoder, it is unknown. The paper does the same until the next training.
    """

    name = "loganomaly"
    judges_end = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        h: int,
        g: float,
        network: Network,
        rule: Rule = "rank",
        nearest: Nearest | None = None,
    ) -> None:
        """``h`` keys of history; ``g`` keys that may follow, or nats from which on a key is anomalous; ``nearest``
        knows the vocabulary's keys."""
        self.vocabulary = vocabulary
        self.window = h
        self.g = g
        self._nearest = nearest
        self._keys = DeepLog(vocabulary, h, g, _Counting(network, vocabulary.size), rule)

    @classmethod
    def from_parts(
        cls,
        settings: Mapping[str, Any],
        graph: Graph,
        files: Mapping[str, bytes],
        template_text: Callable[[int], str] | None = None,
        encoder: Encoder | None = None,
    ) -> Self:
        """From a bundle: its ``settings`` of this member, the graph that training exported, and its files.

        ``template_text``: what a template says, by id, TemplateError where there is none. Give the exemplar, which
        never changes: then every replica reads an unknown template alike. ``encoder``: the one trained with. Both are
        used only where the bundle was trained with an encoder. Raises BundleError where parts are missing, damaged or
        do not belong together.
        """
        try:
            vocabulary = Vocabulary.from_dict(settings["vocabulary"])
            semantic, similarity = bool(settings["semantic"]), float(settings["similarity"])
            h, g = int(graph.metadata["h"]), float(graph.metadata["g"])
            fingerprint, rule = graph.metadata["vocabulary"], graph.metadata["rule"]
        except (KeyError, TypeError, ValueError, DataError) as error:
            raise BundleError(f"loganomaly: the bundle lacks or damages {error}; train the source again") from error
        if fingerprint != vocabulary.fingerprint():
            raise BundleError("loganomaly: the graph was trained with another vocabulary; restore the bundle")
        if rule not in get_args(Rule):
            raise BundleError(f"loganomaly: rule {rule!r} is not known to this Tocsin; upgrade it to use this bundle")
        nearest = None
        if semantic:
            vectors = read_vectors(files, len(vocabulary.keys))
            if template_text is not None and encoder is not None:
                nearest = _nearest(vocabulary, vectors, similarity, template_text, encoder)
        return cls(vocabulary, h, g, graph, cast("Rule", rule), nearest)

    @property
    def unknown(self) -> float:
        """Raw output of a key outside the vocabulary that no known one is near to."""
        return self._keys.unknown

    def score(self, history: Int64, keys: Int64) -> Float64:
        """Raw outputs float64 [n] of ``keys`` int64 [n] (template ids or ``END``) after ``history`` int64 [n,
        window].

        The network sees each distinct window once.
        """
        return self._keys.score(self._known(history), self._known(keys))

    def explain(self, history: Int64, key: int, k: int = 5) -> dict[str, Any]:
        """As ``DeepLog.explain``, and besides ``counts``: the window's, most frequent first, template 0 for unknown
        ones; ``read_as``: which unknown templates of this window were read as which known ones, with the cosine."""
        read, target = self._known(history), int(self._known(np.array([key], dtype=np.int64))[0])
        places, numbers = np.unique(self.vocabulary.encode(read), return_counts=True)
        counted = sorted(
            (-int(number), self.vocabulary.decode(int(place)))
            for place, number in zip(places, numbers, strict=True)
            if place >= UNK
        )
        return {
            **self._keys.explain(read, target, k),
            "template_id": key,
            "counts": [{"template_id": template_id, "count": -number} for number, template_id in counted],
            "read_as": self._read_as([*history.tolist(), key]),
        }

    def _known(self, ids: Int64) -> Int64:
        """``ids`` with known ones in the place of unknown ones, where any is near enough."""
        if self._nearest is None:
            return ids
        unknown = ~self.vocabulary.known(ids)
        if not unknown.any():
            return ids
        known = np.array(ids, dtype=np.int64)
        known[unknown] = self._nearest.of(known[unknown])
        return known

    def _read_as(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        if self._nearest is None:
            return []
        distinct = np.unique(np.array(ids, dtype=np.int64))
        unknown = distinct[~self.vocabulary.known(distinct)].tolist()
        matches = [(template_id, self._nearest.match(template_id)) for template_id in unknown]
        return [
            {"template_id": template_id, "as": match.template_id, "cosine": match.cosine}
            for template_id, match in matches
            if match is not None
        ]


class _Counting:
    """The network behind the face of DeepLog's: it counts the windows that it is given."""

    def __init__(self, network: Network, size: int) -> None:
        self._network = network
        self._size = size

    def run(self, *, windows: Int64) -> list[NDArray[Any]]:
        rows = max(1, min(_ROWS, _CELLS // (windows.shape[1] * columns(self._size))))
        parts = [windows[start : start + rows] for start in range(0, len(windows), rows)]
        return [
            np.concatenate(
                [self._network.run(windows=part, counts=running_counts(part, self._size))[0] for part in parts]
            )
        ]


def read_vectors(files: Mapping[str, bytes], keys: int) -> Float32:
    """The known templates' vectors, float32 [keys, width]. Raises BundleError where they are missing or damaged."""
    try:
        with open_arrays(files[VECTORS]) as arrays:
            vectors = arrays["vectors"]
    except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise BundleError(f"{VECTORS} is missing or damaged ({error}); restore the bundle") from error
    if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != keys or not np.isfinite(vectors).all():
        raise BundleError(f"{VECTORS} does not hold a vector for each of {keys} templates; restore the bundle")
    known: Float32 = vectors.astype(np.float32)
    return known


def _nearest(
    vocabulary: Vocabulary,
    vectors: Float32,
    similarity: float,
    template_text: Callable[[int], str],
    encoder: Encoder,
) -> Nearest:
    width = template_vectors(["template"], encoder).shape[1]
    if width != vectors.shape[1]:
        raise BundleError(
            f"loganomaly: the encoder gives vectors of {width} numbers, the bundle's have {vectors.shape[1]}; restore "
            "the encoder that it was trained with"
        )

    def vectors_of(ids: Sequence[int]) -> Float32:
        return template_vectors([_text(template_id) for template_id in ids], encoder)

    def _text(template_id: int) -> str:
        try:
            return template_text(template_id)
        except TemplateError:
            # Without text it is like no other.
            return ""

    return Nearest(vocabulary.keys, vectors, similarity, vectors_of)
