"""What the tests of images and dashboards read: the repository's files, parsed."""

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

Stages = dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """``pyproject.toml``."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """``docker-compose.yml``."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture(scope="session", params=["overview", "models", "storage"])
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each Grafana dashboard."""
    return dict(json.loads((ROOT / f"docker/grafana/dashboards/{request.param}.json").read_text()))


@pytest.fixture(scope="session")
def stages() -> Stages:
    """The Dockerfile as ``{stage: [(instruction, rest), ...]}``; stage ``""`` is what stands before the first FROM."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    found: Stages = {"": []}
    stage = ""
    for line in lines:
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            stage = rest.split(" AS ")[1]
            found[stage] = []
        found[stage].append((instruction, re.sub(r"\s+", " ", rest)))
    return found


@pytest.fixture(scope="session")
def require_tool(require_program: Callable[[str], str]) -> Callable[[str], str]:
    """Path of a program that lies beside this Python or, failing that, on PATH."""

    def find(name: str) -> str:
        beside = Path(sys.executable).with_name(name)
        return str(beside) if beside.is_file() else require_program(name)

    return find
