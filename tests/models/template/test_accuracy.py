"""Accuracy measures on cases worked out by hand."""

import pytest

from models.errors import DataError
from models.template.accuracy import grouping, parsing_accuracy


def test_perfect_groups_under_other_names():
    result = grouping([7, 7, 9], ["x", "x", "y"])
    assert (result.accuracy, result.precision, result.recall, result.f1) == (1.0, 1.0, 1.0, 1.0)


def test_split_group_counts_none_of_its_lines():
    # True groups: four lines of A, two of B. A is split in two, so only B's two lines are right.
    result = grouping([1, 1, 1, 2, 3, 3], list("AAAABB"))
    assert result.accuracy == pytest.approx(2 / 6)
    assert result.precision == pytest.approx(1 / 3)
    assert result.recall == pytest.approx(1 / 2)
    assert result.f1 == pytest.approx(2 / 5)


def test_merged_groups_count_none_of_their_lines():
    result = grouping([1, 1, 1, 2], list("AABC"))
    assert result.accuracy == pytest.approx(1 / 4)
    assert result.precision == pytest.approx(1 / 2)
    assert result.recall == pytest.approx(1 / 3)


def test_nothing_right_scores_zero():
    assert grouping([1, 1], ["A", "B"]).f1 == 0.0


def test_parsing_accuracy_takes_masks_as_wildcards_and_nothing_else():
    predicted = ["open <NUM> files", "open  <*>", "from <IP>:<PORT>", "a b"]
    true = ["open <*> files", "open <*>", "from <*>", "a b "]
    assert parsing_accuracy(predicted, true) == pytest.approx(3 / 4)


@pytest.mark.parametrize(("predicted", "true"), [(["a"], ["a", "b"]), ([], [])])
def test_lines_that_cannot_be_compared_are_refused(predicted, true):
    with pytest.raises(DataError):
        grouping(predicted, true)
    with pytest.raises(DataError):
        parsing_accuracy(predicted, true)
