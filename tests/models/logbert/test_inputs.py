"""Tokens of sessions, and passes that look at each of them once."""

import numpy as np
import pytest

from models.logbert.inputs import ANSWERS, CELLS, calls, cut, passes, tokens, whole
from models.sessions import SEGMENT, Int64
from models.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

VOCABULARY = Vocabulary([10, 20, 30])
MASK = VOCABULARY.size
A, B, C = SPECIALS, SPECIALS + 1, SPECIALS + 2


def session(*keys: int) -> Int64:
    return np.array(keys, dtype=np.int64)


def test_a_session_begins_and_ends_with_its_own_tokens() -> None:
    given = tokens(VOCABULARY, [session(10, 20), session(77), session(30, 30, 10)], end=True)
    assert given.rows(np.array([2, 0, 1])).tolist() == [
        [BOS, C, C, A, EOS], [BOS, A, B, EOS, PAD], [BOS, UNK, EOS, PAD, PAD],
    ]  # fmt: skip
    without = tokens(VOCABULARY, [session(10, 20), session(77)], end=False)
    assert without.rows(np.array([0, 1])).tolist() == [[BOS, A, B], [BOS, UNK, PAD]]


def test_a_full_segment_has_no_end() -> None:
    given = tokens(VOCABULARY, [np.full(SEGMENT, 10), np.full(SEGMENT - 1, 10)], end=True)
    assert given.length.tolist() == [SEGMENT + 1, SEGMENT + 1]
    assert given.rows(np.array([0, 1]))[:, -1].tolist() == [A, EOS]


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("end", [True, False])
def test_every_token_but_the_first_is_masked_exactly_once(groups: int, end: bool) -> None:
    random = np.random.default_rng(0)
    sessions = [random.choice([10, 20, 30, 99], length) for length in (1, 2, 3, 7, 8, 40, 2)]
    given = tokens(VOCABULARY, sessions, end)
    seen = np.zeros(len(given.flat), dtype=int)
    for batch in passes(given, groups, MASK, VOCABULARY.size - EOS):
        row, column = np.nonzero(batch.judged)
        np.add.at(seen, given.start[batch.sequence[row]] + batch.at[row, column], 1)
        # What is not masked is as it was.
        unmasked = batch.places != MASK
        assert (batch.places[unmasked] == given.rows(batch.sequence)[unmasked]).all()
        assert (~unmasked).sum() == batch.judged.sum()
    expected = np.ones(len(given.flat), dtype=int)
    expected[given.start] = 0
    assert seen.tolist() == expected.tolist()


def test_neighbours_are_in_view_and_short_sessions_take_fewer_passes() -> None:
    given = tokens(VOCABULARY, [session(10), session(10, 20, 30, 10, 20, 30)], end=True)
    rows = {
        (int(number), tuple(places.tolist()))
        for batch in passes(given, 4, MASK, 4)
        for number, places in zip(batch.sequence, batch.places, strict=True)
    }
    short = {tuple(place for place in places if place != PAD) for number, places in rows if number == 0}
    assert short == {(BOS, MASK, EOS), (BOS, A, MASK)}
    assert {places for number, places in rows if number == 1} == {
        (BOS, MASK, B, C, A, MASK, C, EOS), (BOS, A, MASK, C, A, B, MASK, EOS), (BOS, A, B, MASK, A, B, C, MASK),
        (BOS, A, B, C, MASK, B, C, EOS),
    }  # fmt: skip


def test_nothing_is_masked_where_the_whole_is_read() -> None:
    given = tokens(VOCABULARY, [session(10, 20), session(30)], end=True)
    (batch,) = whole(given)
    order = np.argsort(batch.sequence)
    assert batch.places[order].tolist() == [[BOS, A, B, EOS], [BOS, C, EOS, PAD]]
    assert not batch.judged.any()
    assert batch.at.shape == (2, 1)


def test_calls_are_bounded_and_leave_nothing_out() -> None:
    length = np.random.default_rng(0).integers(2, SEGMENT + 2, 300)
    answers = length * 2000
    parts = list(calls(length, 32, answers))
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    for part in parts:
        assert len(part) <= 32
        assert len(part) == 1 or len(part) * length[part].max() <= CELLS
        assert len(part) == 1 or len(part) * answers[part].max() <= ANSWERS
    assert list(calls(np.empty(0, dtype=np.int64))) == []


def test_long_sessions_are_cut_where_segments_are_full() -> None:
    assert [len(part) for part in cut(np.arange(2 * SEGMENT + 1))] == [SEGMENT, SEGMENT, 1]
    assert [len(part) for part in cut(np.arange(SEGMENT))] == [SEGMENT]
    assert np.concatenate(cut(np.arange(1000))).tolist() == list(range(1000))
