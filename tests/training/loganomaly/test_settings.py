"""Settings round-trip, and wrong ones are refused under LogAnomaly's name."""

from typing import Any

import pytest

from models.errors import ConfigError
from training.loganomaly import LogAnomalySettings


def test_settings_round_trip() -> None:
    settings = LogAnomalySettings(h=7, weight_powers=(0.25,), similarity=0.8)
    assert LogAnomalySettings.from_dict(settings.to_dict()) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="loganomaly has no setting 'window'"):
        LogAnomalySettings.from_dict({"window": 10})


@pytest.mark.parametrize(
    "wrong", [{"count_dropout": 1.0}, {"similarity": 0.0}, {"similarity": 1.5}, {"h": 0}, {"weight_powers": ()}]
)
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"loganomaly.{next(iter(wrong))}"):
        LogAnomalySettings(**wrong)
