"""Settings, normal ranges and histories of the parameter-value model."""

from typing import Any

import numpy as np
import pytest

from models.deeplog_values.layout import Position
from models.errors import ConfigError
from models.sessions import Float64
from training.corpus import CutSession
from training.deeplog_values import DeepLogValuesSettings
from training.deeplog_values.allocation import Candidates, Off, candidates, spend
from training.deeplog_values.occurrences import elapsed_of, histories, occurrences
from training.deeplog_values.planted import SIZES, faults
from training.deeplog_values.ranges import LEAST_REACH, reaches


@pytest.mark.parametrize(
    "wrong",
    [
        {"h": 0}, {"confidence": 1.0}, {"validation": 0.0}, {"rule": "odd"}, {"learning_rate": 0.0}, {"steps": 0},
        {"weight_decay": -1.0}, {"min_sessions": 1}, {"numeric": 1.5},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DeepLogValuesSettings(**wrong)


def test_settings_are_read_back_and_unknown_ones_refused() -> None:
    settings = DeepLogValuesSettings(h=3, rule="gaussian")
    assert DeepLogValuesSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ConfigError, match="no setting 'depth'"):
        DeepLogValuesSettings.from_dict({"depth": 3})


def reach(deviations: Float64, share: float) -> float:
    return float(reaches(deviations, np.array([share]))[0])


@pytest.mark.parametrize("draw", ["normal", "exponential", "lognormal"])
@pytest.mark.parametrize("samples", [50, 400, 5000])
def test_the_share_beyond_reach_is_about_what_was_asked(draw: str, samples: int) -> None:
    random = np.random.default_rng(3)
    new = np.abs(getattr(random, draw)(size=200_000))
    beyond = [float((new > reach(np.abs(getattr(random, draw)(size=samples)), 0.01)).mean()) for _ in range(100)]
    # The tail of a lognormal is heavier than an exponential one: from 50 samples it is underestimated.
    assert 0.004 < np.mean(beyond) < 0.025


def test_reach_needs_few_samples_and_is_never_nothing() -> None:
    assert reach(np.zeros(1), 0.01) > LEAST_REACH
    assert reach(np.zeros(10_000), 0.01) == LEAST_REACH
    assert reach(np.array([1.0, 2.0]), 0.001) > reach(np.array([1.0, 2.0]), 0.01) > 2.0


def test_all_shares_are_read_as_each_one_is() -> None:
    deviations = np.random.default_rng(5).exponential(size=300)
    shares = np.array([1e-4, 0.005, 0.03, 0.2])
    assert reaches(deviations, shares).tolist() == [reach(deviations, share) for share in shares.tolist()]
    assert (np.diff(reaches(deviations, shares)) < 0.0).all()


def off(deviations: Float64) -> Off:
    return Off(deviations, deviations, np.zeros(len(deviations), dtype=np.bool_))


def number(spread: float, tail: float, seed: int) -> tuple[Candidates, Float64]:
    """A number of which one value in fifty lies far out, half of all lines have it, and its deviations."""
    random = np.random.default_rng(seed)
    deviations = random.normal(0.0, spread, 4000)
    deviations[::50] += tail
    return candidates(off(deviations), off(deviations[:500] + 4.0), 0.5), deviations


def test_false_alarms_are_spent_where_they_catch_most() -> None:
    given = [number(1.0, 0.0, seed=1), number(1.0, 60.0, seed=2)]
    rates = np.array([0.01, 0.001])
    limits = spend([one for one, _ in given], rates)
    beyond = np.array([[(d >= level).mean() for level in own[0]] for own, (_, d) in zip(limits, given, strict=True)])
    # Both together keep to the rate; the number with the tail would eat it all if it were limited as close.
    assert 0.5 * beyond[:, 0].sum() <= 0.012
    assert 0.5 * beyond[:, 1].sum() <= 0.0015
    assert limits[0, 0, 0] < 4.0 < limits[1, 0, 0]
    assert (np.diff(limits, axis=2) >= 0.0).all()


def test_without_faults_to_catch_a_limit_costs_next_to_nothing() -> None:
    deviations = np.random.default_rng(6).normal(size=2000)
    given = candidates(off(deviations), Off.none(), 1.0)
    assert spend([given], np.array([0.01]))[0, 0, 0] > deviations.max()


def test_a_pause_that_never_varies_is_limited_by_its_own_spread_and_not_by_the_clocks_tick() -> None:
    deviations = np.random.default_rng(7).normal(0.0, 0.05, 60)
    by_tick, own = (candidates(off(deviations), Off.none(), 1.0, spread).limits[0, 0] for spread in (1.0, 0.05))
    assert own == LEAST_REACH < by_tick


def test_faults_are_as_large_as_what_is_logged_varies() -> None:
    values, nothing = np.full(4, 100.0), off(np.zeros(4))
    plain, log = Position("NUM", 1, 0, 9, mean=100.0, std=5.0), Position("NUM", 1, 0, 9, mean=0.0, std=0.5, unit=100.0)
    random = np.random.default_rng(0)
    assert sorted(set(faults(plain, values, nothing, 10.0, 0, random).prediction)) == pytest.approx(
        [2.0 * size for size in SIZES]
    )
    moved = faults(log, values, nothing, 10.0, 1, random).mean
    assert sorted(set(moved)) == pytest.approx([np.log((200.0 + 10.0 * size) / 200.0) / 0.5 for size in SIZES])
    # What is never below zero and long-tailed fails by too much.
    assert len(faults(log, values, nothing, 10.0, 0, random).mean) == 0


def session(keys: list[int], times: list[float]) -> CutSession:
    return CutSession("s", np.array(keys), times[0], times[-1], np.array(times), np.arange(len(keys)))


def test_pauses_are_since_the_latest_event_before() -> None:
    assert np.isnan(elapsed_of(np.array([5.0]))[0])
    np.testing.assert_allclose(elapsed_of(np.array([5.0, 7.0, 6.0, 7.5]))[1:], [2.0, 0.0, 0.5])


def test_histories_stay_inside_session_and_template() -> None:
    given = occurrences([session([1, 2, 1, 1], [0.0, 1.0, 2.0, 3.0]), session([1, 2], [0.0, 1.0])])
    assert given.key.tolist() == [1, 1, 1, 2, 1, 2]
    assert given.earlier.tolist() == [0, 1, 2, 0, 0, 0]
    values = np.arange(6.0)[:, None]
    found = histories(given, values, np.arange(6), 2)[:, :, 0]
    none = [np.nan, np.nan]
    np.testing.assert_array_equal(found, [none, [np.nan, 0.0], [0.0, 1.0], none, none, none])


def test_no_sessions_have_no_occurrences() -> None:
    assert len(occurrences([])) == 0
