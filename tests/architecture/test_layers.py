"""The house has three floors, and what serves runs without what trains."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("models", "training", "service")
HEAVY = ("torch", "lightning", "onnx", "safetensors", "sklearn", "transformers", "matplotlib")
"""What extra `train` installs; serving must do without."""
COMMAND_LINE = ("cli", "demo", "replay", "learner")
"""Rooms of the service that no server process enters."""


def modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found
    return found


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def importers(folder: Path, packages: tuple[str, ...]) -> set[str]:
    """Files under ``folder`` that import one of ``packages``."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in modules(folder)
        if any(name.split(".")[0] in packages for name in imported(path))
    }


def test_import_linter_keeps_every_contract() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_models_import_neither_floor_above() -> None:
    assert importers(ROOT / "models", ("training", "service")) == set()
    assert importers(ROOT / "training", ("service",)) == set()


def test_models_import_torch_in_network_files_only() -> None:
    found = importers(ROOT / "models", HEAVY)
    assert "models/deeplog/network.py" in found
    assert {Path(path).name for path in found} == {"network.py"}


def test_models_know_no_clock_no_network_and_no_environment() -> None:
    assert importers(ROOT / "models", ("time", "asyncio", "socket", "redis", "httpx", "urllib", "os")) == set()


def test_rooms_that_serve_import_no_training() -> None:
    found = importers(ROOT / "service", ("training",))
    assert "service/cli/train.py" in found
    assert {path for path in found if path.split("/")[1] not in COMMAND_LINE} == set()


def test_service_imports_nothing_of_extra_train() -> None:
    assert {path for path in importers(ROOT / "service", HEAVY) if path.split("/")[1] != "learner"} == set()


def test_nothing_unpickles() -> None:
    forbidden = ("pickle", "cPickle", "dill", "joblib", "jsonpickle", "shelve", "marshal")
    assert {path for floor in FLOORS for path in importers(ROOT / floor, forbidden)} == set()
    assert not [
        path
        for floor in FLOORS
        for path in modules(ROOT / floor)
        if "allow_pickle=True" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("module", ["service.api.app", "service.core", "service.cli.app", "models.bundle"])
def test_serving_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["service.core", "service.api.app"])
def test_serving_loads_no_training(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in sys.modules if name.split('.')[0] == 'training'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
