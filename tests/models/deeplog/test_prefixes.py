"""Windows that begin alike are read together, and every one gets what it would get alone."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.deeplog.prefixes import SHARED_FROM, SharedPrefixes
from models.sessions import Int64

LAYERS, UNITS, SIZE, H = 2, 3, 5, 6


class Folding:
    """A network whose states remember every key in its order; counts the steps that it takes."""

    def __init__(self) -> None:
        self.steps = 0

    def run(self, *, windows: Int64, hidden: NDArray[np.float32], cell: NDArray[np.float32]) -> list[NDArray[Any]]:
        assert hidden.shape == cell.shape == (len(windows), LAYERS, UNITS)
        self.steps += windows.size
        for key in windows.T.astype(np.float32):
            hidden = hidden * np.float32(0.5) + key[:, None, None]
            cell = cell + hidden
        return [np.repeat(hidden.sum(axis=(1, 2))[:, None] + cell[:, 0, :1], SIZE, axis=1), hidden, cell]


def alone(windows: Int64) -> NDArray[Any]:
    zeros = np.zeros((len(windows), LAYERS, UNITS), dtype=np.float32)
    return Folding().run(windows=windows, hidden=zeros, cell=zeros)[0]


@pytest.mark.parametrize("number", [0, 1, 33, SHARED_FROM - 1, SHARED_FROM, 5_000])
@pytest.mark.parametrize("keys", [1, 2, 30])
def test_logits_are_those_of_each_window_read_alone(number: int, keys: int) -> None:
    windows = np.random.default_rng(number + keys).integers(0, keys, (number, H))
    (found,) = SharedPrefixes(Folding(), LAYERS, UNITS).run(windows=windows)
    np.testing.assert_array_equal(found, alone(windows))


def test_what_many_windows_have_in_common_is_read_once() -> None:
    windows = np.random.default_rng(0).integers(0, 30, (4_000, H))
    windows[:, :4] = 7
    graph = Folding()
    SharedPrefixes(graph, LAYERS, UNITS).run(windows=windows)
    # Four steps for all together, one for each way to take the fifth, and one for each way to end.
    assert graph.steps == 4 + 30 + len(np.unique(windows, axis=0)) < 1_000


def test_few_windows_are_one_call() -> None:
    graph = Folding()
    SharedPrefixes(graph, LAYERS, UNITS).run(windows=np.zeros((100, H), dtype=np.int64))
    assert graph.steps == 100 * H
