"""Gradient steps on a trained network, as few as needed: the best state that breaks no promise is kept.

Owns the escalation of learning rates, when to look, when to stop, and which state is the best. Does not know the
network, what its lessons are, nor what is promised (``Task``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from training.progress import Progress

RATES = (1e-3, 2e-3, 4e-3, 1e-3, 3e-4)
"""Of Adam, in the order in which they are tried, each from where the one before it stopped. A larger one learns more
and forgets more; at the small ones that follow, what was forgotten comes back."""
STEPS = (40, 40, 80, 64, 64)
"""At most at each rate."""
SETTLING, SETTLING_RATE = 40, 5e-4
"""Steps after that which bring what is rehearsed closer to what it was, at a rate that undoes no lesson."""
LOOK = 8
"""Steps between two looks at where things stand."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a task stands: lessons ``below`` the bar, and those of them that are so by a margin (``surely``); whether
    what was promised is ``kept``."""

    below: int
    surely: int
    kept: bool


class Task(Protocol):
    """What a network is to learn and must not forget."""

    @property
    def lessons(self) -> int:
        """How many there are."""

    def loss(self) -> Tensor:
        """Of the next step."""

    def standing(self) -> Standing:
        """By the weights as they are."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it: at which ``rate`` and ``step`` the lessons were learned, and ``steps`` taken in all."""

    rate: float
    step: int
    steps: int


def tune(network: nn.Module, task: Task, name: str, progress: Progress) -> Tuned | None:
    """Bring ``network``, in eval mode, to the first state in which every lesson is below the bar by a margin, or else
    to that with the most; None, and the weights as they were, where none is better than before.

    One thread; the same task gives the same weights on one machine.
    """
    before = _weights(network)
    best, most, found = before, (task.standing().below, 0), None
    taken, planned = 0, sum(STEPS) + SETTLING

    def step(optimizer: torch.optim.Optimizer) -> None:
        loss = task.loss()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    with _one_thread():
        for rate, steps in zip(RATES, STEPS, strict=True):
            optimizer = _adam(network, rate)
            for done in range(1, steps + 1):
                step(optimizer)
                taken += 1
                if done % LOOK and done < steps:
                    continue
                progress(name, taken, planned)
                now = task.standing()
                if now.kept and (now.below, now.surely) > most:
                    best, most, found = _weights(network), (now.below, now.surely), (rate, taken)
                if most[1] == task.lessons:
                    break
            if most[1] == task.lessons:
                break
        if found is None:
            network.load_state_dict(before)
            return None
        network.load_state_dict(best)
        optimizer = _adam(network, SETTLING_RATE)
        for _ in range(SETTLING):
            step(optimizer)
        taken += SETTLING
        now = task.standing()
        if not now.kept or (now.below, now.surely) < most:
            network.load_state_dict(best)
        progress(name, planned, planned)
    return Tuned(*found, taken)


def _adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([part for part in network.parameters() if part.requires_grad], lr=rate)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch's threads are the process's; they are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
