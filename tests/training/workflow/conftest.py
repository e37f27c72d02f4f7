"""A key model without a network, for traces whose program is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from models.sessions import Float64, Int64
from models.vocabulary import END
from training.windows import windows
from training.workflow import NextProbabilities


class Frequencies:
    """A key model without a network: what followed the longest suffix of the history that the sessions hold."""

    window = 6

    def __init__(self, sessions: Sequence[Int64]) -> None:
        self.keys: Int64 = np.array([END, *sorted({int(key) for keys in sessions for key in keys})], dtype=np.int64)
        self._counts: dict[tuple[int, ...], Float64] = {}
        given = windows(list(sessions), self.window)
        columns = np.searchsorted(self.keys, given.key).tolist()
        for history, column in zip(given.history.tolist(), columns, strict=True):
            for length in range(self.window + 1):
                suffix = tuple(history[self.window - length :])
                self._counts.setdefault(suffix, np.zeros(len(self.keys)))[column] += 1.0

    def __call__(self, history: Int64) -> Float64:
        rows = []
        for row in history.tolist():
            known = next(
                suffix
                for length in range(self.window, -1, -1)
                if (suffix := tuple(row[self.window - length :])) in self._counts
            )
            rows.append(self._counts[known] / self._counts[known].sum())
        return np.array(rows)


@pytest.fixture(scope="session")
def frequencies() -> Callable[[Sequence[Int64]], NextProbabilities]:
    """Fits such a model to sessions."""
    return Frequencies
