"""What one epoch reads: every distinct sequence, in batches of like length, some cut short, keys masked by chance.

Owns all draws of a fit after its first weights. Does not know the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.logbert.inputs import LEAD, Tokens, calls
from models.sessions import Bool, Float64, Int64
from models.vocabulary import EOS, PAD, UNK
from training.logbert.settings import LogBERTSettings

_SPREAD = 3.0
"""Tokens by which lengths are shaken before they are sorted, so that batches differ from epoch to epoch."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser: ``places`` int64 [n, t]; which tokens are ``masked``, bool [n, t]; what stood there,
    ``target`` int64 [masked] counted from ``EOS``, and its ``weight`` float32 [masked]; the weight of each row's
    distance, ``whole`` float32 [n], 0 where the row was cut short."""

    places: Tensor
    masked: Tensor
    target: Tensor
    weight: Tensor
    whole: Tensor


class Rows:
    """Batches out of memory; all draws follow from ``seed``. ``size``: tokens of one epoch before any is cut off."""

    def __init__(self, given: Tokens, weight: Float64, mask: int, settings: LogBERTSettings, seed: int) -> None:
        """``weight`` float64 [u] of each sequence; ``mask``: the place that hides a token."""
        self._given, self._weight, self._mask, self._settings = given, weight, mask, settings
        self._rows = np.repeat(np.arange(len(weight)), -(-settings.rows // len(weight)))
        self._random = np.random.default_rng(seed)
        length = given.length[self._rows]
        self.size = int(length.sum())
        self._sizes = [len(part) for part in calls(length, settings.batch)]

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Step]:
        shaken = self._given.length[self._rows] + self._random.uniform(0.0, _SPREAD, len(self._rows))
        order = self._rows[np.argsort(shaken)]
        parts = np.split(order, np.cumsum(self._sizes)[:-1])
        for number in self._random.permutation(len(parts)).tolist():
            yield self._step(parts[number])

    def _step(self, chosen: Int64) -> Step:
        whole, length = self._cut(self._given.length[chosen])
        places = self._given.rows(chosen)[:, : length.max()]
        step = np.arange(places.shape[1])
        inside = step < length[:, None]
        places[~inside] = PAD
        masked = self._masks(inside & (step >= LEAD), length, whole)
        hidden = inside & ~masked & (places > EOS) & (self._random.random(places.shape) < self._settings.unk_dropout)
        # An unknown key is no answer that a network could learn to give.
        judged = masked & (places >= EOS)
        weight = self._weight[chosen]
        return Step(
            places=torch.from_numpy(np.where(masked, self._mask, np.where(hidden, UNK, places))),
            masked=torch.from_numpy(judged),
            target=torch.from_numpy(places[judged] - EOS),
            weight=torch.from_numpy(weight[np.nonzero(judged)[0]].astype(np.float32)),
            whole=torch.from_numpy((weight * whole).astype(np.float32)),
        )

    def _cut(self, length: Int64) -> tuple[Bool, Int64]:
        """Which rows stay whole, bool [n], and the tokens left of each, int64 [n]: with a key at least, and fewer than
        before where it is cut."""
        if not self._settings.end:
            return np.ones(len(length), dtype=bool), length
        least = LEAD + 1
        whole = (self._random.random(len(length)) >= self._settings.cut) | (length <= least)
        kept = least + (self._random.random(len(length)) * (length - least)).astype(np.int64)
        return whole, np.where(whole, length, kept)

    def _masks(self, maskable: Bool, length: Int64, whole: Bool) -> Bool:
        """One token in ``groups``, at least one in a row, and the last of those cut short."""
        draw = np.where(maskable, self._random.random(maskable.shape), np.inf)
        masked: Bool = (draw < 1.0 / self._settings.groups) | (draw == draw.min(axis=1, keepdims=True))
        masked[np.flatnonzero(~whole), length[~whole] - 1] = True
        return masked
