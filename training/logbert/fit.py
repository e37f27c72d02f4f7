"""One fit of the network on distinct sequences.

Owns loss, optimiser, schedule, the centre and which epoch is kept. Does not know how sequences are masked (``rows``),
nor how g and the share of epochs are chosen (``crossfit``).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.logbert.inputs import Tokens, tokens, whole
from models.logbert.network import SessionEncoder, build
from models.logbert.reader import Reader
from models.sessions import Float64, Int64
from models.vocabulary import Vocabulary
from training.logbert.export import Unexported
from training.logbert.rows import Rows, Step
from training.logbert.settings import LogBERTSettings
from training.progress import Progress, silent

LOOKS = 10
"""How often in a fit the held-out loss is looked at: a look costs as much as an epoch."""
_LEAST_SCALE = 1e-9
_WARM = 0.1


@dataclass(frozen=True, slots=True)
class Weighed:
    """Distinct sequences, each int64 [1..SEGMENT], and what each weighs, float64 [u]."""

    sequences: Sequence[Int64]
    weight: Float64


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean losses by epoch: ``keys``, cross-entropy of masked keys in nats; ``volume``, squared distance from the
    centre; ``heldout``, cross-entropy at each look."""

    keys: list[float]
    volume: list[float]
    heldout: list[float]


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained network in eval mode with its centre, the mean squared distance ``scale`` of what it was fitted to, its
    curve, and the share of the planned epochs behind its weights."""

    network: SessionEncoder
    scale: float
    curve: Curve
    share: float

    def reader(self, vocabulary: Vocabulary, settings: LogBERTSettings) -> Reader:
        """The network as it will be read."""
        return Reader(vocabulary, settings.groups, settings.end, Unexported(self.network), self.scale)


def fit(
    given: Weighed,
    vocabulary: Vocabulary,
    settings: LogBERTSettings,
    seed: int,
    *,
    share: float = 1.0,
    heldout: Weighed | None = None,
    progress: Progress = silent,
    name: str = "logbert",
) -> Fit:
    """Train a fresh network on ``given``.

    With ``heldout`` the best of the epochs looked at is kept and a fit that gets no better stops; without, it runs
    ``share`` of the planned epochs, on the same schedule. The same seed, data and machine give the same weights.
    """
    placed = tokens(vocabulary, given.sequences, settings.end)
    weight = given.weight / given.weight.mean()
    network = build(vocabulary.size, settings.width, settings.heads, settings.layers, settings.feed_forward, seed)
    rows = Rows(placed, weight, vocabulary.size, settings, seed)
    planned = min(settings.epochs, max(1, settings.tokens // rows.size))
    epochs = max(1, round(planned * share))
    curve = Curve([], [], [])
    kept, best, patience = network.state_dict(), 0, settings.patience
    with _process(settings.threads):
        optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _height(planned * len(rows)).__getitem__)
        for epoch in range(epochs):
            _centre(network, placed, weight)
            _epoch(network, rows, settings.alpha, optimiser, schedule, curve)
            progress(name, epoch + 1, epochs)
            if heldout is not None and _looks(epoch, planned):
                reader = Reader(vocabulary, settings.groups, settings.end, Unexported(network.eval()))
                loss = _loss(reader, heldout)
                if loss < min(curve.heldout, default=np.inf):
                    kept, best = {key: value.clone() for key, value in network.state_dict().items()}, epoch
                    patience = settings.patience
                else:
                    patience -= 1
                curve.heldout.append(loss)
                if not patience:
                    progress(name, epochs, epochs)
                    break
        if heldout is not None:
            network.load_state_dict(kept)
            epochs = best + 1
        scale = _centre(network, placed, weight)
    return Fit(network.eval(), scale, curve, epochs / planned)


def _looks(epoch: int, planned: int) -> bool:
    """Whether one of the looks falls on this epoch; the last one always has one."""
    return (epoch + 1) * LOOKS // planned > epoch * LOOKS // planned


def _height(steps: int) -> Float64:
    """The learning rate at each step and after the last, as a share of its height."""
    warm = max(1, int(steps * _WARM))
    at = np.arange(steps + 1)
    cosine = 0.5 + 0.5 * np.cos(np.pi * np.clip((at - warm) / max(1, steps - warm), 0.0, 1.0))
    return np.where(at < warm, (at + 1) / warm, cosine)


def _epoch(
    network: SessionEncoder,
    rows: Rows,
    alpha: float,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    curve: Curve,
) -> None:
    network.train()
    total_keys = total_volume = 0.0
    for step in rows:
        keys, volume = _losses(network, step)
        optimiser.zero_grad()
        (keys + alpha * volume).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        total_keys += keys.item()
        total_volume += volume.item()
    curve.keys.append(total_keys / len(rows))
    curve.volume.append(total_volume / len(rows))


def _losses(network: SessionEncoder, step: Step) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the masked keys, and mean squared distance of the whole sessions from the centre."""
    hidden = network.encode(step.places)
    losses = functional.cross_entropy(network.output(hidden[step.masked]), step.target, reduction="none")
    volume = (network.distance(hidden) * step.whole).sum() / step.whole.sum().clamp(min=1e-9)
    return (losses * step.weight).sum() / step.weight.sum().clamp(min=1e-9), volume


def _centre(network: SessionEncoder, given: Tokens, weight: Float64) -> float:
    """Move the centre to the mean state of the sequences fitted to, and return their mean squared distance from it."""
    network.eval()
    with torch.inference_mode():
        states = torch.empty(len(weight), len(network.centre))
        for batch in whole(given):
            states[batch.sequence] = network.encode(torch.from_numpy(batch.places))[:, 0]
        share = torch.from_numpy((weight / weight.sum()).astype(np.float32))[:, None]
        network.centre.copy_((states * share).sum(dim=0))
        return max(_LEAST_SCALE, float(((states - network.centre).square().mean(dim=1) * share[:, 0]).sum()))


def _loss(reader: Reader, heldout: Weighed) -> float:
    """Mean cross-entropy of held-out keys that the vocabulary has, each masked once."""
    scores = reader.keys(heldout.sequences)
    known = scores.rank < reader.vocabulary.size
    weight = np.repeat(heldout.weight, scores.length)[known]
    return float((scores.surprisal[known] * weight).sum() / max(1e-9, weight.sum()))


@contextmanager
def _process(threads: int) -> Iterator[None]:
    """PyTorch's threads are the process's; they are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
