"""Spoilt windows: what replaces a key never follows there, every place and window has its turn, none is normal."""

from itertools import pairwise

import numpy as np
import pytest

from models.sessions import Int64
from models.vocabulary import BOS, EOS, SPECIALS
from training.loglstm.negatives import Spoiler, Successors

SIZE = SPECIALS + 9
LENGTH = 5


def normal(sessions: int, seed: int) -> Int64:
    """Distinct windows of sessions in which a key is followed by the next or the one after, up to the last."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(sessions):
        session, key = [], SPECIALS
        while key < SIZE:
            session.append(key)
            key += int(random.integers(1, 3))
        flat = [BOS] * (LENGTH - 1) + session + [EOS]
        rows += [flat[at : at + LENGTH] for at in range(len(session) + 1)]
    return np.unique(np.array(rows, dtype=np.int64), axis=0)


WINDOWS = normal(60, seed=1)
ALLOWED = {pair for row in WINDOWS.tolist() for pair in pairwise(row)}
"""Every pair of neighbours in a training window, by a way of its own."""
BEGINNINGS = {row[0] for row in WINDOWS.tolist()}


def drawn(times: int, seed: int) -> tuple[Int64, Int64]:
    """Windows and what each became."""
    given = np.tile(WINDOWS, (times, 1))
    spoilt = Spoiler(WINDOWS, SIZE).spoil(given, np.random.default_rng(seed))
    assert len(spoilt) == len(given)
    return given, spoilt


def test_no_replaced_key_is_an_allowed_successor() -> None:
    given, spoilt = drawn(50, seed=2)
    replaced = 0
    for before, after in zip(given.tolist(), spoilt.tolist(), strict=True):
        for place in range(LENGTH):
            if before[place] == after[place]:
                continue
            replaced += 1
            if place:
                assert (after[place - 1], after[place]) not in ALLOWED
            else:
                assert after[0] not in BEGINNINGS
    assert replaced > len(given)


def test_every_place_and_every_window_has_its_turn() -> None:
    given, spoilt = drawn(50, seed=3)
    changed = given != spoilt
    assert changed.any(axis=0).all()
    assert changed.any(axis=1).all()
    # A place that holds a key is now and then the only one that changes.
    alone = changed[changed.sum(axis=1) == 1]
    assert alone.any(axis=0).all()


def test_no_spoilt_window_is_a_training_window() -> None:
    _, spoilt = drawn(50, seed=4)
    known = {tuple(row) for row in WINDOWS.tolist()}
    assert not known & {tuple(row) for row in spoilt.tolist()}


def test_only_what_could_come_is_drawn() -> None:
    given, spoilt = drawn(50, seed=5)
    assert (spoilt[:, :-1] != EOS).all()
    assert ((given == BOS) == (spoilt == BOS)).all()
    assert set(np.unique(spoilt).tolist()) == {BOS, EOS, *range(SPECIALS, SIZE)}
    ends = (spoilt[:, -1] == EOS) & (given[:, -1] != EOS)
    assert ends.any()
    assert (spoilt[ends, -2] != BOS).all()


def test_every_key_that_never_follows_is_as_likely() -> None:
    previous, key = np.array([7, 7, 7, 8]), np.array([4, 6, 3, 9])
    successors = Successors(previous, key, low=SPECIALS, size=10)
    found, number = np.unique(successors.draw(np.full(40_000, 7), np.random.default_rng(0)), return_counts=True)
    assert found.tolist() == [5, 7, 8, 9]
    assert (abs(number - 10_000) < 500).all()
    ends = Successors(previous, key, low=EOS, size=10).draw(np.full(4_000, 8), np.random.default_rng(0))
    assert set(ends.tolist()) == {EOS, 4, 5, 6, 7, 8}
    assert set(successors.draw(np.full(4_000, 10), np.random.default_rng(0)).tolist()) == set(range(SPECIALS, 10))


def test_windows_that_nothing_spoils_are_left_out() -> None:
    size = SPECIALS + 2
    pairs = [[a, b] for a in (4, 5) for b in (EOS, 4, 5)]
    everything = np.array([[BOS, 4], [BOS, 5], *pairs], dtype=np.int64)
    spoiler = Spoiler(everything, size)
    assert len(spoiler.spoil(everything, np.random.default_rng(0))) == 0
    # Without one pair, only windows that begin with its first key can be spoilt.
    spoiler = Spoiler(everything[:-1], size)
    spoilt = spoiler.spoil(np.tile(everything[:-1], (20, 1)), np.random.default_rng(0))
    assert np.unique(spoilt, axis=0).tolist() == [[5, 5]]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_draws_the_same(seed: int) -> None:
    assert np.array_equal(drawn(2, seed)[1], drawn(2, seed)[1])
    assert not np.array_equal(drawn(2, seed)[1], drawn(2, seed + 1)[1])
