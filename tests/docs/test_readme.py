"""README's tables against the code: a setting, metric, call or command that is not documented fails here."""

import re
from pathlib import Path

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from service.access import own
from service.api.app import ROUTERS
from service.cli.app import app
from service.demo.stated import STATED
from service.metrics import Metrics
from service.settings import Settings

CLIENTS = {own.KEY, own.KEY_FILE, own.CA_FILE, own.CERTIFICATE}
README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `TOCSIN_{name.upper()}` \| (.*?) \|", README, re.MULTILINE)
        assert row, f"README has no row for TOCSIN_{name.upper()}"
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert float(row.group(1).strip("`")) == field.default, name


def test_every_metric_is_documented() -> None:
    for metric in Metrics(CollectorRegistry()).registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert f"| `{name}` | {metric.type} |" in README, f"README has no row for {name}"


def test_every_call_is_documented() -> None:
    for module in ROUTERS:
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                assert f"| `{method} {route.path}` |" in README, f"README has no row for {method} {route.path}"


def test_every_command_is_documented() -> None:
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert len(names) >= 8
    for name in names:
        assert f"| `tocsin {name}` |" in README, f"README has no row for tocsin {name}"


def test_documented_metrics_and_settings_exist() -> None:
    metrics = {metric.name for metric in Metrics(CollectorRegistry()).registry.collect()}
    for name in re.findall(r"^\| `(tocsin_[a-z_]+)` \|", README, re.MULTILINE):
        assert name.removesuffix("_total") in metrics, name
    settings = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields} | CLIENTS | {"TOCSIN_DATASETS_DIR"}
    for name in re.findall(r"^\| `(TOCSIN_[A-Z_]+)` \|", README, re.MULTILINE):
        assert name in settings, name


def test_stated_figures_are_those_that_the_demo_holds() -> None:
    stated = re.search(r"recall at least ([0-9.]+), all (\d+) kinds, at most (\d+) false alarms", README)
    assert stated
    assert (float(stated.group(1)), int(stated.group(2)), int(stated.group(3))) == (
        STATED.recall,
        STATED.kinds,
        STATED.false_alarms,
    )
