"""Running counts: what each step adds, and what counts nowhere."""

import numpy as np

from models.loganomaly.counts import columns, running_counts
from models.vocabulary import BOS, PAD, SPECIALS, UNK

SIZE = SPECIALS + 3
A, B, C = SPECIALS, SPECIALS + 1, SPECIALS + 2


def test_each_step_adds_its_key() -> None:
    counts = running_counts(np.array([[A, B, A, C]]), SIZE)
    assert counts.shape == (1, 4, columns(SIZE))
    assert counts.dtype == np.float32
    expected = [[0, 1, 0, 0], [0, 1, 1, 0], [0, 2, 1, 0], [0, 2, 1, 1]]
    np.testing.assert_array_equal(counts[0] * 4, expected)


def test_unknown_keys_share_a_column_and_what_precedes_the_session_has_none() -> None:
    counts = running_counts(np.array([[PAD, BOS, UNK, UNK]]), SIZE)[0]
    np.testing.assert_array_equal(counts[:2], 0.0)
    np.testing.assert_array_equal(counts[2:, 0], [0.25, 0.5])
    np.testing.assert_array_equal(counts[2:, 1:], 0.0)


def test_the_last_step_is_the_count_vector_of_the_window() -> None:
    windows = np.random.default_rng(0).integers(UNK, SIZE, (50, 7))
    windows[windows == SPECIALS - 1] = A
    last = running_counts(windows, SIZE)[:, -1]
    for row, window in zip(last, windows, strict=True):
        own = np.bincount(window, minlength=SIZE)
        np.testing.assert_allclose(row, [own[UNK] / 7, *(own[SPECIALS:] / 7)], rtol=1e-6)
    assert running_counts(windows[:0], SIZE).shape == (0, 7, columns(SIZE))
