"""One fit of the network on the older sessions' vectors.

Owns loss, optimiser and schedule. Does not know where vectors come from, nor what is made of the deviations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.deeplog_values.network import INPUT_BOUND, Scales, ValueLSTM, build
from models.sessions import Float64, Int64
from training.deeplog_values.occurrences import Occurrences, histories
from training.deeplog_values.settings import DeepLogValuesSettings
from training.progress import Progress

_CURVE = 20
"""Points of the loss curve."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Events with a model, as the network reads them: ``row`` int64 [m], which template; ``event`` int64 [m], which of
    the ``occurrences``; their ``values`` float64 [n, width]."""

    row: Int64
    event: Int64
    occurrences: Occurrences
    values: Float64

    def batch(self, chosen: Int64, h: int) -> tuple[Int64, Float64, Int64, Float64]:
        """Key, history (first steps filled), length and values of some of them, for the network."""
        events = self.event[chosen]
        length = np.minimum(self.occurrences.earlier[events], h)
        longest = max(1, int(length.max(initial=0)))
        history = histories(self.occurrences, self.values, events, longest)
        shift = np.minimum(np.arange(longest)[None, :] + (longest - length)[:, None], longest - 1)
        left = np.take_along_axis(history, shift[:, :, None], axis=1)
        return self.row[chosen], left, length, self.values[events]


def fit(
    given: Vectors, scales: Scales, settings: DeepLogValuesSettings, seed: int, progress: Progress
) -> tuple[ValueLSTM, list[float]]:
    """A network in eval mode and its loss curve. Batches are drawn by ``seed``."""
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        return _fit(given, scales, settings, seed, progress)
    finally:
        torch.set_num_threads(threads)


def _fit(
    given: Vectors, scales: Scales, settings: DeepLogValuesSettings, seed: int, progress: Progress
) -> tuple[ValueLSTM, list[float]]:
    network = build(scales, settings.embedding, settings.hidden, seed)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    random = np.random.default_rng(seed)
    losses: list[float] = []
    every = max(1, settings.steps // _CURVE)
    curve: list[float] = []
    for step in range(settings.steps):
        chosen = random.integers(0, len(given.event), min(settings.batch, len(given.event)))
        inputs = [torch.from_numpy(part) for part in given.batch(chosen, settings.h)]
        _, deviation, _ = network(*inputs)
        # A value far out would outweigh all the others of its batch.
        loss = deviation.clamp(-INPUT_BOUND, INPUT_BOUND).square().sum() / max(1, int((deviation != 0).sum()))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % every == 0:
            curve.append(float(np.mean(losses)))
            losses.clear()
            progress("deeplog_values", step + 1, settings.steps)
    return network.eval(), curve


class Unexported:
    """A network in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: ValueLSTM) -> None:
        self._network = network

    def run(self, *, key: Int64, history: Float64, length: Int64, values: Float64) -> list[NDArray[np.float32]]:
        """As ``Graph.run``."""
        with torch.inference_mode():
            found = self._network(*(torch.from_numpy(part) for part in (key, history, length, values)))
        return [part.numpy() for part in found]
