"""Sessions and lines as bags of distinct texts."""

import numpy as np
import polars as pl
import pytest

from models.errors import DataError
from models.record import Records
from models.source.config import Source
from models.template.tree import TemplateTree
from training.cldtlog.bags import Bags, bags_of, bags_of_lines
from training.corpus import CutSession
from training.member import Corpus


def corpus(normal: list[list[int]], anomalous: list[list[int]], masked: list[str]) -> Corpus:
    """Sessions given as record numbers."""

    def session(rows: list[int]) -> CutSession:
        numbers = np.array(rows, dtype=np.int64)
        return CutSession("s", np.ones(len(rows), dtype=np.int64), 0.0, 0.0, np.zeros(len(rows)), numbers)

    count = len(masked)
    records = Records(
        np.arange(count), pl.Series(masked), pl.Series(masked), np.zeros(count), pl.DataFrame(height=count),
        np.arange(count), pl.Series(["s"] * count), [],
    )  # fmt: skip
    tree = TemplateTree(Source.load("raw").drain, "tree")
    return Corpus([session(rows) for rows in normal], [session(rows) for rows in anomalous], records, tree)


def made() -> Bags:
    masked = ["a <NUM>", "b", "A", "<NUM>", "c", "unused"]
    return bags_of(corpus([[0, 1, 2, 0], [1, 0], [3], [0]], [[4, 0], [4, 2]], masked))


def test_sessions_of_equal_texts_are_one_bag() -> None:
    bags = made()
    assert bags.texts == ["a", "b", "c"]
    assert [[bags.texts[t] for t in own] for own in bags.members] == [["a", "b"], ["a"], ["a", "c"]]
    assert bags.bag.tolist() == [0, 0, -1, 1, 2, 2]
    assert bags.anomalous.tolist() == [False] * 4 + [True] * 2


def test_counts_are_those_of_the_chosen_sessions() -> None:
    bags = made()
    assert bags.counts(np.arange(6), False).tolist() == [2, 1, 0]
    assert bags.counts(np.array([1, 2, 5]), False).tolist() == [1, 0, 0]
    assert bags.counts(np.array([1, 2, 5]), True).tolist() == [0, 0, 1]
    assert bags.text_counts(np.arange(6), False).tolist() == [3, 2, 0]


def test_a_session_is_as_strange_as_its_strangest_text() -> None:
    np.testing.assert_array_equal(made().raws(np.array([1.0, -1.0, 5.0])), [1.0, 1.0, np.nan, 1.0, 5.0, 5.0])


def test_a_text_tells_where_it_is_commoner_in_anomalous_sessions() -> None:
    bags = made()
    # ``a`` is in three of four normal sessions and in both anomalous ones: commoner, but not twice as common.
    assert bags.telling(np.arange(6)).tolist() == [False, False, True]
    assert bags.telling(np.array([0, 1])).tolist() == [False, False, False]
    assert bags.telling(np.array([4])).tolist() == [True, False, True]


def test_a_part_keeps_its_own_texts_alone() -> None:
    part = made().only(np.array([2, 3, 4]))
    assert part.texts == ["a", "c"]
    assert [own.tolist() for own in part.members] == [[0], [0, 1]]
    assert part.bag.tolist() == [-1, 0, 1]
    assert part.anomalous.tolist() == [False, False, True]
    assert len(made().only(np.empty(0, dtype=np.int64))) == 0


def test_lines_are_bags_of_one() -> None:
    bags = bags_of_lines(["x <NUM>", "y", "X", "1"], [True, False, False, False])
    assert bags.texts == ["x", "y"]
    assert bags.bag.tolist() == [0, 1, 0, -1]
    with pytest.raises(DataError, match="one for each"):
        bags_of_lines(["x"], [True, False])
    assert bags_of_lines([], []).texts == []


def test_too_many_texts_leave_sessions_out_normal_ones_first() -> None:
    masked = [chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(60)]
    bags = bags_of(corpus([[n, n + 1] for n in range(40)], [[50, n] for n in range(51, 55)], masked))
    kept = bags.thinned(12, seed=0)
    assert set(range(40, 44)) <= set(kept.tolist())
    assert len(bags.only(kept).texts) <= 12
    assert len(kept) > 4
    np.testing.assert_array_equal(kept, bags.thinned(12, seed=0))
    assert len(bags.thinned(1_000, seed=0)) == len(bags)


def test_keys_alone_are_refused() -> None:
    keys = np.array([1, 2], dtype=np.int64)
    with pytest.raises(DataError, match="cldtlog reads lines"):
        bags_of(Corpus.of_keys([keys], [keys]))
