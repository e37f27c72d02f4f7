"""Settings round-trip, and wrong ones are refused by name."""

import json
from typing import Any

import pytest

from models.errors import ConfigError
from training.keyvalue import KeyValueSettings


@pytest.mark.parametrize("settings", [KeyValueSettings(), KeyValueSettings(length=7, fields=("pid",), excluded=())])
def test_settings_round_trip(settings: KeyValueSettings) -> None:
    assert KeyValueSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'window'"):
        KeyValueSettings.from_dict({"window": 10})


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 1}, {"fields": ()}, {"fields": ("a", "a")}, {"max_values": 0}, {"max_values": 65_535},
        {"value_sessions": 0}, {"embedding": 0}, {"hidden": 0}, {"layers": 0}, {"pos_weight": 0.0},
        {"weight_power": -1.0}, {"epochs": 0}, {"steps": 0}, {"batch": 0}, {"learning_rate": float("nan")},
        {"unk_dropout": 1.0}, {"events": 0}, {"folds": 1}, {"threads": 0}, {"min_sessions": 5}, {"min_anomalous": 0},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"keyvalue.{next(iter(wrong))}"):
        KeyValueSettings(**wrong)
