"""Teaching DeepLog's log-key model: gradient steps from its current weights on what was called normal (section 3.4 of
the paper), beside training windows that it rehearses. LogAnomaly's, which judges alike, is taught by the same steps.

Owns what a lesson is to it and what must not be forgotten. Does not know how a vocabulary grows (``growth``), how
steps are taken (``training.learning.tuning``), nor where answers come from.

Rehearsing is to answer as before: all outputs for a window, and for it with some keys hidden, are held to what they
were, as the ranks of improbable keys say what rings and the next key alone teaches little of them. A rehearsed window
that rings more than before is learned beside the lessons.

What must not be forgotten is looked at after every few steps: of the rehearsed training windows no more ring than
before, counted each once and as often as training saw them, at the bar and at each level above; no window of live
traffic that is rehearsed comes to a higher level than its own; what people called normal and was quiet stays quiet;
what they confirmed and rang keeps ringing. The last is never trained on: it only bounds how far the steps may go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.deeplog.detector import DeepLog, Rule
from models.deeplog.network import KeyLSTM
from models.errors import BundleError, DataError
from models.lesson import Seen
from models.sessions import BEFORE_SESSION, Bool, Float64, Int64
from models.vocabulary import BOS, EOS, UNK, Vocabulary
from training.deeplog.export import Unexported, restore, to_onnx
from training.deeplog.growth import grown
from training.deeplog.held import Held
from training.deeplog.settings import DeepLogSettings
from training.learning.replay import Replay, read_replay, with_live
from training.learning.teaching import Learned, Part, Taught
from training.learning.tuning import Standing, tune
from training.onnx import State, from_safetensors, state_of, to_safetensors
from training.progress import Progress

NAME = "deeplog"
REHEARSED = 8
"""Parts of the loss that rehearsed windows have beside one of the lessons'; and as many windows for each lesson that
is still to be learned, within ``WINDOWS``."""
WINDOWS = (128, 512)
"""Rehearsed windows in one step, at least and at most."""
FORGOTTEN = 4
"""Parts that rehearsed windows have which ring more than before. With one alone, the last of them at the edge outlasts
all steps now and then, and nothing is learned: with one of four seeds on what the benchmark of clicks teaches
(``tests.bench``), where this was chosen."""
RISE = 0.5
"""By which the raw output of a rehearsed window that rings has to have risen to be learned."""
HIDDEN = 0.1
"""Share of the keys hidden in the second copy of each rehearsed window."""
BELOW = 1.0
"""How far below all others the logit of a new key is held where it was never seen to follow."""
MARGIN = 0.2
"""Nats by which a lesson's logit may fall before it rings, and that of a rehearsed window which rang more: processors
differ in the last digits, and the next step moves it too. Without it, frequent windows at the edge ring at every other
look."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """k windows, raw ids: ``history`` int64 [k, h] and the ``key`` int64 [k] after each; distinct."""

    history: Int64
    key: Int64

    def take(self, chosen: Bool) -> "Lessons":
        """Those of them that are ``chosen`` bool [k]."""
        return Lessons(self.history[chosen], self.key[chosen])


def teach_deeplog(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """As ``training.learning.teaching.Teach``. g and h stay; keys that were called normal are appended to the
    vocabulary."""
    return teach_keys(_Held.read(part), part, taught, seed, progress)


def teach_keys(held: Held, part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """The same for any model of keys."""
    began = perf_counter()
    normal = _lessons([one.seen for one in taught if one.normal], held.h)
    anomalous = _lessons([one.seen for one in taught if not one.normal], held.h)
    detector = held.detector(held.vocabulary, held.network())
    rings = detector.score(normal.history, normal.key) >= part.bar
    if not rings.any():
        return None
    strange, quiet = normal.take(rings), normal.take(~rings)
    guarded = anomalous.take(detector.score(anomalous.history, anomalous.key) >= part.bar)
    # What was confirmed is not learned even where the same was called normal.
    strange = strange.take(~_among(strange, guarded))
    ids = np.column_stack([strange.history, strange.key]).ravel().tolist()
    state, vocabulary = held.grown(ids)
    strange = strange.take(vocabulary.known(strange.key))
    if not len(strange.key):
        return None
    network = held.network(state)
    replay = with_live(read_replay(part.files, held.h), part.live, held.vocabulary)
    alarms = detector.score(replay.history, replay.key)
    task = _Task(held, vocabulary, network, part.bar, (strange, quiet, guarded), replay, alarms, seed)
    tuned = tune(network, task, held.name, progress)
    if tuned is None:
        return None
    told = {
        "lessons": int(rings.sum()),
        "below": task.standing().below - len(quiet.key),
        "protected": len(guarded.key),
        "new_keys": list(vocabulary.keys[len(held.vocabulary.keys) :]),
        "rehearsed": len(replay.key),
        "rehearsed_live": int(replay.live.sum()),
        "rehearsed_alarms": [int((alarms >= part.bar).sum()), int((task.rehearsed() >= part.bar).sum())],
        "rate": tuned.rate,
        "kept_step": tuned.step,
        "steps": tuned.steps,
        "seconds": perf_counter() - began,
    }
    settings = {**part.settings, "vocabulary": vocabulary.to_dict()}
    return Learned(settings, held.files(network, vocabulary), told)


@dataclass(frozen=True, slots=True)
class _Held:
    """What a bundle holds of the model."""

    state: State
    vocabulary: Vocabulary
    settings: DeepLogSettings
    h: int
    g: float
    name: str = NAME

    @classmethod
    def read(cls, part: Part) -> "_Held":
        try:
            own = part.settings
            held = cls(
                from_safetensors(part.files[f"{NAME}.safetensors"], NAME), Vocabulary.from_dict(own["vocabulary"]),
                DeepLogSettings.from_dict(own["training"]), int(own["h"]), float(own["g"]),
            )  # fmt: skip
            if len(held.state["output.bias"]) != held.vocabulary.size:
                raise DataError("weights and vocabulary differ in size")
            held.network()
        except (AttributeError, DataError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BundleError(
                f"{NAME}: cannot go on from this bundle ({error}); restore it or train it again"
            ) from error
        return held

    @property
    def rule(self) -> Rule:
        return self.settings.rule

    def network(self, state: State | None = None) -> KeyLSTM:
        """The network of the bundle's weights, or of other ones of its shape, in eval mode."""
        settings = self.settings
        return restore(self.state if state is None else state, settings.embedding, settings.hidden, settings.layers)

    def detector(self, vocabulary: Vocabulary, network: nn.Module) -> DeepLog:
        """The detector around a network."""
        return DeepLog(vocabulary, self.h, self.g, Unexported(network), self.rule)

    def grown(self, ids: Sequence[int]) -> tuple[State, Vocabulary]:
        """As ``growth.grown``."""
        return grown(self.state, self.vocabulary, ids)

    def files(self, network: nn.Module, vocabulary: Vocabulary) -> dict[str, bytes]:
        """Graph and weights of a network."""
        return {
            f"{NAME}.onnx": to_onnx(network, vocabulary, self.h, self.g, self.rule),
            f"{NAME}.safetensors": to_safetensors(state_of(network)),
        }


class _Task:
    """What is learned, and what is not forgotten."""

    def __init__(
        self,
        held: Held,
        vocabulary: Vocabulary,
        network: nn.Module,
        bar: float,
        lessons: tuple[Lessons, Lessons, Lessons],
        replay: Replay,
        alarms: Float64,
        seed: int,
    ) -> None:
        """``lessons``: to be learned, quiet already, and guarded; ``alarms``: raw outputs float64 [k] of ``replay``
        before."""
        strange, quiet, self._guarded = lessons
        self._learned = Lessons(
            np.concatenate([strange.history, quiet.history]), np.concatenate([strange.key, quiet.key])
        )
        self.lessons = len(self._learned.key)
        self._fresh = len(strange.key)
        self._network, self._bar, self._rule = network, bar, held.rule
        self._detector = held.detector(vocabulary, network)
        self._windows = torch.from_numpy(vocabulary.encode(self._learned.history))
        self._targets = torch.from_numpy(vocabulary.encode(self._learned.key))
        self._replay, self._before = replay, alarms
        self._inputs = torch.from_numpy(vocabulary.encode(replay.history))
        self._nexts = torch.from_numpy(vocabulary.encode(replay.key))
        self._random = torch.Generator().manual_seed(seed)
        hidden = (torch.rand(self._inputs.shape, generator=self._random) < HIDDEN) & (self._inputs != BOS)
        self._shown = torch.cat([self._inputs, self._inputs.masked_fill(hidden, UNK)])
        # Live traffic may show keys that are learned only now: they were read as the unknown one.
        known = self._shown.masked_fill(self._shown >= held.vocabulary.size, UNK)
        before = torch.from_numpy(Unexported(held.network()).run(windows=known.numpy())[0])[:, EOS:]
        least = before.min(dim=1, keepdim=True).values - BELOW
        self._as_before = torch.cat([before, least.expand(-1, vocabulary.size - held.vocabulary.size)], dim=1)
        self._levels = np.append(bar, np.arange(np.ceil(np.nextafter(bar, np.inf)), self._detector.unknown + 1.0))
        self._allowed = self._counts(alarms)
        self._worse = torch.empty(0, dtype=torch.int64)

    def loss(self) -> Tensor:
        """As ``Task.loss``: only lessons that still ring have a part in it."""
        lessons = self._wanting(self._windows, self._targets, MARGIN)
        worse = self._wanting(self._inputs[self._worse], self._nexts[self._worse], MARGIN)
        least, most = WINDOWS
        size = min(most, max(least, REHEARSED * len(lessons)), len(self._shown))
        at = torch.randperm(len(self._shown), generator=self._random)[:size]
        total = REHEARSED * functional.mse_loss(self._network(self._shown[at])[:, EOS:], self._as_before[at])
        for losses, parts in ((lessons, 1), (worse, FORGOTTEN)):
            if len(losses):
                total = total + parts * losses.mean()
        return total / (REHEARSED + 1)

    def _wanting(self, windows: Tensor, targets: Tensor, margin: float) -> Tensor:
        """Losses, float32 [m], of those windows that still ring."""
        if not len(windows):
            return torch.empty(0)
        logits = self._network(windows)[:, EOS:]
        rings = _raws(logits.detach(), targets - EOS, self._rule, margin) >= self._bar
        return functional.cross_entropy(logits[rings], targets[rings] - EOS, reduction="none")

    def standing(self) -> Standing:
        """As ``Task.standing``; also notes which rehearsed windows ring more than before."""
        with torch.inference_mode():
            logits = self._network(self._windows)[:, EOS:]
        surely = _raws(logits, self._targets - EOS, self._rule, MARGIN) < self._bar
        below = self._detector.score(self._learned.history, self._learned.key) < self._bar
        guarded = self._detector.score(self._guarded.history, self._guarded.key) >= self._bar
        now = self.rehearsed()
        rings = torch.from_numpy(np.flatnonzero((now >= self._bar) & (now > self._before + RISE)))
        self._worse = torch.unique(torch.cat([self._worse, rings]))
        kept = (
            bool(below[self._fresh :].all())
            and bool(guarded.all())
            and bool((self._counts(now) <= self._allowed).all())
            and not self._louder(now).any()
        )
        return Standing(int(below.sum()), int(surely.sum()), kept)

    def rehearsed(self) -> Float64:
        """Raw outputs of the rehearsed windows by the weights as they are, float64 [k]."""
        return self._detector.score(self._replay.history, self._replay.key)

    def _counts(self, raws: Float64) -> Int64:
        """Rehearsed training windows at each level or above, each once and as often as training saw it, int64
        [2 * levels]."""
        count = self._replay.count[:, None]
        over = (raws[:, None] >= self._levels) & (count > 0)
        return np.concatenate([over.sum(axis=0), (over * count).sum(axis=0)])

    def _louder(self, raws: Float64) -> Bool:
        """Which rehearsed windows of live traffic are at a higher level than before, bool [k]."""
        return np.asarray(np.digitize(raws, self._levels) > np.digitize(self._before, self._levels)) & self._replay.live


def _raws(logits: Tensor, targets: Tensor, rule: Rule, less: float) -> Tensor:
    """Raw outputs float32 [n], as the detector's, were the logit of each of ``targets`` int64 [n] smaller by
    ``less``."""
    own = logits.gather(1, targets[:, None]) - less
    logits = logits.scatter(1, targets[:, None], own)
    surprisal = torch.logsumexp(logits - own, dim=1)
    if rule == "surprisal":
        return surprisal
    return (logits > own).sum(dim=1) + 1.0 - torch.exp(-surprisal)


def _lessons(seen: Sequence[Seen], h: int) -> Lessons:
    """Each distinct lesson once, in the order of the first, by its last ``h`` keys."""
    rows = np.full((len(seen), h + 1), BEFORE_SESSION, dtype=np.int64)
    for row, one in zip(rows, seen, strict=True):
        keys = one["history"][-h:]
        row[h - len(keys) : h] = keys
        row[h] = one["key"]
    distinct = np.array(list(dict.fromkeys(map(tuple, rows.tolist()))), dtype=np.int64).reshape(-1, h + 1)
    return Lessons(distinct[:, :h], distinct[:, h])


def _among(some: Lessons, others: Lessons) -> Bool:
    """Which of ``some`` are ``others`` too, bool [k]."""
    found = set(map(tuple, np.column_stack([others.history, others.key]).tolist()))
    rows = map(tuple, np.column_stack([some.history, some.key]).tolist())
    return np.array([row in found for row in rows], dtype=np.bool_)
