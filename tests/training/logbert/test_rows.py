"""What an epoch reads, and how normals are spoilt."""

import numpy as np
import pytest
import torch

from models.logbert.inputs import CELLS, Tokens, tokens
from models.sessions import SEGMENT, Int64
from models.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from training.logbert import LogBERTSettings
from training.logbert.rows import Rows, Step
from training.logbert.spoil import MOST, spoil

VOCABULARY = Vocabulary(range(1, 10))
MASK = VOCABULARY.size


def given(*lengths: int, end: bool = True) -> Tokens:
    return tokens(VOCABULARY, [np.arange(length) % 9 + 1 for length in lengths], end)


def epoch(placed: Tokens, settings: LogBERTSettings, seed: int = 0) -> list[Step]:
    return list(Rows(placed, np.arange(1.0, len(placed.start) + 1), MASK, settings, seed))


def test_masks_hide_what_is_asked_and_nothing_else() -> None:
    placed = given(*range(1, 30))
    for step in epoch(placed, LogBERTSettings(rows=200, unk_dropout=0.1)):
        places, masked = step.places.numpy(), step.masked.numpy()
        assert ((places == MASK) == masked).all()
        assert masked.any(axis=1).all()
        assert (places[:, 0] == BOS).all()
        restored = places.copy()
        restored[masked] = step.target.numpy() + EOS
        key = np.arange(restored.shape[1]) - 1
        # Keys of these sessions count up, so each place tells its step.
        inside = (restored != PAD) & (restored != EOS) & (restored != UNK) & (key >= 0)
        assert (restored[inside] == np.broadcast_to(key % 9 + SPECIALS, restored.shape)[inside]).all()


def test_rows_cut_short_have_their_last_key_masked_and_no_say_in_the_centre() -> None:
    placed = given(*[20] * 300)
    steps = epoch(placed, LogBERTSettings(cut=0.5))
    short = 0
    for step in steps:
        last = (step.places != PAD).sum(dim=1) - 1
        cut = last < 21
        short += int(cut.sum())
        assert step.masked[torch.arange(len(last)), last][cut].all()
        assert ((step.whole == 0) == cut).all()
    assert short == pytest.approx(150, abs=40)
    whole = epoch(given(*[20] * 300, end=False), LogBERTSettings(cut=0.5, end=False))
    assert all(step.places.shape[1] == 21 and (step.whole > 0).all() for step in whole)


def test_one_key_in_so_many_is_masked() -> None:
    steps = epoch(given(*[40] * 300, end=False), LogBERTSettings(end=False, groups=4))
    masked = sum(int(step.masked.sum()) for step in steps)
    assert masked / (300 * 40) == pytest.approx(1 / 4, abs=0.02)


def test_few_sessions_come_again_and_long_ones_in_smaller_batches() -> None:
    few = epoch(given(5, 6, 7), LogBERTSettings(rows=256, batch=32))
    assert sum(len(step.places) for step in few) == 258
    assert len(few) == 9
    long = epoch(given(*[SEGMENT] * 20), LogBERTSettings(rows=1, batch=32))
    assert all(len(step.places) * (SEGMENT + 1) <= CELLS for step in long)
    assert sum(len(step.places) for step in long) == 20


def test_each_answer_weighs_as_its_session() -> None:
    (step,) = epoch(given(3, 8), LogBERTSettings(rows=2, cut=0.0))
    row = step.masked.nonzero()[:, 0]
    assert torch.equal(step.weight, step.whole[row])
    assert sorted(step.whole.tolist()) == [1.0, 2.0]


def test_an_unknown_key_is_masked_but_never_an_answer() -> None:
    placed = tokens(VOCABULARY, [np.full(30, 99)], end=False)
    (step,) = epoch(placed, LogBERTSettings(rows=1, end=False))
    assert (step.places == MASK).any()
    assert not step.masked.any()


def test_epochs_differ_and_follow_from_the_seed() -> None:
    placed, settings = given(*range(2, 40)), LogBERTSettings(rows=1)
    rows = Rows(placed, np.ones(38), MASK, settings, 0)
    first, second = list(rows), list(rows)
    again = list(Rows(placed, np.ones(38), MASK, settings, 0))
    assert all(torch.equal(a.places, b.places) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a.places, b.places) for a, b in zip(first, second, strict=True))


def test_spoilt_sessions_differ_from_normal_ones_by_one_change() -> None:
    normal = [np.arange(1, length) for length in range(5, 40)] * 4
    known = {one.tobytes() for one in normal}

    def is_normal(one: Int64) -> bool:
        return one.tobytes() in known

    spoilt = spoil(normal, np.arange(1, 50), is_normal, seed=0)
    assert MOST / 2 < len(spoilt) < MOST
    assert not any(is_normal(one) for one in spoilt)
    assert all(len(one) for one in spoilt)
    assert [one.tolist() for one in spoil(normal, np.arange(1, 50), is_normal, seed=0)] == [
        one.tolist() for one in spoilt
    ]
    assert spoil([np.array([1])], np.array([1]), lambda one: True, seed=0) == []
