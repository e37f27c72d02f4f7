"""What pictures show: densities that hold every session, curves that agree with counts by hand."""

import numpy as np
import pytest

from training.metrics import confusion
from training.results.shapes import ENTITIES, by_entity, density, precision_recall, shapes

ACTUAL = np.array([False] * 6 + [True] * 4)
RAW = np.array([-np.inf, 0.0, 1.0, 1.0, 2.0, np.nan, 2.0, 3.0, np.inf, 1.0])


def test_density_holds_every_session_whatever_its_output() -> None:
    found = density(RAW, ACTUAL, 2.0)
    assert sum(found["normal"]) == pytest.approx(1.0)
    assert sum(found["anomalous"]) == pytest.approx(1.0)
    assert found["normal"][0] == pytest.approx(3 / 6)  # -inf, 0 and NaN
    assert found["anomalous"][-1] == pytest.approx(2 / 4)  # 3 and inf
    assert found["threshold"] == 2.0
    assert np.all(np.diff(found["edges"]) > 0)


@pytest.mark.parametrize("raw", [np.full(10, -np.inf), np.zeros(10), np.full(10, np.nan), np.full(10, 1e300)])
def test_density_of_outputs_that_are_all_alike(raw: np.ndarray) -> None:
    found = density(raw, ACTUAL, np.inf)
    assert found["threshold"] is None
    assert sum(found["normal"]) == pytest.approx(1.0)
    assert np.all(np.isfinite(found["edges"]))


def test_outputs_of_many_sizes_are_binned_on_an_asinh_scale() -> None:
    random = np.random.default_rng(0)
    heavy = random.lognormal(0.0, 4.0, 500)
    assert density(heavy, np.zeros(500, dtype=bool))["width"] == pytest.approx(np.median(heavy))
    assert density(random.normal(size=500), np.zeros(500, dtype=bool))["width"] is None


def test_precision_and_recall_at_the_threshold_are_those_of_the_counts() -> None:
    found = precision_recall(RAW, ACTUAL, 2.0)
    counts = confusion(RAW >= 2.0, ACTUAL)
    assert found is not None
    assert found["at"] == pytest.approx([counts.recall, counts.precision])
    assert found["recall"][-1] == 1.0
    assert found["precision"][-1] == pytest.approx(0.4)
    assert found["recall"] == sorted(found["recall"])
    corrected = precision_recall(RAW, ACTUAL, 2.0, prevalence=0.03)
    assert corrected is not None
    assert corrected["at"] == pytest.approx([counts.recall, counts.precision_at(0.03)])


def test_one_class_has_no_curve() -> None:
    assert precision_recall(RAW, np.zeros(10, dtype=bool)) is None
    found = shapes({"length": RAW}, np.zeros(10, dtype=bool), {})
    assert found["precision_recall"] == {}
    assert sum(found["density"]["length"]["anomalous"]) == 0.0


def test_long_curves_are_thinned() -> None:
    random = np.random.default_rng(1)
    actual = random.random(5000) < 0.3
    found = precision_recall(random.normal(size=5000) + actual, actual)
    assert found is not None
    assert len(found["recall"]) <= 42


def test_an_entity_is_shown_over_the_timeframes_in_which_it_writes() -> None:
    actual = np.array([False, False, False, True])
    active = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=np.bool_)
    errors = np.array([[0.1, 2.0, 9.0], [0.2, 2.0, 9.0], [9.0, 3.0, 9.0], [7.0, 9.0, 9.0]])
    found = by_entity(errors, active, actual, ["a", "b", "c"])
    # The one that writes in an anomalous timeframe first, and none that never writes.
    assert list(found) == ["a", "b"]
    assert found["a"]["edges"][-1] < 9.0
    assert (sum(found["a"]["normal"]), sum(found["a"]["anomalous"])) == (pytest.approx(1.0), 1.0)
    assert sum(found["b"]["anomalous"]) == 0.0
    many = np.ones((4, 40), dtype=np.bool_)
    assert len(by_entity(np.ones((4, 40)), many, actual, [str(at) for at in range(40)])) == ENTITIES
