"""What is expected at a time of day, and the transform that makes counts comparable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.rate.rhythm import Rhythm, count_of, stabilised, weekend
from tests.golden import rates


def test_mean_follows_the_time_of_day() -> None:
    learned = rates.buckets(14, seed=1)
    rhythm = Rhythm.fit(learned.middle, learned.counts, hours=24, classes=1)
    mean, excess = rhythm.at(learned.middle[: rates.DAY])
    true = rates.expected(rates.FIRST, rates.DAY)
    assert np.abs(mean[:, 0] - true).max() < 0.03 * true.max() + 2
    assert mean[:, 0].max() > 8 * mean[:, 0].min()
    assert excess[:, 0].max() < 0.02


def test_overdispersion_is_found_again() -> None:
    learned = rates.buckets(28, seed=2, spread=0.2)
    rhythm = Rhythm.fit(learned.middle, learned.counts, hours=24, classes=1)
    assert np.median(rhythm.excess[..., 0]) == pytest.approx(0.2, rel=0.25)


def test_weekends_have_a_mean_of_their_own() -> None:
    learned = rates.buckets(14, seed=3)
    free = weekend(learned.middle) == 1
    assert free.sum() == 4 * rates.DAY
    counts = np.where(free[:, None], np.round(learned.counts / 10), learned.counts)
    rhythm = Rhythm.fit(learned.middle, counts, hours=24, classes=2)
    mean, _ = rhythm.at(learned.middle)
    noon = np.arange(len(mean)) % rates.DAY == rates.DAY // 2
    assert mean[noon & ~free, 0].min() > 8 * mean[noon & free, 0].max()


def test_hours_without_a_bucket_are_those_beside_them_or_all() -> None:
    middle = np.array([0.5, 1.5]) * 3600.0
    counts = np.array([[4.0], [8.0]])
    mean = Rhythm.fit(middle, counts, hours=24, classes=2).mean[..., 0]
    assert np.allclose(mean[0, 0], (2 * 4 + 8) / 3)
    assert np.allclose(mean[0, 2], 8)
    assert np.allclose(mean[0, 12], 6)
    assert np.allclose(mean[1], mean[0])


@given(st.floats(0, 1e9), st.floats(0, 10))
def test_transform_has_an_inverse(count: float, excess: float) -> None:
    of = np.array([count])
    assert count_of(stabilised(of, np.array([excess])), np.array([excess]))[0] == pytest.approx(
        count, rel=1e-6, abs=1e-6
    )


@pytest.mark.parametrize(("mean", "excess"), [(10.0, 0.0), (1000.0, 0.0), (100.0, 0.1), (1000.0, 0.3)])
def test_deviations_have_about_the_spread_of_a_normal_one(mean: float, excess: float) -> None:
    random = np.random.default_rng(4)
    level = mean * random.gamma(1 / excess, excess, 50_000) if excess else mean
    counts = random.poisson(level, 50_000).astype(np.float64)
    away = stabilised(counts, np.full(50_000, excess)) - stabilised(np.array([mean]), np.array([excess]))
    assert away.std() == pytest.approx(1.0, abs=0.1)
    assert abs(away.mean()) < 0.35


def test_six_digits_come_back() -> None:
    learned = rates.buckets(3, seed=5)
    rhythm = Rhythm.fit(learned.middle, learned.counts, hours=24, classes=1)
    again = Rhythm.from_dict(rhythm.to_dict())
    assert np.allclose(again.mean, rhythm.mean, rtol=1e-5)
    assert np.allclose(again.excess, rhythm.excess, rtol=1e-5)


@pytest.mark.parametrize(
    "state", [{"mean": [[[1.0]]], "excess": [[[1.0, 2.0]]]}, {"mean": [[[-1.0]]], "excess": [[[0.0]]]}]
)
def test_what_is_no_rhythm_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="rhythm"):
        Rhythm.from_dict(state)
