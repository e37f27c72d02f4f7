"""Teaching AutoLog: timeframes called normal are given back as well as the rehearsed ones, which stay as they were.

Owns the loss, how an entity is taken in, and how far the threshold may rise. Does not know where answers come from.

An entity that was new gets a column of its own; its terms weigh what ``fit_weights`` makes of the lessons. Weights of
known entities stay: one more frame would not change them, and the rows kept for rehearsal hold by them. Dropout is off,
and what the network makes of rehearsed rows is held to what it made of them before, not to the rows themselves: giving
everything back a little better would hide anomalies.
"""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import orjson
import torch
from torch import Tensor

from models.autolog.detector import AutoLog, Frame
from models.autolog.judge import FrameJudge
from models.autolog.network import Autoencoder, build
from models.autolog.scoring import Weights, fit_weights
from models.errors import BundleError, ConfigError
from models.graph import Graph
from models.sessions import Float64
from training.autolog.fit import LEAST_SPAN, Float32, Unexported
from training.autolog.fitted import NAME, threshold_of, to_onnx
from training.autolog.rehearsal import REPLAY, read_rows, written
from training.autolog.settings import AutoLogSettings
from training.learning.teaching import Learned, Part, Taught
from training.learning.tuning import Standing, tune
from training.onnx import State, from_safetensors, state_of, to_safetensors
from training.progress import Progress

GRAPH, WEIGHTS, STATE = "autolog.onnx", "autolog.safetensors", "autolog.json"
SHARE = 8
"""Parts that what is rehearsed has in the loss, beside one of the lessons."""
ROOM = 0.02
"""Share of the bar by which a lesson has to lie below it, and a real anomaly is kept above."""
ROUNDING = 1e-4
"""Share of an error by which graph and network may differ at most."""
RISE = 1.5
"""How far the threshold may rise: to so many times what it was."""
DEPTH = 0.7
"""Of the bar: to there lessons are drawn, and real anomalies as far above it."""
LESSONS = 64
"""Rows of lessons in one step at most."""
REHEARSED = 512
"""Rows rehearsed in one step, where there are so many; more only for many lessons."""


def teach_autolog(part: Part, taught: Sequence[Taught], seed: int, progress: Progress) -> Learned | None:
    """See ``training.learning.teaching.Teach``. A bundle without rows to rehearse is left as it is: nothing would show
    what else changes."""
    began = perf_counter()
    settings, detector, network = _restore(part)
    frames: list[Frame] = [one.seen["frame"] for one in taught]
    rings = detector.score_frames(frames) >= part.bar
    lessons = _distinct([frame for frame, one, rang in zip(frames, taught, rings, strict=True) if rang and one.normal])
    guarded = [frame for frame, one, rang in zip(frames, taught, rings, strict=True) if rang and not one.normal]
    rehearsed = read_rows(part.files, len(detector.entities))
    if not lessons or rehearsed is None:
        return None
    random = torch.Generator().manual_seed(seed)
    before = network
    fresh = _fresh(detector, lessons, guarded)
    detector, network, columns = _grown(detector, network, fresh, lessons, random)
    grown = np.zeros((len(rehearsed), len(detector.entities)), dtype=np.float32)
    grown[:, columns] = rehearsed
    # A frame with an entity that is not taken in rings whatever its row is.
    rows, kept = (
        detector.rows([frame for frame, new in zip(some, detector.new(some), strict=True) if not new])
        for some in (lessons, guarded)
    )
    task = _Task(network, part.bar, rows, kept, grown, _raws(before, rehearsed), columns, random)
    tuned = tune(network, task, NAME, progress) if len(rows) else None
    threshold = task.threshold(settings)
    if tuned is None and threshold == part.bar:
        return None
    raws = _raws(network, rows)
    replay = written(np.concatenate([grown, rows[raws < threshold]]))
    learned = Learned(
        {**part.settings, "threshold": threshold},
        {
            GRAPH: to_onnx(network, detector),
            WEIGHTS: to_safetensors(state_of(network)),
            STATE: detector.to_json(),
            REPLAY: replay,
        },
        {
            "lessons": len(lessons), "below": int((raws < threshold).sum()), "protected": len(guarded),
            "rehearsed": len(grown), "new_entities": fresh, "threshold": {"before": part.bar, "after": threshold},
            "rate": None if tuned is None else tuned.rate,
            "steps": 0 if tuned is None else tuned.steps, "seconds": perf_counter() - began,
        },
    )  # fmt: skip
    return learned if _holds(learned, guarded) else None


class _Task:
    """Rows of scores that are to be given back well enough, of real anomalies that are not to be, and of those whose
    errors are to stay."""

    def __init__(
        self,
        network: Autoencoder,
        bar: float,
        lessons: Float32,
        guarded: Float32,
        rehearsed: Float32,
        before: Float64,
        columns: list[int],
        random: torch.Generator,
    ) -> None:
        """``before``: errors float64 [n] of what is ``rehearsed`` by the network as it was, with ``columns`` alone."""
        self.lessons = len(lessons)
        self._rows = (lessons, guarded, rehearsed)
        self._network, self._bar, self._random = network, bar, random
        self._ringing = int((before >= bar).sum())
        self._scaled = [network.scale(torch.from_numpy(part)) for part in self._rows]
        # One that did not ring may not begin to, one that did may not ring louder.
        self._most = torch.from_numpy(np.where(before < bar, bar * (1.0 - ROOM), before).astype(np.float32))
        self._held = torch.zeros(rehearsed.shape)
        with torch.no_grad():
            self._held[:, columns] = network.activations(self._scaled[2])[-1][:, columns]

    def loss(self) -> Tensor:
        lessons, guarded, rehearsed = self._scaled
        chosen = lessons[torch.randperm(len(lessons), generator=self._random)[:LESSONS]]
        at = torch.randperm(len(rehearsed), generator=self._random)[: max(REHEARSED, SHARE * len(chosen))]
        restored = self._network.activations(rehearsed[at])[-1]
        kept = ((restored - self._held[at]) ** 2).mean()
        risen = torch.relu(((rehearsed[at] - restored) ** 2).mean(dim=1) - self._most[at]).sum()
        # No farther than it must: what is left of the steps is for the others.
        loss = torch.relu(_error(self._network, chosen) - DEPTH * self._bar).mean() + SHARE * (kept + risen)
        if len(guarded):
            loss = loss + torch.relu(self._bar / DEPTH - _error(self._network, guarded)).mean()
        return loss

    def standing(self) -> Standing:
        lessons, guarded, rehearsed = (_raws(self._network, part) for part in self._rows)
        kept = bool((guarded >= self._bar * (1.0 + ROUNDING)).all())
        kept = kept and int((rehearsed >= self._bar).sum()) <= self._ringing
        return Standing(int((lessons < self._bar).sum()), int((lessons < self._bar * (1.0 - ROOM)).sum()), kept)

    def threshold(self, settings: AutoLogSettings) -> float:
        """By the rule of training over what was rehearsed and learned together, where that takes lessons in that the
        network does not, and costs nothing; no more than ``RISE`` times the old one."""
        lessons, guarded, rehearsed = (_raws(self._network, part) for part in self._rows)
        left = lessons[lessons >= self._bar]
        if not len(left):
            return self._bar
        found = threshold_of(np.concatenate([rehearsed, lessons]), settings) * (1.0 + ROUNDING)
        found = min(found, RISE * self._bar)
        gains = found > self._bar and bool((left < found * (1.0 - ROUNDING / 2)).any())
        sound = bool((guarded >= found * (1.0 + ROUNDING)).all())
        return found if gains and sound and int((rehearsed >= found).sum()) <= self._ringing else self._bar


def _restore(part: Part) -> tuple[AutoLogSettings, AutoLog, Autoencoder]:
    try:
        settings = AutoLogSettings.from_dict(part.settings["training"])
        detector = AutoLog.from_graph(part.files[STATE], Graph(part.files[GRAPH], "cpu"))
        state = from_safetensors(part.files[WEIGHTS], NAME)
        network = _network(state, settings.dropout)
    except KeyError as error:
        raise BundleError(f"{NAME}: the bundle lacks {error}; restore it or train it again") from error
    except (ConfigError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise BundleError(f"{NAME}: the weights are another network's ({error}); restore the bundle") from error
    if len(network.low) != len(detector.entities):
        raise BundleError(f"{NAME}: the weights are those of other entities; restore the bundle")
    return settings, AutoLog(detector.layout, detector.weights, Unexported(network)), network


def _network(state: State, dropout: float) -> Autoencoder:
    network = build(state["low"], state["span"], len(state["first.weight"]), len(state["code.weight"]), dropout, 0)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network.eval()


def _distinct(frames: Sequence[Frame]) -> list[Frame]:
    return list({orjson.dumps(frame, option=orjson.OPT_SORT_KEYS): frame for frame in frames}.values())


def _fresh(detector: AutoLog, lessons: Sequence[Frame], guarded: Sequence[Frame]) -> list[str]:
    """Entities to take in: those new in lessons, but for those by which a real anomaly rings."""
    new = {entity for frame in lessons for entity in frame} - set(detector.entities)
    return sorted(new - {entity for frame in guarded for entity in frame})


def _grown(
    detector: AutoLog,
    network: Autoencoder,
    fresh: Sequence[str],
    lessons: Sequence[Frame],
    random: torch.Generator,
) -> tuple[AutoLog, Autoencoder, list[int]]:
    """Detector and network with a column for each of ``fresh``, which training saw silent, and the places of the old
    columns among all. New weights come from ``random``."""
    own = fit_weights({entity: frame[entity] for entity in fresh if entity in frame} for frame in lessons)
    weights: dict[str, Weights] = {**detector.weights, **own}
    names = sorted(weights)
    columns = [names.index(entity) for entity in detector.entities]
    if not fresh:
        return detector, network, columns
    places = [names.index(entity) for entity in fresh]
    larger = AutoLog(detector.layout, weights, Unexported(network))
    reach = larger.rows(lessons).max(axis=0)
    low, span = np.zeros(len(names), dtype=np.float32), np.where(reach < LEAST_SPAN, np.float32(1.0), reach)
    low[columns], span[columns] = network.low.numpy(), network.span.numpy()
    wide, narrow = network.first.out_features, network.code.out_features
    made = Autoencoder(torch.from_numpy(low), torch.from_numpy(span), wide, narrow, network.dropout.p)
    with torch.no_grad():
        for name, value in made.named_parameters():
            old = network.get_parameter(name)
            if value.dim() > 1:
                value.normal_(0.0, 0.05, generator=random)
            if name == "first.weight":
                value[:, columns] = old
            elif name.startswith("last."):
                value[columns] = old
            else:
                value.copy_(old)
        # A rectifier that never gives anything never learns: a silent entity is expected with next to nothing.
        made.last.bias[places] = 0.01
    made.eval()
    return AutoLog(detector.layout, weights, Unexported(made)), made, columns


def _error(network: Autoencoder, scaled: Tensor) -> Tensor:
    found: Tensor = ((scaled - network.activations(scaled)[-1]) ** 2).mean(dim=1)
    return found


def _raws(network: Autoencoder, rows: Float32) -> Float64:
    with torch.inference_mode():
        found: Float64 = network(torch.from_numpy(rows))[0].numpy().astype(float)
    return found


def _holds(learned: Learned, guarded: Sequence[Frame]) -> bool:
    """Whether what will be served says what the network said."""
    judge = FrameJudge.load(learned.settings, learned.files)
    return bool((judge.detector.score_frames(guarded) >= judge.threshold).all()) and learned.told["below"] > 0
