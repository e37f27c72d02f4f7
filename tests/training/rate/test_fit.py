"""What is learned of how much log, and what is refused."""

import numpy as np
import pytest

from models.errors import ConfigError, DataError
from models.rate.judge import Episodes, RateJudge
from tests.golden import rates
from training.rate import RateSettings, fit_counts
from training.rate.buckets import buckets_of


def test_too_few_buckets_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"at least 36 whole buckets of 300 s in a row, got 24; train on a longer log"):
        fit_counts(rates.buckets(24 / rates.DAY, seed=1), RateSettings())


@pytest.mark.parametrize(
    ("days", "rhythm"), [(0.5, "flat"), (1.5, "flat"), (2, "daily"), (6, "daily"), (14, "weekdays and weekends")]
)
def test_rhythm_is_as_fine_as_the_log_is_long(days: float, rhythm: str) -> None:
    fitted = fit_counts(rates.buckets(days, seed=2), RateSettings())
    assert fitted.settings["rhythm"] == rhythm
    assert len(fitted.files["rate.json"]) < 100_000


def test_flat_rate_rings_where_nothing_comes_and_not_in_a_night_that_it_has_not_seen() -> None:
    first = rates.FIRST + 12 * 12
    judge = RateJudge.load(fit_counts(rates.buckets(0.25, seed=3, first=first), RateSettings()).files)
    later = rates.buckets(1, seed=4)
    assert judge.judge("s", rates.frames(later), Episodes(), str)[0].findings == []
    silent = rates.changed(later, 180, 183, 0.0)
    assert len(judge.judge("s", rates.frames(silent), Episodes(), str)[0].findings) == 3


def test_fewer_alarms_aimed_at_are_wider_bounds() -> None:
    given = rates.buckets(7, seed=5)
    often, seldom = (
        fit_counts(given, RateSettings(alarms_per_week=rate)).settings["thresholds"] for rate in (10.0, 0.1)
    )
    for name in ("source", "templates"):
        for direction in ("burst", "quiet"):
            assert seldom[name][direction] > often[name][direction] > 2.0


def test_buckets_are_whole_and_of_the_run_with_most_lines() -> None:
    time = np.concatenate([[5.0], 1e9 + np.arange(0.0, 3_000.0), [4e9]])
    ids = np.concatenate([[9], np.arange(3_000) % 4 // 2 * 7, [9]])
    found = buckets_of(time, ids, 300.0, 1, 1_000)
    assert (found.first, len(found)) == (int(1e9 // 300) + 1, 9)
    assert (found.keys, found.counts.tolist()) == ((0,), [[300.0, 150.0, 150.0]] * 9)
    newest = buckets_of(time, ids, 300.0, 5, 4)
    assert (newest.first, len(newest), newest.keys) == (found.first + 5, 4, (0, 7))


def test_templates_that_nothing_matched_are_of_the_rest_and_no_line_is_no_bucket() -> None:
    found = buckets_of(np.arange(0.0, 1_200.0), np.full(1_200, -1), 300.0, 5, 100)
    assert (found.keys, found.counts.tolist()) == ((), [[300.0, 300.0]] * 2)
    assert len(buckets_of(np.empty(0), np.empty(0, dtype=np.int64), 300.0, 5, 100)) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bucket_s": 0.0}, "rate.bucket_s is 0.0"),
        ({"bucket_s": float("nan")}, "rate.bucket_s is nan"),
        ({"alarms_per_week": 0.0}, "rate.alarms_per_week"),
        ({"templates": -1}, "rate.templates"),
        ({"min_buckets": 1}, "rate.min_buckets"),
        ({"max_days": 0.0}, "rate.max_days"),
        ({"bucket": 1.0}, "rate has no setting 'bucket'; its settings: bucket_s"),
        ({"bucket_s": "x"}, "no number"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RateSettings.from_dict(given)


def test_settings_come_back() -> None:
    settings = RateSettings(bucket_s=60.0, templates=5)
    assert RateSettings.from_dict(settings.to_dict()) == settings
