"""Lines by bucket and template."""

import numpy as np

from models.autolog.frames import FrameCounter
from models.rate.counting import matrix, tally


def test_buckets_hold_what_came_in_them_however_it_was_cut() -> None:
    random = np.random.default_rng(0)
    time = 1e9 + np.sort(random.uniform(0, 3_000, 500))
    ids = random.integers(0, 6, 500)
    whole, parts = FrameCounter(300.0), FrameCounter(300.0)
    whole.count(tally(time, ids, 300.0, -np.inf, 60.0))
    for start in range(0, 500, 37):
        prior = time[start - 1] if start else -np.inf
        parts.count(tally(time[start : start + 37], ids[start : start + 37], 300.0, prior, 60.0))
    frames = whole.close_all()
    assert frames == parts.close_all()
    counts = matrix(frames, [3, 1])
    assert counts.sum(axis=0).tolist() == [500, (ids == 3).sum(), (ids == 1).sum(), (~np.isin(ids, [1, 3])).sum()]
    assert counts[0, 0] == (np.floor(time / 300) == np.floor(time[0] / 300)).sum()


def test_late_lines_are_in_none() -> None:
    found = tally(np.array([1000.0, 100.0, 1001.0]), np.array([1, 1, 2]), 300.0, -np.inf, 60.0)
    assert (found.late, [(g.chunk, g.lines, g.terms) for g in found.groups]) == (1, [(3, 2, ["1", "2"])])
    assert tally(np.array([100.0]), np.array([1]), 300.0, 1000.0, 60.0).groups == []
