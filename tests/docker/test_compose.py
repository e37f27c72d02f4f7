"""The compose files are valid, name what exists, keep to this machine and hold no secret."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings


def _config(program: str, root: Path, *files: str) -> dict[str, Any]:
    """The merged configuration as docker-compose understands it, with every profile."""
    chosen = [argument for file in files for argument in ("--file", file)]
    command = [program, *chosen, "--profile", "train", "config"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    config = dict(yaml.safe_load(done.stdout))
    for service in config["services"].values():
        # docker-compose prints them in an order that changes from run to run.
        service["volumes"] = sorted(service.get("volumes", []))
    return config


def test_compose_file_is_valid(root: Path, require_program: Callable[[str], str]) -> None:
    config = _config(require_program("docker-compose"), root, "docker-compose.yml")
    assert set(config["services"]) == {"service", "learner", "redis", "prometheus", "grafana"}


def test_gpu_file_swaps_the_service_and_nothing_else(root: Path, require_program: Callable[[str], str]) -> None:
    program = require_program("docker-compose")
    plain = _config(program, root, "docker-compose.yml")["services"]
    gpu = _config(program, root, "docker-compose.yml", "docker/compose.gpu.yml")["services"]
    service = gpu.pop("service")
    assert service["build"]["target"] == "gpu"
    assert service["image"] != plain["service"]["image"]
    assert service["environment"]["TOCSIN_PROVIDER"] == "cuda"
    assert service["environment"]["TOCSIN_REDIS_URL"] == plain["service"]["environment"]["TOCSIN_REDIS_URL"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert "gpu" in device["capabilities"]
    plain.pop("service")
    assert gpu == plain


def test_targets_exist_in_the_dockerfile(compose: dict[str, Any], stages: dict[str, Any], root: Path) -> None:
    gpu = yaml.safe_load((root / "docker/compose.gpu.yml").read_text())
    builds = [
        service["build"] for file in (compose, gpu) for service in file["services"].values() if "build" in service
    ]
    assert {build["target"] for build in builds} == {"cpu", "gpu", "learner"} <= set(stages)
    assert all((root / build["dockerfile"]).is_file() for build in builds if "dockerfile" in build)


def test_mounted_files_exist_and_volumes_are_declared(compose: dict[str, Any], root: Path) -> None:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source, _target, *mode = mount.split(":")
            if source.startswith("."):
                assert (root / source).exists(), f"{name} mounts {source}, which does not exist"
                assert mode == ["ro"], f"{name} may write to {source}"
            else:
                assert source in compose["volumes"]


def test_only_the_default_services_start_without_a_profile(compose: dict[str, Any]) -> None:
    optional = {name for name, service in compose["services"].items() if "profiles" in service}
    assert optional == {"learner"}


@pytest.mark.parametrize("name", ["service", "learner", "redis", "prometheus", "grafana"])
def test_ports_are_open_to_this_machine_only(name: str, compose: dict[str, Any]) -> None:
    for port in compose["services"][name].get("ports", []):
        assert port.startswith("127.0.0.1:")
    assert name not in {"redis", "learner"} or "ports" not in compose["services"][name]


def test_redis_keeps_an_append_only_file_on_a_volume(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    command = redis["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--appendfsync") + 1] == "${TOCSIN_APPENDFSYNC:-always}"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert "redis-data:/data" in redis["volumes"]
    version = re.match(r"redis:(\d+)\.(\d+)\.\d+", redis["image"])
    assert version is not None
    assert tuple(map(int, version.groups())) >= (6, 2)


@pytest.mark.parametrize("setting", ["yes", "always"])
def test_redis_takes_its_fsync_from_the_environment(
    setting: str, root: Path, require_program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_APPENDFSYNC", setting)
    command = _config(require_program("docker-compose"), root, "docker-compose.yml")["services"]["redis"]["command"]
    assert command[command.index("--appendfsync") + 1] == setting


def test_service_is_given_settings_that_it_has(compose: dict[str, Any]) -> None:
    known = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    for service in compose["services"].values():
        given = {name for name in service.get("environment", {}) if name.startswith("TOCSIN_")}
        assert given <= known


def test_docker_waits_longer_than_the_service_drains(compose: dict[str, Any]) -> None:
    grace = compose["services"]["service"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) > Settings.model_fields["drain_s"].default


def test_long_running_services_restart_and_are_watched(compose: dict[str, Any], stages: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "learner":
            continue
        assert service["restart"] == "unless-stopped"
        in_image = any(instruction == "HEALTHCHECK" for instruction, _ in stages["cpu"]) and name == "service"
        assert "healthcheck" in service or in_image, name


def test_no_password_stands_in_the_files(root: Path) -> None:
    for path in (root / "docker-compose.yml", root / "docker/compose.gpu.yml", root / "docker/Dockerfile"):
        assert not re.search(r"(PASSWORD|SECRET|TOKEN|requirepass)\S*\s*[:=]", path.read_text(), re.IGNORECASE), path


def test_grafana_has_no_account_and_lets_visitors_only_look(compose: dict[str, Any]) -> None:
    environment = compose["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
