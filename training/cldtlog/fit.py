"""One fit of CLDTLog's trainable part on bags of texts, as multiple instances.

Owns the drawing of batches, the loop and the held-out loss. Does not know folds, thresholds or files.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.cldtlog.network import Upper
from models.errors import DataError
from models.sessions import Bool, Float64, Int64
from training.cldtlog.bags import Bags
from training.cldtlog.frozen import Activations, FrozenPart
from training.cldtlog.loss import combined
from training.cldtlog.settings import CLDTLogSettings

_SLICE = 16
_HELD_OUT = 256
"""Distinct bags of each class that a held-out loss looks at."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """``loss``: mean over an epoch's steps; ``heldout``: the held-out loss; ``logits``: float64 [t] of all texts after
    it; both None without held-out sessions."""

    loss: float
    heldout: float | None
    logits: Float64 | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a fit learns from: of every distinct bag, the texts that may stand for it as a normal session (all of them)
    and as an anomalous one (the telling ones, none where there is none), and the odds with which it is drawn as each,
    float64 [b].

    An anomalous session all of whose texts are as common in normal ones teaches nothing: its lines alone do not tell
    it, and as an example it would only pull the two classes into each other.
    """

    members: tuple[list[Int64], list[Int64]]
    odds: tuple[Float64, Float64]

    @classmethod
    def of(cls, bags: Bags, chosen: Int64, telling: Bool, power: float) -> "Lesson":
        """From the sessions ``chosen`` int64 [m], with ``telling`` bool [t]; a class without any has odds of 0."""
        told = [own[telling[own]] for own in bags.members]
        counts = [bags.counts(chosen, label) for label in (False, True)]
        counts[1] = np.where([len(own) > 0 for own in told], counts[1], 0)
        return cls((bags.members, told), (_odds(counts[0], power), _odds(counts[1], power)))


def fit(
    bags: Bags,
    activations: Activations,
    part: FrozenPart,
    chosen: Int64,
    settings: CLDTLogSettings,
    seed: int,
    *,
    epochs: int,
    heldout: Int64 | None = None,
) -> tuple[Upper, list[Epoch]]:
    """Train on the sessions ``chosen`` int64 [m], which hold both classes, for ``epochs`` epochs; with ``heldout``
    sessions, judge all texts and these after each. The network depends on ``seed`` alone and is left in eval mode.

    Raises DataError where no anomalous session holds a telling text."""
    telling = bags.telling(chosen)
    lesson = Lesson.of(bags, chosen, telling, settings.weight_power)
    if not lesson.odds[1].any():
        raise DataError(
            "cldtlog: no line is more common in anomalous sessions than in normal ones, so lines do not tell them "
            "apart; leave cldtlog out of the detectors"
        )
    with _generator(seed, settings.threads) as generator:
        random = np.random.default_rng(seed)
        upper = part.upper()
        optimiser = torch.optim.AdamW(upper.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        history = []
        for _ in range(epochs):
            upper.train()
            losses = []
            for _ in range(settings.steps):
                loss = _loss(upper, activations, _drawn(lesson, settings, random), settings, generator)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(upper.parameters(), 1.0)
                optimiser.step()
                losses.append(float(loss.detach()))
            upper.eval()
            held = logits = None
            if heldout is not None:
                logits, embeddings = judge(upper, activations)
                unseen = Lesson.of(bags, heldout, telling, settings.weight_power)
                held = _heldout_loss(unseen, logits, embeddings, settings)
            history.append(Epoch(float(np.mean(losses)), held, logits))
    return upper.eval(), history


def judge(upper: Upper, activations: Activations) -> tuple[Float64, Float64]:
    """Logits float64 [t] and embeddings float64 [t, width] of all texts, by a network in eval mode."""
    with torch.inference_mode():
        logits, embeddings = _forward(upper, activations, np.arange(len(activations)))
    return logits.numpy().astype(np.float64), embeddings.numpy().astype(np.float64)


def _forward(upper: Upper, activations: Activations, texts: Int64) -> tuple[Tensor, Tensor]:
    """Logits [n] and embeddings [n, width] of the texts numbered int64 [n], in slices of like length: padding to the
    longest text of all would double the cost."""
    order = np.argsort(activations.lengths[texts], kind="stable")
    parts = [upper(*activations.of(texts[order[start : start + _SLICE]])) for start in range(0, len(order), _SLICE)]
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    return torch.cat([logit for logit, _ in parts])[back], torch.cat([embedding for _, embedding in parts])[back]


def _drawn(lesson: Lesson, settings: CLDTLogSettings, random: np.random.Generator) -> tuple[list[Int64], Bool]:
    """The texts of each bag of a batch, drawn with replacement, both classes in a fixed proportion; labels bool
    [batch]."""
    anomalous = min(math.ceil(settings.anomalous_share * settings.batch), settings.batch - 1)
    sizes = (settings.batch - anomalous, anomalous)
    drawn = [
        members[number]
        for members, odds, size in zip(lesson.members, lesson.odds, sizes, strict=True)
        for number in random.choice(len(odds), size=size, p=odds).tolist()
    ]
    return drawn, np.repeat([False, True], sizes)


def _odds(counts: Int64, power: float) -> Float64:
    weight = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    odds: Float64 = weight / max(weight.sum(), 1.0)
    return odds


def _loss(
    upper: Upper,
    activations: Activations,
    drawn: tuple[list[Int64], Bool],
    settings: CLDTLogSettings,
    generator: torch.Generator,
) -> Tensor:
    members, labels = drawn
    texts = np.unique(np.concatenate(members))
    logit, embedding = _forward(upper, activations, texts)
    # A bag stands and falls with the text that is strangest to the network now.
    leader = _leaders([np.searchsorted(texts, own) for own in members], logit.detach().numpy())
    rows = torch.from_numpy(leader)
    return combined(
        logit[rows], embedding[rows], torch.from_numpy(labels),
        alpha=settings.alpha, margin=settings.margin, gamma=settings.gamma, generator=generator,
    )  # fmt: skip


def _heldout_loss(lesson: Lesson, logits: Float64, embeddings: Float64, settings: CLDTLogSettings) -> float:
    """The loss of held-out sessions, the classes weighing as in a batch, with the hardest triplets; NaN for none."""
    members: list[Int64] = []
    weights, labels = [], []
    shares = (1.0 - settings.anomalous_share, settings.anomalous_share)
    for own, odds, share, label in zip(lesson.members, lesson.odds, shares, (False, True), strict=True):
        likeliest = np.argsort(-odds, kind="stable")[: min(_HELD_OUT, int((odds > 0).sum()))]
        members.extend(own[number] for number in likeliest.tolist())
        weights.append(share * odds[likeliest])
        labels.append(np.full(len(likeliest), label))
    if not members:
        return math.nan
    leader = _leaders(members, logits)
    weight = np.concatenate(weights)
    found, labelled = torch.from_numpy(logits[leader]), torch.from_numpy(np.concatenate(labels))
    loss = combined(
        found, torch.from_numpy(embeddings[leader]), labelled,
        alpha=settings.alpha, margin=settings.margin, gamma=settings.gamma,
        weight=torch.from_numpy(weight / weight.sum()),
    )  # fmt: skip
    return float(loss)


def _leaders(members: list[Int64], logits: Float64) -> Int64:
    """The text with the largest of ``logits`` [t] in each of b bags, int64 [b]."""
    return np.array([own[logits[own].argmax()] for own in members], dtype=np.int64)


@contextmanager
def _generator(seed: int, threads: int) -> Iterator[torch.Generator]:
    """A generator for triplets, and the global one (dropout, the head) seeded within; all is put back as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = torch.Generator()
            generator.manual_seed(seed)
            yield generator
    finally:
        torch.set_num_threads(before)
