"""Prometheus' rules do what they say, and rules and dashboard ask only for metrics that the service has."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from service.metrics import Metrics

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
}
# A recorded series has a colon in its name, the service's own have none.
_NAME = re.compile(r"\b(?:[a-z_]+:)?tocsin_[a-z0-9_]+(?::[a-z0-9_]+)?")


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """Names of the series that the service exposes."""
    families = Metrics(CollectorRegistry()).registry.collect()
    return {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]}


@pytest.fixture(scope="module")
def rules(root: Path) -> list[dict[str, Any]]:
    """Every recording and alerting rule."""
    loaded = yaml.safe_load((root / "docker/prometheus/rules.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def recorded(rules: list[dict[str, Any]]) -> set[str]:
    """Names of the series that the recording rules make."""
    return {rule["record"] for rule in rules if "record" in rule}


def _check_by_promtool(program: str, root: Path, *arguments: str) -> None:
    done = subprocess.run(
        [program, *arguments], cwd=root / "docker/prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_configuration_and_rules(root: Path, require_program: Callable[[str], str]) -> None:
    _check_by_promtool(require_program("promtool"), root, "check", "config", "prometheus.yml")


def test_rules_give_the_expected_series_and_alerts(root: Path, require_program: Callable[[str], str]) -> None:
    _check_by_promtool(require_program("promtool"), root, "test", "rules", "rules_test.yml")


def test_every_rule_is_tested(root: Path, rules: list[dict[str, Any]]) -> None:
    tested = (root / "docker/prometheus/rules_test.yml").read_text()
    untested = {
        rule.get("record") or rule["alert"] for rule in rules if (rule.get("record") or rule["alert"]) not in tested
    }
    assert untested == {"source:tocsin_rejected:share5m"}, "tested through TocsinRejectedLines"


def test_rules_ask_for_metrics_that_exist(rules: list[dict[str, Any]], exposed: set[str], recorded: set[str]) -> None:
    asked = {name for rule in rules for name in _NAME.findall(rule["expr"])}
    assert asked
    assert asked <= exposed | recorded


def test_dashboard_asks_for_metrics_that_exist(
    dashboard: dict[str, Any], exposed: set[str], recorded: set[str]
) -> None:
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += [variable["definition"] for variable in dashboard["templating"]["list"]]
    asked = {name for expression in expressions for name in _NAME.findall(expression)}
    assert asked <= exposed | recorded


def test_dashboards_show_what_an_operator_needs(root: Path) -> None:
    files = sorted((root / "docker/grafana/dashboards").glob("*.json"))
    assert [path.stem for path in files] == ["models", "overview", "storage"]
    panels = [panel for path in files for panel in json.loads(path.read_text())["panels"]]
    expressions = " ".join(target["expr"] for panel in panels for target in panel.get("targets", []))
    for needed in (
        "tocsin_lines_total",
        "tocsin_verdicts_total",
        "tocsin_alert_rate",
        "tocsin_incidents_total",
        "histogram_quantile(0.5, sum by (path, le) (rate(tocsin_request_seconds_bucket",
        "histogram_quantile(0.99, sum by (path, le) (rate(tocsin_request_seconds_bucket",
        "histogram_quantile(0.99, sum by (stage, le) (rate(tocsin_stage_seconds_bucket",
        "tocsin_queue_lines",
        "tocsin_rejected_lines_total",
        "tocsin_cache_hits_total",
        "tocsin_templates",
        "tocsin_model_version",
        "tocsin_session_score_bucket",
        "tocsin_unmatched_share",
        "tocsin_template_psi",
        "tocsin_score_psi",
        "tocsin_retrain_proposed",
        "tocsin_lessons_waiting",
        "tocsin_redis_memory_bytes",
        "tocsin_live_sessions",
    ):
        assert needed in expressions


def test_dashboard_expressions_are_valid(
    dashboard: dict[str, Any], require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """promtool parses each panel's expression as a rule, with Grafana's own variables filled in."""
    rules = [
        {"record": f"panel_{panel['id']}_{target['refId']}", "expr": target["expr"]}
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    text = yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, width=10_000)
    path = tmp_path / "panels.yml"
    path.write_text(text.replace("$__rate_interval", "1m").replace("$source", ".*"))
    _check_by_promtool(require_program("promtool"), Path(__file__).parents[2], "check", "rules", str(path))


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_dashboard_reads_the_provisioned_data_source(
    root: Path, dashboard: dict[str, Any], compose: dict[str, Any]
) -> None:
    provisioned = root / "docker/grafana/provisioning"
    (source,) = yaml.safe_load((provisioned / "datasources/prometheus.yml").read_text())["datasources"]
    named = {
        part["datasource"]["uid"]
        for panel in dashboard["panels"]
        for part in [*panel.get("targets", []), panel]
        if "datasource" in part
    }
    assert named == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioned / "dashboards/files.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts["./docker/grafana/dashboards"] == provider["options"]["path"]


def test_prometheus_scrapes_the_service(root: Path, compose: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((root / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    (published,) = compose["services"][name]["ports"]
    assert published.split(":")[-1] == port
