"""Deduplication by packed columns finds exactly the distinct rows."""

import numpy as np
import pytest

from models.rows import unique_rows


@pytest.mark.parametrize(("values", "columns"), [(2, 3), (20, 10), (20_004, 11), (2**31, 4)])
def test_distinct_rows_are_those_of_numpy(values: int, columns: int) -> None:
    # The larger alphabets do not fit one integer, so the codes are renumbered on the way.
    random = np.random.default_rng(0)
    alphabet = random.integers(0, values, 3)
    rows = np.concatenate([alphabet[random.integers(0, 3, (300, columns))], np.full((1, columns), values - 1)])
    first, inverse = unique_rows(rows)
    np.testing.assert_array_equal(rows[first][inverse], rows)
    np.testing.assert_array_equal(rows[first], np.unique(rows, axis=0))


def test_no_row_has_no_distinct_row() -> None:
    first, inverse = unique_rows(np.empty((0, 10), dtype=np.int64))
    assert len(first) == len(inverse) == 0
