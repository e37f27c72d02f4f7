"""Teaching LogBERT sessions that were called normal: as one of its two members, beside normal ones that it rehearses.

Owns what a lesson is to either member, and what must not be lost. Does not know how steps are taken
(``training.learning.tuning``), nor where answers come from.

Both members read one network, so what the other one makes of the rehearsed sessions is held too: logits and states are
kept near to what they were. Of live traffic's sessions that are rehearsed beside training's, none may come to ring by
either. A bundle without sessions to rehearse is left as it is.
"""

import copy
from collections.abc import Sequence
from time import perf_counter

import numpy as np
import orjson
import torch
from torch import Tensor
from torch.nn import functional

from models.calibration import Calibration
from models.errors import BundleError, ConfigError, DataError
from models.graph import Graph
from models.logbert.detector import LogBERT, LogBERTDistance
from models.logbert.inputs import Batch, cut, passes, tokens, whole
from models.logbert.network import SessionEncoder, build
from models.logbert.reader import Reader
from models.registry import ENSEMBLE
from models.sessions import Bool, Float64, Int64
from models.vocabulary import EOS, Vocabulary
from training.deeplog.growth import grown
from training.learning.floors import floors
from training.learning.teaching import Learned, Part, Taught
from training.learning.tuning import Standing, tune
from training.logbert.export import Unexported, to_onnx
from training.logbert.rehearsal import REPLAY, Rehearsed, read_rehearsed
from training.logbert.settings import LogBERTSettings
from training.onnx import State, from_safetensors, state_of, to_safetensors
from training.progress import Progress

GRAPH, WEIGHTS = "logbert.onnx", "logbert.safetensors"
SHARE = 8
"""Parts that what is rehearsed has in the loss, beside one of the lessons."""
ROOM = 0.02
"""Share of the bar by which a lesson has to lie below it, and a real anomaly above its floor where it can."""
DEPTH = 0.7
"""Of the bar: to there distances are drawn."""
REHEARSED = 1024
"""Tokens rehearsed in one step."""
Members = tuple[LogBERT, LogBERTDistance]


def teach_logbert(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """See ``training.learning.teaching.Teach``; for either member, by the name of ``part``. Keys that were called
    normal are appended to the vocabulary, but by ``logbert`` alone, whose vocabulary both are read with."""
    began = perf_counter()
    held = _Held(part)
    own = 0 if part.name == LogBERT.name else 1
    sequences = [np.array(one.seen["sequence"], dtype=np.int64) for one in taught]
    raws = held.members(held.network)[own].score_sequences(sequences)
    rings = raws >= part.bar
    normal = np.array([one.normal for one in taught], dtype=np.bool_)
    guarded = [sequences[at] for at in np.flatnonzero(rings & ~normal).tolist()]
    sure = {one.tobytes() for one in guarded}
    lessons = {sequences[at].tobytes(): sequences[at] for at in np.flatnonzero(rings & normal).tolist()}
    strange = [one for name, one in lessons.items() if name not in sure]
    if not strange or held.rehearsed is None:
        return None
    before, known = held.network, held.vocabulary
    if own == 0:
        held.grow(np.concatenate(strange))
    task = _Task(part, held, own, strange, (guarded, floors(part, raws[rings & ~normal])), before, known, seed)
    tuned = tune(held.network, task, part.name, progress)
    if tuned is None:
        return None
    vocabulary = held.vocabulary
    graph = to_onnx(held.network, vocabulary, held.g, held.groups, held.end, held.scale)
    kind = (LogBERT, LogBERTDistance)[own]
    served = kind.from_graph(vocabulary, Graph(graph, "cpu"))
    quiet = served.score_sequences(strange) < part.bar
    if not quiet.any() or not (served.score_sequences(guarded) >= task.low).all():
        return None
    learned = [segment for one, done in zip(strange, quiet, strict=True) if done for segment in cut(one)]
    told = {
        "lessons": len(lessons), "below": int(quiet.sum()), "protected": len(guarded),
        "new_keys": list(vocabulary.keys[len(known.keys) :]), "rehearsed": len(held.rehearsed.sequences),
        "rate": tuned.rate, "steps": tuned.steps, "seconds": perf_counter() - began,
    }  # fmt: skip
    files = {
        GRAPH: graph,
        WEIGHTS: to_safetensors(state_of(held.network)),
        REPLAY: held.rehearsed.with_lessons(learned, vocabulary).to_npz(),
    }
    return Learned({**part.settings, "vocabulary": vocabulary.to_dict()}, files, told)


class _Held:
    """What a bundle holds of the network."""

    def __init__(self, part: Part) -> None:
        """Raises BundleError for what is missing, damaged, or does not belong together."""
        try:
            self.settings = LogBERTSettings.from_dict(part.settings["training"])
            self.rehearsed: Rehearsed | None = read_rehearsed(part.files)
            rehearsed = self.rehearsed
            self.vocabulary = (
                Vocabulary.from_dict(part.settings["vocabulary"]) if rehearsed is None else rehearsed.vocabulary
            )
            graph = Graph(part.files[GRAPH], "cpu")
            LogBERT.from_graph(self.vocabulary, graph)
            told = graph.metadata
            self.g, self.groups, self.end = int(told["g"]), int(told["groups"]), bool(int(told["end"]))
            self.scale = float(told["scale"])
            self._state = from_safetensors(part.files[WEIGHTS], "logbert")
            self.network = self._network(self._state)
        except KeyError as error:
            raise BundleError(f"{part.name}: the bundle lacks {error}; restore it or train it again") from error
        except (ConfigError, DataError, RuntimeError, TypeError, ValueError) as error:
            raise BundleError(f"{part.name}: cannot go on from this bundle ({error}); restore it") from error

    def grow(self, ids: Int64) -> None:
        """Append those of ``ids`` int64 [n] that the vocabulary lacks; the mask's row stays the last one."""
        rows = self._state["embedding.weight"]
        state, self.vocabulary = grown({**self._state, "embedding.weight": rows[:-1]}, self.vocabulary, ids.tolist())
        state["embedding.weight"] = np.vstack([state["embedding.weight"], rows[-1:]])
        self._state = state
        self.network = self._network(state)

    def members(self, network: SessionEncoder, vocabulary: Vocabulary | None = None) -> Members:
        """Both, as ``network`` with its ``vocabulary`` (None: the one held) would be served."""
        words = vocabulary or self.vocabulary
        reader = Reader(words, self.groups, self.end, Unexported(network), self.scale)
        return LogBERT(reader, self.g), LogBERTDistance(reader, self.g)

    def _network(self, state: State) -> SessionEncoder:
        own = self.settings
        network = build(self.vocabulary.size, own.width, own.heads, own.layers, own.feed_forward, 0)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        return network.eval()


class _Task:
    """Sessions that are to be quiet by one member, real anomalies that are not to be, and those that are to stay as
    they are."""

    def __init__(
        self,
        part: Part,
        held: _Held,
        own: int,
        lessons: Sequence[Int64],
        guarded: tuple[Sequence[Int64], Float64],
        before: SessionEncoder,
        known: Vocabulary,
        seed: int,
    ) -> None:
        """``own``: the place of the member that learns; ``guarded``: real anomalies, and how far they may fall;
        ``before`` and ``known``: network and vocabulary as they were."""
        assert held.rehearsed is not None
        rehearsed, self._live = held.rehearsed.beside(part.live.sequences, seed)
        self.lessons = len(lessons)
        self._sequences, (self._guarded, self.low) = lessons, guarded
        self._network, self._bar, self._own = held.network, part.bar, own
        self._members = held.members(held.network)
        self._rehearsed, self._count, self._scale = rehearsed.sequences, rehearsed.count, held.scale
        self._teacher = copy.deepcopy(held.network).requires_grad_(False)
        self._random = np.random.default_rng(seed)
        old = held.members(before, known)
        self._ringing = np.asarray(old[own].raws(self._rehearsed) >= part.bar)
        self._others_bar = _bar(part, old[1 - own].name)
        self._others = np.asarray(old[1 - own].raws(self._rehearsed) >= self._others_bar)
        vocabulary, end = held.vocabulary, held.end
        self._owner = np.repeat(np.arange(len(lessons)), [len(cut(one)) for one in lessons])
        self._given = tokens(vocabulary, [segment for one in lessons for segment in cut(one)], end)
        size = vocabulary.size
        self._masked = list(passes(self._given, held.groups, size, size - EOS))
        self._whole = list(whole(self._given))
        past = tokens(vocabulary, self._rehearsed, end)
        self._past = [list(passes(past, held.groups, size, size - EOS)), list(whole(past))]
        self._wanting = np.ones(len(lessons), dtype=np.bool_)

    def loss(self) -> Tensor:
        held: Tensor = self._held(self._past[0]) + self._held(self._past[1])
        batches = self._masked if self._own == 0 else self._whole
        batch = batches[int(self._random.integers(len(batches)))]
        wanting = self._wanting[self._owner[batch.sequence]]
        if not wanting.any():
            return SHARE * held
        learned = self._keys(batch, wanting) if self._own == 0 else self._distances(batch, wanting)
        return SHARE * held + learned

    def standing(self) -> Standing:
        raws = self._members[self._own].score_sequences(self._sequences)
        below = raws < self._bar
        surely = raws < self._bar * (1.0 - ROOM)
        self._wanting = ~surely
        kept = bool((self._members[self._own].score_sequences(self._guarded) >= self.low).all())
        own, other = self._members[self._own], self._members[1 - self._own]
        kept = kept and self._quiet(own.raws(self._rehearsed) >= self._bar, self._ringing)
        kept = kept and self._quiet(other.raws(self._rehearsed) >= self._others_bar, self._others)
        return Standing(int(below.sum()), int(surely.sum()), kept)

    def _quiet(self, now: Bool, before: Bool) -> bool:
        """Whether no more of training's sessions ring than before, bool [u] each, and none of live traffic's anew."""
        more = float(self._count[now].sum()) > float(self._count[before].sum())
        return not more and not bool((now & ~before & self._live).any())

    def _keys(self, batch: Batch, wanting: Bool) -> Tensor:
        """Mean surprisal of the keys masked in those rows of ``batch`` that are ``wanting`` bool [n]."""
        logits, _ = self._network(torch.from_numpy(batch.places), torch.from_numpy(batch.at))
        there = self._given.start[batch.sequence][:, None] + batch.at
        target = self._given.flat[np.where(batch.judged, there, 0)] - EOS
        judged = batch.judged & wanting[:, None] & (target >= 0)
        if not judged.any():
            return torch.zeros(())
        return functional.cross_entropy(logits[torch.from_numpy(judged)], torch.from_numpy(target[judged]))

    def _distances(self, batch: Batch, wanting: Bool) -> Tensor:
        """How far those rows of ``batch`` that are ``wanting`` bool [n] lie out, in units of the bar."""
        _, distance = self._network(torch.from_numpy(batch.places[wanting]), torch.from_numpy(batch.at[wanting]))
        found: Tensor = torch.relu(distance / (self._scale * self._bar) - DEPTH).mean()
        return found

    def _held(self, batches: Sequence[Batch]) -> Tensor:
        """How far logits and states of some rehearsed rows are from what they were."""
        batch = batches[int(self._random.integers(len(batches)))]
        rows = self._random.permutation(len(batch.places))[: max(1, REHEARSED // batch.places.shape[1])]
        places, at = torch.from_numpy(batch.places[rows]), torch.from_numpy(batch.at[rows])
        judged = torch.from_numpy(batch.judged[rows])
        hidden = self._network.encode(places)
        with torch.no_grad():
            was = self._teacher.encode(places)
        found: Tensor = functional.mse_loss(hidden[:, 0], was[:, 0])
        if bool(judged.any()):
            row, column = torch.nonzero(judged, as_tuple=True)
            step = at[row, column]
            with torch.no_grad():
                expected = self._teacher.output(was[row, step])
            found = found + functional.mse_loss(self._network.output(hidden[row, step]), expected)
        return found


def _bar(part: Part, name: str) -> float:
    """From which raw output on another member counts; infinite where the bundle's ensemble does not know it."""
    try:
        state = orjson.loads(part.files.get(ENSEMBLE, b"{}"))
        own = state.get("members", {}).get(name)
        return np.inf if own is None else Calibration.from_dict(own["calibration"]).bar(float(state["floor"]))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{ENSEMBLE} is damaged ({error}); restore the bundle") from error
