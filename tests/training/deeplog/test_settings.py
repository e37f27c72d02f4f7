"""Settings round-trip, and wrong ones are refused by name."""

from typing import Any

import pytest

from models.errors import ConfigError
from training.deeplog import DeepLogSettings


def test_settings_round_trip() -> None:
    settings = DeepLogSettings(h=7, weight_powers=(0.25,), g=4)
    assert DeepLogSettings.from_dict(settings.to_dict()) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'window'"):
        DeepLogSettings.from_dict({"window": 10})


@pytest.mark.parametrize(
    "wrong",
    [
        {"h": 0}, {"g": 0}, {"unk_dropout": 1.0}, {"learning_rate": 0.0}, {"false_alarm_rate": 0.0},
        {"folds": 1, "screened": 1},
        {"weight_powers": ()}, {"weight_powers": (-1.0,)}, {"min_sessions": 9}, {"screened": 6}, {"threads": 0},
        {"rule": "top"},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"deeplog.{next(iter(wrong))}"):
        DeepLogSettings(**wrong)
