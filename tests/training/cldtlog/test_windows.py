"""Windows of lines within one entity."""

import numpy as np
import pytest

from models.errors import DataError
from training.cldtlog.windows import line_windows


def test_windows_are_five_lines_stride_two_within_an_entity() -> None:
    entities = ["a", "b", "a", "a", "a", "b", "a", "a", "a"]
    anomalous = np.array([0, 0, 0, 0, 0, 1, 0, 0, 1], dtype=np.bool_)
    made = line_windows(list("012345678"), entities, anomalous)
    assert made.texts == ["1 5", "0 2 3 4 6", "3 4 6 7 8"]
    assert made.anomalous.tolist() == [True, False, True]
    assert made.last.tolist() == [5, 6, 8]


@pytest.mark.parametrize("lines", range(1, 12))
def test_every_line_is_in_a_window_and_none_is_longer_than_five(lines: int) -> None:
    messages = [str(number) for number in range(lines)]
    made = line_windows(messages, ["a"] * lines, np.zeros(lines, dtype=np.bool_))
    assert {word for text in made.texts for word in text.split()} == set(messages)
    assert max(len(text.split()) for text in made.texts) == min(5, lines)
    starts = [int(text.split()[0]) for text in made.texts]
    assert starts == list(range(0, 2 * len(starts), 2))
    assert made.last[-1] == lines - 1


def test_no_lines_no_windows_and_what_cannot_be_is_refused() -> None:
    nothing = np.empty(0, dtype=np.bool_)
    assert line_windows([], [], nothing).texts == []
    with pytest.raises(DataError, match="one label"):
        line_windows(["x"], ["a"], nothing)
    with pytest.raises(DataError, match="stride"):
        line_windows([], [], nothing, size=2, stride=3)
