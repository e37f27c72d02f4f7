"""Settings round-trip, and wrong ones are refused by name."""

from typing import Any

import pytest

from models.errors import ConfigError
from training.loglstm import LogLSTMSettings


def test_settings_round_trip() -> None:
    settings = LogLSTMSettings(length=7, negatives=5)
    assert LogLSTMSettings.from_dict(settings.to_dict()) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'window'"):
        LogLSTMSettings.from_dict({"window": 10})


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 1}, {"embedding": 0}, {"context": 0}, {"hidden": 0}, {"negatives": 0}, {"epochs": 0}, {"steps": 0},
        {"batch": 0}, {"threads": 0}, {"vector_steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")},
        {"weight_power": -1.0}, {"unk_dropout": 1.0}, {"folds": 1}, {"min_sessions": 5},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"loglstm.{next(iter(wrong))}"):
        LogLSTMSettings(**wrong)
