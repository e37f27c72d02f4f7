import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import COARSE, EXACT, Calibration
from models.errors import DataError

RAWS = st.lists(st.floats(allow_nan=False), min_size=1, max_size=50)


@given(RAWS, st.floats(allow_nan=False))
def test_tail_counts_the_normals_at_least_as_strange(normals: list[float], raw: float) -> None:
    clipped = np.nan_to_num(np.array(normals))
    expected = (1 + np.sum(clipped >= np.nan_to_num(raw))) / (len(normals) + 1)

    assert float(Calibration.fit(normals).tail(raw)) == pytest.approx(expected)


@given(RAWS, st.floats(allow_nan=False))
def test_score_is_the_share_of_normals_less_strange(normals: list[float], raw: float) -> None:
    clipped = np.nan_to_num(np.array(normals))

    assert float(Calibration.fit(normals).score(raw)) == pytest.approx(float(np.mean(clipped < np.nan_to_num(raw))))


@given(RAWS, st.floats())
def test_one_raw_output_is_told_as_among_many(normals: list[float], raw: float) -> None:
    calibration = Calibration.fit(normals)
    for one in (raw, *normals):
        assert calibration.of_one(one) == (float(calibration.tail(one)), float(calibration.score(one)))


@given(RAWS, st.lists(st.floats(), min_size=1))
def test_it_survives_json_unchanged(normals: list[float], raws: list[float]) -> None:
    calibration = Calibration.fit(normals)
    restored = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False)))

    assert restored.tail(raws).tolist() == calibration.tail(raws).tolist()
    assert restored.score(raws).tolist() == calibration.score(raws).tolist()


def test_bar_is_where_the_tail_gets_small_enough() -> None:
    calibration = Calibration.fit([0.0] * 95 + [0.5] * 4 + [0.9])

    assert calibration.tail([0.0, 0.1, 0.5, 0.6]).tolist() == pytest.approx([1.0, 6 / 101, 6 / 101, 2 / 101])
    assert 0.0 < calibration.bar(0.06) < 1e-300
    assert 0.5 < calibration.bar(0.05) < 0.5 + 1e-9
    assert 0.9 < calibration.bar(0.01) < 0.9 + 1e-9


def test_no_judgement_is_neither_strange_nor_above_anybody() -> None:
    calibration = Calibration.fit([1.0, 2.0, float("nan")])

    assert calibration.size == 2
    assert (float(calibration.tail(np.nan)), float(calibration.score(np.nan))) == (1.0, 0.0)


def test_infinite_outputs_are_the_strangest_and_the_least_strange() -> None:
    calibration = Calibration.fit([1.0, np.inf, 3.0])

    assert calibration.tail([-np.inf, 3.0, np.inf]).tolist() == [1.0, 0.75, 0.5]


def test_many_values_are_kept_small_and_never_make_a_normal_rarer() -> None:
    normals = np.random.default_rng(3).normal(size=50_000)
    small = Calibration.fit(normals)
    ordered = np.sort(normals)
    exact = (1 + len(ordered) - np.searchsorted(ordered, ordered)) / (len(ordered) + 1)
    tails = small.tail(ordered)

    assert len(small.to_dict()["values"]) == EXACT + COARSE
    assert small.size == len(normals)
    assert np.all(tails >= exact - 1e-12)
    assert np.max(tails - exact) < 1.1 / COARSE
    assert tails[-EXACT:].tolist() == pytest.approx(exact[-EXACT:].tolist())


def test_a_calibration_on_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="hold out at least one session"):
        Calibration.fit([float("nan")])
