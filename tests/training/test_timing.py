"""The timing detector fitted: held out by folds, no times no fit, reproducible."""

import numpy as np
import orjson
import polars as pl
import pytest

from models.baselines.timing import Timing
from models.errors import DataError
from models.record import Records
from models.source.config import DrainSettings
from models.template.tree import TemplateTree
from training.corpus import CutSession
from training.member import Corpus
from training.timing import LEAST_SESSIONS, fit_timing


def corpus(number: int, seed: int, *, slow: int | None = None) -> Corpus:
    """Sessions of three events with pauses of 1 to 2 seconds; ``slow``: one that pauses for a minute."""
    random = np.random.default_rng(seed)
    sessions = []
    for at in range(number):
        pauses = random.uniform(1.0, 2.0, 3)
        pauses[1] = 60.0 if at == slow else pauses[1]
        times = 1e9 + np.cumsum(pauses)
        sessions.append(CutSession(str(at), np.array([1, 2, 3]), times[0], times[-1], times, np.zeros(3, np.int64)))
    nothing = pl.Series([], dtype=pl.String)
    empty = np.empty(0, dtype=np.int64)
    records = Records(empty, nothing, nothing, np.empty(0), pl.DataFrame(), empty, nothing, [])
    return Corpus(sessions, records=records, tree=TemplateTree(DrainSettings(), "none"))


def test_a_session_is_judged_by_the_others() -> None:
    fitted = fit_timing(corpus(60, 1, slow=7), seed=0)
    assert fitted.raws[7] > 25.0
    assert np.delete(fitted.raws, 7).max() < 1.0
    assert fitted.name == "timing"


def test_the_detector_has_seen_all_sessions() -> None:
    fitted = fit_timing(corpus(60, 1, slow=7), seed=0)
    timing = Timing.from_dict(orjson.loads(fitted.files["timing.json"]))
    assert timing.explain(1, 2, 60.0)["normal"][1] == pytest.approx(60.0)
    assert fitted.settings["pairs"] == 2
    assert fitted.threshold > np.sort(fitted.raws)[-1]


def test_the_same_seed_gives_the_same_member() -> None:
    first, second = fit_timing(corpus(60, 1), seed=3), fit_timing(corpus(60, 1), seed=3)
    np.testing.assert_array_equal(first.raws, second.raws)
    assert first.files == second.files


def test_too_few_sessions_and_keys_alone_are_refused() -> None:
    with pytest.raises(DataError, match=str(LEAST_SESSIONS)):
        fit_timing(corpus(LEAST_SESSIONS - 1, 1), seed=0)
    with pytest.raises(DataError, match="times"):
        fit_timing(Corpus.of_keys([np.array([1, 2])] * 60), seed=0)
