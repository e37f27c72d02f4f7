"""The published input of CLDTLog: five lines joined, stride two, within one entity; for comparisons offline alone.

Owns the windows and their labels. Online a line is judged by itself, so nothing here is served. A window is cut to the
tokens that count, so an anomalous line at its end may be hidden: its label is then noise, as in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.sessions import Bool, Int64

SIZE = 5
STRIDE = 2


@dataclass(frozen=True, slots=True)
class LineWindows:
    """w windows: ``texts``, ``anomalous`` bool [w] (any of its lines is), and ``last`` int64 [w], the number of each
    one's last line."""

    texts: list[str]
    anomalous: Bool
    last: Int64


def line_windows(
    messages: Sequence[str],
    entities: Sequence[str],
    anomalous: Bool,
    size: int = SIZE,
    stride: int = STRIDE,
) -> LineWindows:
    """Windows over each entity's own lines, in order of their last line.

    ``messages``, ``entities`` and ``anomalous`` bool [n] belong to n lines in time order; cut the log into training
    and test part before, so that no window stands in both. Every line is in a window: an entity's last one ends at
    its last line and may be shorter. Raises DataError where the three differ in length or a number is below 1.
    """
    if not len(messages) == len(entities) == len(anomalous):
        raise DataError("windows of lines: give one entity and one label for each line")
    if size < 1 or not 1 <= stride <= size:
        raise DataError(f"windows of {size} lines, stride {stride}: both must be at least 1, the stride no longer")
    rows_of: dict[str, list[int]] = {}
    for row, entity in enumerate(entities):
        rows_of.setdefault(entity, []).append(row)
    windows: list[list[int]] = []
    for rows in rows_of.values():
        start = 0
        windows.append(rows[:size])
        while start + size < len(rows):
            start += stride
            windows.append(rows[start : start + size])
    windows.sort(key=lambda rows: rows[-1])
    return LineWindows(
        [" ".join(messages[row] for row in rows) for rows in windows],
        np.array([bool(anomalous[rows].any()) for rows in windows], dtype=np.bool_),
        np.array([rows[-1] for rows in windows], dtype=np.int64),
    )
