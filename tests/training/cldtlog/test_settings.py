"""Settings round-trip, and wrong ones are refused by name."""

from typing import Any

import pytest

from models.errors import ConfigError
from training.cldtlog import CLDTLogSettings


def test_settings_round_trip() -> None:
    settings = CLDTLogSettings(alpha=0.5, encoder="bert-base-uncased", folds=5)
    assert CLDTLogSettings.from_dict(settings.to_dict()) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'window'"):
        CLDTLogSettings.from_dict({"window": 5})


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0}, {"epochs": 0}, {"steps": 0}, {"margin": -1.0}, {"gamma": float("nan")}, {"alpha": 1.1},
        {"anomalous_share": 0.0}, {"anomalous_share": 1.0}, {"false_alarm_rate": 0.0}, {"trained_share": 0.0},
        {"trained_share": 1.5}, {"learning_rate": 0.0}, {"folds": 1}, {"encoder": ""}, {"weight_power": -0.5},
        {"max_texts": 0}, {"exemplars": 0}, {"threads": 0},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"cldtlog.{next(iter(wrong))}"):
        CLDTLogSettings(**wrong)


def test_a_fold_must_be_able_to_hold_each_class() -> None:
    with pytest.raises(ConfigError, match="folds must be"):
        CLDTLogSettings(folds=20)
