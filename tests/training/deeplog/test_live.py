"""Teaching DeepLog beside live traffic: what was quiet there stays quiet, though training never saw it."""

from dataclasses import replace

import numpy as np

from tests.training.deeplog.test_teach import FRESH, KNOWN, H, after, part_of, raws, seen, teach
from training.learning.teaching import Live, Taught


def test_no_window_of_live_traffic_comes_to_ring() -> None:
    """Sequences that training did not see: some of them ring by what was learned, unless they are rehearsed."""
    part, random = part_of(), np.random.default_rng(2)
    rows = np.unique(random.integers(1, 8, (1500, H + 1)), axis=0)
    windows = [seen(row[:H], row[H]) for row in rows.tolist()]
    before = raws(part, windows) < part.bar
    taught = [Taught(KNOWN, True), Taught(FRESH, True)]
    anew = before & (raws(after(part, teach(part, taught)), windows) >= part.bar)
    assert anew.any()
    shown = rows[anew | (before & (np.arange(len(rows)) % 4 == 0))]
    learned = teach(replace(part, live=Live(shown[:, :H], shown[:, H])), taught)
    now = raws(after(part, learned), [seen(row[:H], row[H]) for row in shown.tolist()])
    assert (now < part.bar).all()
    assert (raws(after(part, learned), [KNOWN, FRESH]) < part.bar).any()
    assert learned is not None
    assert learned.told["rehearsed_live"] == len(shown)


def test_live_traffic_of_fewer_keys_than_are_read_is_not_rehearsed() -> None:
    live = Live(np.array([[1, 2]]), np.array([3]))
    learned = teach(replace(part_of(), live=live), [Taught(KNOWN, True)])
    assert learned is not None
    assert learned.told["rehearsed_live"] == 0
