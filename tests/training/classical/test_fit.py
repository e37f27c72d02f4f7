"""What holds for every classical detector."""

import numpy as np
import pytest

from models.errors import DataError
from training.classical import CLASSICAL, fit_classical, isolation_forest
from training.member import alone, folds

Counts = dict[int, int]


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation_forest, "TREES", 20)


def normal(number: int = 120, seed: int = 0) -> list[Counts]:
    """Files opened (1) and closed (2), either all read (3, 5) or all written (4, 6)."""
    rng = np.random.default_rng(seed)
    return [
        {1: files, 2: files, 3 + files % 2: files, 5 + files % 2: files}
        for files in rng.integers(1, 5, number).tolist()
    ]


STRANGE = {1: 9, 3: 7, 6: 8}
UNSEEN = {1: 2, 2: 2, 3: 2, 5: 2, 77: 6}


@pytest.mark.parametrize("name", CLASSICAL)
def test_strange_and_unseen_mixes_are_stranger_than_nearly_all_normals(name: str) -> None:
    detector = CLASSICAL[name](normal(), 0)
    usual = np.quantile(detector.score(normal(60, seed=1)), 0.9)
    strange, unseen = detector.score([STRANGE, UNSEEN])

    assert detector.name == name
    assert strange > usual
    assert unseen > usual
    assert unseen >= detector.published


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_seed_gives_the_same_outputs_and_scoring_changes_none(name: str) -> None:
    sessions = [*normal(20, seed=2), STRANGE, UNSEEN]
    detector = CLASSICAL[name](normal(), 4)
    first = detector.score(sessions)

    assert first.dtype == np.float64
    assert first.tolist() == detector.score(sessions).tolist()
    assert first.tolist() == CLASSICAL[name](normal(), 4).score(sessions).tolist()
    assert detector.score(sessions[::-1])[::-1].tolist() == pytest.approx(first.tolist(), abs=1e-9)


@pytest.mark.parametrize("name", CLASSICAL)
def test_every_input_has_a_finite_answer(name: str) -> None:
    detector = CLASSICAL[name](normal(), 0)

    assert np.isfinite(detector.score([{}, {-1: 1}, {1: 10**12}, {2**62: 3}])).all()
    assert detector.score([]).tolist() == []


@pytest.mark.parametrize("name", CLASSICAL)
def test_sessions_that_are_all_the_same_can_be_learned(name: str) -> None:
    detector = CLASSICAL[name]([{1: 1, 2: 3}] * 30, 0)
    same, other = detector.score([{1: 1, 2: 3}, {1: 40, 8: 2}])

    assert same < detector.published
    assert same < other


@pytest.mark.parametrize("name", CLASSICAL)
def test_held_out_outputs_are_those_of_fits_without_the_session(name: str) -> None:
    sessions = normal(60)
    fitted = fit_classical(name, sessions, seed=5)
    expected = np.full(len(sessions), np.nan)
    for fit, test in folds(len(sessions), 5, 5):
        expected[test] = CLASSICAL[name]([sessions[i] for i in fit], 5).score([sessions[i] for i in test])

    assert fitted.raws.tolist() == expected.tolist()
    assert fitted.threshold == alone(expected)
    assert fitted.detector.score(sessions[:9]).tolist() == CLASSICAL[name](sessions, 5).score(sessions[:9]).tolist()


def test_unknown_names_and_too_little_data_are_refused() -> None:
    with pytest.raises(DataError, match="no classical detector 'svm'"):
        fit_classical("svm", normal(), 0)
    with pytest.raises(DataError, match="pca needs at least 5"):
        fit_classical("pca", normal(4), 0)
