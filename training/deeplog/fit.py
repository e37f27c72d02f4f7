"""One fit of the network on distinct windows, by Lightning.

Owns loss, optimiser, schedule, early stopping and what is seen meanwhile. Does not know how w, g
and the share of epochs are chosen (``crossfit``).
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional

from models.vocabulary import BOS, EOS, UNK
from training.deeplog.settings import DeepLogSettings
from training.progress import Progress
from training.windows import Pairs

_LEAST_BATCH = 16


@dataclass(frozen=True, slots=True)
class Point:
    """One epoch: mean loss in nats, held-out loss where something was held out."""

    epoch: int
    loss: float
    heldout: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained network (in eval mode, on the CPU), its curve, and the share of the planned epochs behind its
    weights."""

    network: nn.Module
    curve: tuple[Point, ...]
    share: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """Distinct windows in a step, epochs, and epochs of patience, for this much data."""

    batch: int
    epochs: int
    patience: int


def _plan(settings: DeepLogSettings, rows: int) -> _Plan:
    batch = min(settings.batch, max(_LEAST_BATCH, rows // 8))
    steps = -(-rows // batch)
    epochs = max(settings.epochs, -(-settings.steps // steps))
    return _Plan(batch, epochs, -(-settings.patience * epochs // settings.epochs))


class _Batches:
    """Shuffled batches out of memory, a new order and new hidden keys each epoch; (history, target, weight)."""

    def __init__(self, given: Pairs, weight: Tensor, batch: int, unk_dropout: float, seed: int) -> None:
        self._history = torch.from_numpy(given.history)
        self._target = torch.from_numpy(given.target)
        self._weight = weight
        self._batch = batch
        self._unk_dropout = unk_dropout
        self._random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self._target) // self._batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        order = torch.randperm(len(self._target), generator=self._random)
        for at in torch.split(order, self._batch):
            history = self._history[at]
            hidden = torch.rand(history.shape, generator=self._random) < self._unk_dropout
            yield history.masked_fill(hidden & (history != BOS), UNK), self._target[at], self._weight[at]


class _Once:
    """Held-out pairs as one batch."""

    def __init__(self, given: Pairs, w: float) -> None:
        self._batch = (torch.from_numpy(given.history), torch.from_numpy(given.target), _weights(given, w))

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        yield self._batch


class _Task(lightning.LightningModule):
    def __init__(self, network: nn.Module, learning_rate: float, epochs: int) -> None:
        super().__init__()
        self.network = network
        self.curve: list[Point] = []
        self._learning_rate, self._epochs = learning_rate, epochs
        self._total = self._weight = 0.0
        self._heldout: float | None = None

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        total, weight = _loss(self.network, *batch)
        self._total += float(total.detach())
        self._weight += float(weight)
        return total / weight

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        total, weight = _loss(self.network, *batch)
        self._heldout = float(total / weight)
        self.log("heldout", total / weight)

    def close_epoch(self) -> Point:
        """Add the epoch that has just ended to the curve."""
        point = Point(len(self.curve) + 1, self._total / self._weight, self._heldout)
        self.curve.append(point)
        self._total = self._weight = 0.0
        return point

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self._learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}


class _Watch(Callback):
    """Closes each epoch, tells of it, and keeps the weights of the one with the least held-out loss."""

    def __init__(self, task: _Task, name: str, epochs: int, progress: Progress | None) -> None:
        self.epoch = 0
        self.state: dict[str, Tensor] = {}
        self._least = float("inf")
        self._task, self._name, self._epochs, self._progress = task, name, epochs, progress

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        point = self._task.close_epoch()
        if point.heldout is not None and point.heldout < self._least:
            self._least, self.epoch = point.heldout, point.epoch
            weights = self._task.network.state_dict()
            self.state = {name: value.detach().clone() for name, value in weights.items()}
        if self._progress is not None:
            self._progress(self._name, point.epoch, self._epochs)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._progress is not None and len(self._task.curve) < self._epochs:
            self._progress(self._name, self._epochs, self._epochs)


def fit(
    given: Pairs,
    network: nn.Module,
    settings: DeepLogSettings,
    w: float,
    seed: int,
    *,
    share: float = 1.0,
    heldout: Pairs | None = None,
    progress: Progress | None = None,
    name: str = "fit",
) -> Fit:
    """Train a fresh ``network`` (windows to logits) on ``given``, each pair weighing ``count ** w``.

    With ``heldout`` the fit stops early and keeps its best epoch; without, it runs ``share`` of the planned epochs.
    The learning rate falls over all planned ones in either case, so that both go the same way.
    The same seed, data and machine give the same weights.
    """
    plan = _plan(settings, len(given.target))
    epochs = max(1, round(plan.epochs * share))
    task = _Task(network, settings.learning_rate, plan.epochs)
    watch = _Watch(task, name, epochs, progress)
    callbacks: list[Callback] = [watch]
    if heldout is not None:
        callbacks.append(EarlyStopping("heldout", patience=plan.patience))
    with _quiet(), _process(settings.threads):
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices=1,
            deterministic=True,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=callbacks,
        )
        trainer.fit(
            task,
            _Batches(given, _weights(given, w), plan.batch, settings.unk_dropout, seed),
            None if heldout is None else _Once(heldout, w),
        )
    if heldout is not None:
        network.load_state_dict(watch.state)
    return Fit(network.cpu().eval(), tuple(task.curve), (watch.epoch or len(task.curve)) / plan.epochs)


def _weights(given: Pairs, w: float) -> Tensor:
    weight = given.count.astype(np.float64) ** w
    return torch.from_numpy((weight / weight.mean()).astype(np.float32))


def _loss(network: nn.Module, history: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sum of cross-entropies over the possible next keys, and the sum of the weights."""
    losses = functional.cross_entropy(network(history)[:, EOS:], target - EOS, reduction="none")
    return (losses * weight).sum(), weight.sum()


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's notices about devices and loaders say nothing that a person training DeepLog could act on."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _process(threads: int) -> Iterator[None]:
    """PyTorch's threads and Lightning's switch to deterministic algorithms are the process's; both are put back."""
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)
