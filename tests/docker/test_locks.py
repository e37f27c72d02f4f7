"""The lock files hold what the project asks for, every file of it by its hash; the audit says what it found."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docker.test_image import BUILDS

STALE = "requirements/{}.lock does not fit pyproject.toml: run `make lock`"
IMAGES = {
    "python_version": "3.12",
    "python_full_version": "3.12.13",
    "sys_platform": "linux",
    "platform_system": "Linux",
}
OUTSIDE = {"torch"}
"""From an index of its own, by the project's exact pin."""


def locked(root: Path, lock: str) -> dict[str, list[tuple[Requirement, list[str]]]]:
    """Requirements of a lock file with their hashes, by name; several where the platform decides."""
    found: dict[str, list[tuple[Requirement, list[str]]]] = {}
    text = (root / f"requirements/{lock}.lock").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            read = Requirement(requirement)
            found.setdefault(canonicalize_name(read.name), []).append((read, hashes))
    return found


@pytest.mark.parametrize(("lock", "extras"), BUILDS.values())
def test_a_lock_satisfies_the_project(root: Path, project: dict[str, Any], lock: str, extras: set[str]) -> None:
    pins = locked(root, lock)
    environment = {**default_environment(), **IMAGES}
    wanted = list(project["project"]["dependencies"])
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in OUTSIDE or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        fitting = [pin for pin, _ in pins.get(name, []) if pin.marker is None or pin.marker.evaluate(environment)]
        assert len(fitting) == 1, f"{STALE.format(lock)} ({text})"
        [version] = [specifier.version for specifier in fitting[0].specifier]
        assert requirement.specifier.contains(version, prereleases=True), f"{STALE.format(lock)} ({text})"


@pytest.mark.parametrize("lock", [lock for lock, _ in BUILDS.values()])
def test_everything_is_pinned_by_hash_and_nothing_says_where_it_was_found(root: Path, lock: str) -> None:
    pins = locked(root, lock)
    assert len(pins) > 50
    assert not set(pins) & OUTSIDE
    for requirement, hashes in (pin for several in pins.values() for pin in several):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
    assert not re.search(
        r"://|--\w*index|--find-links|^/| /", (root / f"requirements/{lock}.lock").read_text(), re.MULTILINE
    )


def test_torch_of_the_resolver_is_the_one_that_the_project_pins(root: Path, project: dict[str, Any]) -> None:
    [pin] = [text for text in project["project"]["optional-dependencies"]["train"] if text.startswith("torch==")]
    assert f'version = "{pin.removeprefix("torch==")}"' in (root / "requirements/uv.toml").read_text()


@pytest.fixture
def audit(root: Path) -> Any:
    """``requirements/audit.py`` as a module."""
    spec = importlib.util.spec_from_file_location("audit", root / "requirements/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_audit_fails_for_what_is_known_and_for_nothing_else(audit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fine = {"name": "fine", "version": "1", "vulns": []}
    bad = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    skipped = {"name": "own", "skip_reason": "not found"}
    assert audit.report([fine, skipped]) == 0
    assert "1 of 2 packages" in capsys.readouterr().out
    assert audit.report([fine, bad]) == 1
    assert "bad 1: PYSEC-1; mended in 2" in capsys.readouterr().out
    assert audit.report([skipped]) == 0
    assert "nothing was audited" in capsys.readouterr().out


def test_the_bill_of_materials_lists_what_is_locked(
    root: Path, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    out = tmp_path / "serve.json"
    command = [require_tool("cyclonedx-py"), "requirements", "requirements/serve.lock", "--pyproject", "pyproject.toml"]
    done = subprocess.run([*command, "--output-file", str(out)], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = set(re.findall(r'"purl": "pkg:pypi/([^@"]+)@', out.read_text()))
    assert listed >= set(locked(root, "serve"))


def test_an_audit_without_an_index_says_so(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "requirements/audit.py", str(tmp_path / "none.lock")],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "nothing was audited" in done.stdout
