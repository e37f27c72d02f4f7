"""How well templates were mined, against a ground truth of one template a line.

The measures are those of logparser (LogPAI): grouping accuracy (Zhu et al., "Tools and Benchmarks for Automated Log
Parsing", ICSE-SEIP 2019, section 3), parsing accuracy (Dai et al., "Logram", TSE 2020), and the F1 score of grouping
(Jiang et al., "A Large-Scale Evaluation for Log Parsing Techniques", ISSTA 2024).
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from models.errors import DataError

_MASK = re.compile(r"<[A-Za-z_][A-Za-z0-9_]*>")


@dataclass(frozen=True, slots=True)
class Grouping:
    """``accuracy`` (GA): share of the lines whose predicted group is, line for line, their true group.

    ``precision``, ``recall``, ``f1`` (FGA): the same by groups; a predicted group is right where it is a true one.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float


def grouping(predicted: Sequence[Hashable], true: Sequence[Hashable]) -> Grouping:
    """Compare the group of each of n lines with the true one; names of groups need not agree.

    DataError where the lengths differ or there are no lines.
    """
    _check(predicted, true)
    sizes = Counter(predicted)
    true_sizes = Counter(true)
    # A group is right where all its lines are of one true group, which has no others.
    right = [
        size
        for (group, true_group), size in Counter(zip(predicted, true, strict=True)).items()
        if size == sizes[group] == true_sizes[true_group]
    ]
    precision = len(right) / len(sizes)
    recall = len(right) / len(true_sizes)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Grouping(sum(right) / len(true), precision, recall, f1)


def parsing_accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    """Parsing accuracy (PA): share of n lines whose predicted template text equals the true one.

    Both are normalised first: every mask ``<NAME>`` becomes ``<*>``, runs of white space become one space, and white
    space at the ends is dropped. Nothing else: ``<*>:<*>`` and ``<*>`` differ. DataError where the lengths differ or
    there are no lines.
    """
    _check(predicted, true)
    pairs = Counter(zip(predicted, true, strict=True))
    equal = sum(count for (text, true_text), count in pairs.items() if _normal(text) == _normal(true_text))
    return equal / len(true)


def _normal(text: str) -> str:
    return " ".join(_MASK.sub("<*>", text).split())


def _check(predicted: Sequence[Hashable], true: Sequence[Hashable]) -> None:
    if len(predicted) != len(true):
        raise DataError(f"{len(predicted)} predicted templates for {len(true)} lines: give one for each line")
    if not len(true):
        raise DataError("no lines to judge the templates by")
