"""Normal sequences spoilt by chance: what g is chosen on where there is no label.

Owns the ways to spoil. Does not know any detector, nor what real anomalies look like.
"""

from collections.abc import Callable, Sequence

import numpy as np

from models.sessions import Int64

MOST = 400
"""Spoilt sequences of one fold: enough to tell shares a few points apart."""

KEYS = 20_000
"""In them at most, as long ones take long to judge."""


def spoil(sequences: Sequence[Int64], keys: Int64, normal: Callable[[Int64], bool], seed: int) -> list[Int64]:
    """Draws from ``sequences``, each int64 [n > 0], with one change: cut short, a key left out, another of ``keys``
    int64 [v] in its place, or two keys that have changed places. Those that are ``normal`` after it, or empty, are left
    out."""
    random = np.random.default_rng(seed)
    ways = (_cut_short, _left_out, _replaced, _swapped)
    chosen = random.integers(len(sequences), size=min(MOST, KEYS // max(map(len, sequences)))).tolist()
    spoilt = [ways[number % len(ways)](sequences[at], keys, random) for number, at in enumerate(chosen)]
    return [sequence for sequence in spoilt if len(sequence) and not normal(sequence)]


def _cut_short(sequence: Int64, _keys: Int64, random: np.random.Generator) -> Int64:
    return sequence[: random.integers(len(sequence))]


def _left_out(sequence: Int64, _keys: Int64, random: np.random.Generator) -> Int64:
    return np.delete(sequence, random.integers(len(sequence)))


def _replaced(sequence: Int64, keys: Int64, random: np.random.Generator) -> Int64:
    changed = sequence.copy()
    changed[random.integers(len(sequence))] = random.choice(keys)
    return changed


def _swapped(sequence: Int64, _keys: Int64, random: np.random.Generator) -> Int64:
    changed = sequence.copy()
    first, second = random.integers(len(sequence), size=2)
    changed[[first, second]] = changed[[second, first]]
    return changed
