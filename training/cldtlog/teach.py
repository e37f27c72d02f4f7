"""Teaching CLDTLog's head what people said of texts, normal and anomalous alike.

Owns the lessons, the loss and what may not be lost. Does not know where answers come from. The encoder stays: a text's
embedding is what the served graph says, and only the numbers of the head are written anew into graph and weights. So
the learner needs no encoder, and a lesson cannot change what other texts mean to the network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from models.cldtlog.detector import CLDTLog
from models.errors import BundleError, ConfigError
from models.graph import Graph
from models.sessions import Bool, Float64
from models.wordpiece import WordPiece
from training.cldtlog.fitted import NAME, ONNX, STATE, TOKENIZER, WEIGHTS
from training.cldtlog.loss import focal
from training.cldtlog.rehearsal import REPLAY, read_rehearsed
from training.cldtlog.settings import CLDTLogSettings
from training.learning.floors import floors
from training.learning.teaching import Learned, Part, Taught
from training.learning.tuning import Standing, tune
from training.onnx import State, from_safetensors, to_safetensors
from training.progress import Progress

SHARE = 8
"""Parts that what is rehearsed has in the loss, beside one of the lessons."""
ROOM = 0.05
"""Logits by which a lesson has to lie on its side of the bar."""
ROUNDING = 1e-3
"""Logits by which graph and network may differ at most; the detector rounds to a tenth of it."""
HOLD = 0.05
"""Weight of each squared logit by which a rehearsed text moves, on whatever side of the bar it stays."""
REACH = 250.0
"""By how many times a step's rate the logit of an ordinary text moves at most."""
DEPTH = 1.0
"""Logits beyond the bar to which a lesson is drawn while it is not learned."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """n texts: ``embeddings`` float32 [n, width], ``raws`` float64 [n] before, and ``anomalous`` bool [n]."""

    embeddings: NDArray[np.float32]
    raws: Float64
    anomalous: Bool


def teach_cldtlog(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """See ``training.learning.teaching.Teach``. Real anomalies that do not ring are learned too, unless their text is
    one of normal training sessions: such a line does not tell them. A text called both is taken for anomalous.
    Nothing is drawn by chance, so the seed has no part in it."""
    began = perf_counter()
    held = _Held.read(part)
    rehearsed = read_rehearsed(part.files)
    said = dict.fromkeys((one.seen["text"] for one in taught if one.normal and one.seen["text"]), False)
    said |= dict.fromkeys((one.seen["text"] for one in taught if not one.normal and one.seen["text"]), True)
    usual = {text for text, anomalous in zip(rehearsed.texts, rehearsed.anomalous, strict=True) if not anomalous}
    texts = held.texts(said)
    rings = texts.raws >= part.bar
    wanting = dict(zip(said, (texts.anomalous != rings).tolist(), strict=True))
    lessons = {
        text: anomalous for text, anomalous in said.items() if wanting[text] and not (anomalous and text in usual)
    }
    if not lessons:
        return None
    known = {text: label for text, label in said.items() if not wanting[text]}
    rest = rehearsed.with_lessons(known | lessons)
    rows = [row for row, text in enumerate(rest.texts) if text not in lessons and text not in known]
    if not rows:
        return None
    before = held.texts({rest.texts[row]: bool(rest.anomalous[row]) for row in rows})
    head = _Head(held.weights, before.embeddings)
    task = _Task(part, head, held, (held.texts(lessons), held.texts(known)), before, rest.count[rows])
    tuned = tune(head, task, NAME, progress)
    if tuned is None:
        return None
    learned = held.learned(part, head)
    after = learned[0].score_texts(list(lessons))
    done = {
        text: label for (text, label), raw in zip(lessons.items(), after, strict=True) if (raw >= part.bar) == label
    }
    guarded = [text for text, anomalous in known.items() if anomalous]
    low = floors(part, texts.raws[rings & texts.anomalous])
    if not done or not (learned[0].score_texts(guarded) >= low).all():
        return None
    files = {**learned[1], REPLAY: rehearsed.with_lessons(done).to_json()}
    told = {
        "lessons": sum(not anomalous for anomalous in lessons.values()),
        "below": sum(not anomalous for anomalous in done.values()),
        "missed": sum(lessons.values()), "above": sum(done.values()), "protected": len(guarded),
        "rehearsed": len(rows), "rate": tuned.rate, "steps": tuned.steps, "seconds": perf_counter() - began,
    }  # fmt: skip
    return Learned(dict(part.settings), files, told)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a bundle holds of the network, and how it learned."""

    graph: Graph
    detector: CLDTLog
    wordpiece: WordPiece
    weights: State
    settings: CLDTLogSettings

    @classmethod
    def read(cls, part: Part) -> "_Held":
        try:
            files = part.files
            graph = Graph(files[ONNX], "cpu")
            detector = CLDTLog.from_graph(graph, files[TOKENIZER], files[STATE])
            weights = from_safetensors(files[WEIGHTS], NAME)
            settings = CLDTLogSettings.from_dict(part.settings["training"])
            width = int(graph.metadata["width"])
            if weights["head.weight"].shape != (1, width) or weights["head.bias"].shape != (1,):
                raise BundleError(f"{NAME}: the weights are another network's; restore the bundle")
        except KeyError as error:
            raise BundleError(f"{NAME}: the bundle lacks {error}; restore it or train it again") from error
        except (ConfigError, TypeError, ValueError) as error:
            raise BundleError(f"{NAME}: the settings are damaged ({error}); restore the bundle") from error
        return cls(graph, detector, WordPiece.from_json(files[TOKENIZER]), weights, settings)

    def texts(self, labelled: Mapping[str, bool]) -> _Texts:
        """Prepared texts, none of them empty, with their labels."""
        texts = list(labelled)
        width = self.weights["head.weight"].shape[1]
        embeddings, raws = np.zeros((len(texts), width), dtype=np.float32), np.zeros(len(texts))
        for batch in self.wordpiece.batches(texts):
            raws[batch.rows], embeddings[batch.rows] = self.graph.run(ids=batch.ids, mask=batch.mask)
        return _Texts(embeddings, raws, np.array(list(labelled.values()), dtype=np.bool_))

    def learned(self, part: Part, head: "_Head") -> tuple[CLDTLog, dict[str, bytes]]:
        """The detector with another head, and its files."""
        own = head.weights()
        graph = _with_head(part.files[ONNX], own)
        files = {ONNX: graph, WEIGHTS: to_safetensors({**self.weights, **own})}
        return CLDTLog.from_graph(Graph(graph, "cpu"), part.files[TOKENIZER], part.files[STATE]), files


class _Head(nn.Module):
    """The head as it is taught: around the rehearsed texts' mean and in units of ``REACH``, so that a step moves
    logits alike whatever the encoder, and what all texts have in common moves none of them."""

    mean: Tensor

    def __init__(self, weights: State, rehearsed: NDArray[np.float32]) -> None:
        """``weights`` of the network, ``rehearsed`` embeddings float32 [k > 0, width]."""
        super().__init__()
        mean = rehearsed.mean(axis=0)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.scale = REACH / max(float(np.abs(rehearsed - mean).sum(axis=1).mean()), 1e-3)
        weight, bias = weights["head.weight"], weights["head.bias"]
        self.weight = nn.Parameter(torch.from_numpy(weight[0] / np.float32(self.scale)))
        self.bias = nn.Parameter(torch.from_numpy(bias + weight @ mean))
        self.eval()

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits float32 [n] of ``embeddings`` float32 [n, width]."""
        return (embeddings - self.mean) * self.scale @ self.weight + self.bias

    def weights(self) -> State:
        """As the network has them."""
        weight = self.weight.detach().numpy()[None] * np.float32(self.scale)
        return {"head.weight": weight, "head.bias": self.bias.detach().numpy() - weight @ self.mean.numpy()}


class _Task:
    """Logits to be moved, and those that are to stay on their side of the bar."""

    def __init__(
        self,
        part: Part,
        head: _Head,
        held: _Held,
        said: tuple[_Texts, _Texts],
        rehearsed: _Texts,
        count: NDArray[np.int64],
    ) -> None:
        """``said``: texts that stand on the wrong side of the bar, and on the right one."""
        lessons, known = said
        self.lessons = len(lessons.raws)
        self._bar, self._head, self._gamma = part.bar, head, held.settings.gamma
        self._inputs = [torch.from_numpy(some.embeddings) for some in (lessons, known, rehearsed)]
        self._labels = [torch.from_numpy(some.anomalous) for some in (lessons, known, rehearsed)]
        self._before = torch.from_numpy(rehearsed.raws.astype(np.float32))
        self._count = count
        self._ringing = self._counts(rehearsed.raws)
        # A real anomaly keeps its evidence, a normal text stays below; what stood on the wrong side moves no farther.
        low = np.full(len(known.raws), -np.inf)
        low[known.anomalous] = floors(part, known.raws[known.anomalous])
        self._low = np.minimum(low + ROUNDING, known.raws)
        self._high = np.where(known.anomalous, np.inf, np.maximum(part.bar - ROUNDING, known.raws))
        sides = torch.where(self._labels[2], -1.0, 1.0)
        self._sides, self._most = sides, torch.maximum(sides * self._before, sides * part.bar - ROOM)

    def loss(self) -> Tensor:
        lessons, known, rehearsed = (self._head(rows) for rows in self._inputs)
        sign = torch.where(self._labels[0], 1.0, -1.0)
        wanting = sign * (lessons - self._bar) < 2 * ROOM
        kept = HOLD * ((rehearsed - self._before) ** 2).mean()
        kept = kept + focal(rehearsed - self._bar, self._labels[2], self._gamma)
        total: Tensor = SHARE * kept + torch.relu(self._sides * rehearsed - self._most).sum()
        low, high = (torch.from_numpy(side.astype(np.float32)) for side in (self._low, self._high))
        total = total + torch.relu(low + ROOM - known).sum() + torch.relu(known - high + ROOM).sum()
        if bool(wanting.any()):
            own = (lessons - self._bar - sign * DEPTH)[wanting]
            total = total + focal(own, self._labels[0][wanting], self._gamma)
        return total

    def standing(self) -> Standing:
        with torch.inference_mode():
            lessons, known, rehearsed = (self._head(rows).numpy().astype(np.float64) for rows in self._inputs)
        sign = np.where(self._labels[0].numpy(), 1.0, -1.0)
        reached = sign * (lessons - self._bar)
        kept = bool((known >= self._low).all() and (known <= self._high).all())
        false, true = self._counts(rehearsed)
        kept = kept and false <= self._ringing[0] and true >= self._ringing[1]
        return Standing(int((reached >= ROUNDING).sum()), int((reached >= ROOM).sum()), kept)

    def _counts(self, raws: Float64) -> tuple[int, int]:
        """How many rehearsed sessions ring: normal ones, and anomalous ones."""
        rings = raws >= self._bar
        anomalous = self._labels[2].numpy()
        return int(self._count[rings & ~anomalous].sum()), int(self._count[rings & anomalous].sum())


def _with_head(graph: bytes, own: State) -> bytes:
    """The graph with other numbers in its head, and nothing else changed. Raises BundleError where it has no head."""
    model = onnx.load_model_from_string(graph)
    places = {name: place for place, name in enumerate(_names(model.graph.initializer))}
    for name, value in own.items():
        full = f"upper.{name}"
        # A large one may be stored in 16 bits, widened by a node of its own.
        half = f"{full}.half"
        if half in places:
            value = value.astype(np.float16)
        found = places.get(half, places.get(full))
        if found is None:
            raise BundleError(f"{NAME}: the graph has no {full}; train it again")
        kept = model.graph.initializer[found]
        kept.CopyFrom(numpy_helper.from_array(value, kept.name))
    written: bytes = model.SerializeToString()
    return written


def _names(initializers: Iterable[onnx.TensorProto]) -> list[str]:
    return [initializer.name for initializer in initializers]
