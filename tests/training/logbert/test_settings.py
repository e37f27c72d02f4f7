"""Settings round-trip, and wrong ones are refused by name."""

from typing import Any

import pytest

from models.errors import ConfigError
from training.logbert import LogBERTSettings


def test_settings_round_trip() -> None:
    settings = LogBERTSettings(width=32, end=False, g=4)
    assert LogBERTSettings.from_dict(settings.to_dict()) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'window'"):
        LogBERTSettings.from_dict({"window": 10})


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0}, {"width": 66}, {"width": 9, "heads": 3}, {"layers": 0}, {"groups": 1}, {"cut": 1.0},
        {"unk_dropout": -0.1}, {"alpha": float("nan")}, {"weight_power": -1.0}, {"epochs": 0}, {"rows": 0},
        {"tokens": 0}, {"patience": 0}, {"batch": 0}, {"learning_rate": float("nan")}, {"g": 0},
        {"false_alarm_rate": 0.0}, {"folds": 1}, {"threads": 0}, {"min_sessions": 5},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    name = "folds" if "min_sessions" in wrong else next(iter(wrong))
    with pytest.raises(ConfigError, match=f"logbert.{name}"):
        LogBERTSettings(**wrong)
