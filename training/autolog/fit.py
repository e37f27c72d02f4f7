"""One fit of the autoencoder on the rows of normal timeframes, by plain PyTorch.

Owns the scaler's numbers, loss, optimiser and schedule. Does not know thresholds, nor how rows come about.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.autolog.network import Autoencoder, build
from training.autolog.settings import AutoLogSettings
from training.onnx import run_network
from training.progress import Progress, silent

Float32 = NDArray[np.float32]

LEAST_SPAN = 1e-6
"""A column whose scores reach no further is constant but for rounding: its scale is 1."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained network in eval mode and its mean loss in each epoch."""

    network: Autoencoder
    curve: list[float]


class Unexported:
    """A network in eval mode, behind the face of the graph that it will become."""

    def __init__(self, network: Autoencoder) -> None:
        self._network = network

    def run(self, *, scores: Float32) -> list[Float32]:
        """As ``Graph.run``."""
        return run_network(self._network, {"scores": scores})


def scaler(rows: Float32) -> tuple[Float32, Float32]:
    """Least score of each column and how far it reaches above that (1 for a constant one), float32 [N]."""
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low
    return low, np.where(span < LEAST_SPAN, np.float32(1.0), span).astype(np.float32)


def fit(rows: Float32, settings: AutoLogSettings, seed: int, name: str = "autolog", progress: Progress = silent) -> Fit:
    """Train a fresh network on ``rows`` float32 [n > 0, N]. The same seed, rows and machine give the same weights."""
    network = build(*scaler(rows), settings.wide, settings.narrow, settings.dropout, seed)
    epochs = max(settings.epochs, -(-settings.steps // -(-len(rows) // settings.batch)))
    scaled = network.scale(torch.from_numpy(rows))
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.RMSprop(network.parameters(), lr=settings.learning_rate, alpha=0.9, eps=1e-7)
    curve: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        # Dropout draws from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.train()
            for epoch in range(epochs):
                total = 0.0
                for at in torch.split(torch.randperm(len(scaled), generator=order), settings.batch):
                    loss = _loss(network, scaled[at], settings.activity)
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    total += float(loss.detach()) * len(at)
                curve.append(total / len(scaled))
                progress(name, epoch + 1, epochs)
    finally:
        torch.set_num_threads(threads)
    network.eval()
    return Fit(network, curve)


def _loss(network: Autoencoder, scaled: Tensor, activity: float) -> Tensor:
    """Mean squared error, and the activity penalty as TF-Keras has it: summed over a batch, divided by its rows."""
    activations = network.activations(scaled)
    penalty = torch.stack([layer.abs().sum() for layer in activations]).sum() / len(scaled)
    error: Tensor = ((scaled - activations[-1]) ** 2).mean()
    return error + activity * penalty
