"""`tocsin bundles list|show`: versions, card, manifest and workflow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import Bundle
from models.bundles import BundleStore
from models.errors import BundleError, ConfigError
from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import WORKFLOW, Edge, Node, Task, Workflow
from service.cli.app import app
from tests.service.cli.conftest import Workplace


def test_versions_are_listed(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    command = ["bundles", "list", "--bundles", str(workplace.bundles)]
    rows = [line.split() for line in run.invoke(app, command).stdout.splitlines()]
    assert ["blocks", "1"] in [row[:2] for row in rows]
    (told,) = json.loads(run.invoke(app, [*command, "--json"]).stdout)["blocks"]
    assert (told["version"], told["parent"], told["gate"], told["shipped"]) == ("1", None, None, False)
    assert told["created"] > 0


def test_card_is_shown(run: CliRunner, bundle: Path) -> None:
    done = run.invoke(app, ["bundles", "show", str(bundle)])
    assert done.exit_code == 0
    assert "Trained on" in done.stdout
    assert "How it decides" in done.stdout


def test_bundle_is_shown_by_its_name_under_a_root(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    done = run.invoke(app, ["bundles", "show", "blocks/1", "--bundles", str(workplace.bundles), "--json"])
    assert json.loads(done.stdout)["version"] == "1"


def test_manifest_is_shown_as_json(run: CliRunner, bundle: Path) -> None:
    told = json.loads(run.invoke(app, ["bundles", "show", str(bundle), "--json"]).stdout)
    assert told["source"]["name"] == "blocks"
    assert set(told["files"]) == {file.name for file in bundle.iterdir()} - {"manifest.json"}


def test_bundle_that_is_not_there_names_what_is(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    done = run.invoke(app, ["bundles", "show", "blocks/7", "--bundles", str(workplace.bundles)])
    assert isinstance(done.exception, BundleError)
    assert "versions here: 1" in str(done.exception)


def test_command_without_a_verb_is_wrong_usage(run: CliRunner) -> None:
    assert run.invoke(app, ["bundles"]).exit_code == 2
    assert run.invoke(app, ["bundles", "drop"]).exit_code == 2


def test_expected_error_is_one_line_and_ends_with_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "bundles", "show"]
    done = subprocess.run([*command, "shop/9"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no bundle shop/9")


@pytest.fixture
def with_workflow(bundle: Path, tmp_path: Path) -> Path:
    """Folder of the bundle with a workflow of two steps; the second one's template is not in its tree."""
    plain = BundleStore(bundle.parent.parent, shipped=None).load("blocks", "1")
    task = Task(
        7,
        (Node(BEFORE_SESSION, 7), Node(END, 7), Node(1, 7), Node(9999, 3)),
        (Edge(0, 2, "sequence", 7), Edge(2, 3, "branch", 3), Edge(2, 1, "branch", 4), Edge(3, 1, "sequence", 3)),
    )
    files = {**plain.files, WORKFLOW: Workflow((task,), "density", {}).to_json()}
    return Path(BundleStore(tmp_path, shipped=None).save("blocks", Bundle.seal(plain.manifest, files)))


def test_workflow_is_shown_as_a_tree(run: CliRunner, with_workflow: Path) -> None:
    done = run.invoke(app, ["bundles", "show", str(with_workflow), "--workflow"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[:2] == ["task 1: 7 of 7 sessions (100 %)", "  #0 session begins"]
    assert lines[2].startswith("  #2 1: ")
    assert "  └─ 43 %" in lines
    assert "     #3 9999: (no such template)" in lines


def test_workflow_is_json_and_a_picture(run: CliRunner, with_workflow: Path, tmp_path: Path) -> None:
    picture = tmp_path / "workflow.svg"
    command = ["bundles", "show", str(with_workflow), "--workflow", "--json", "--svg", str(picture)]
    told = json.loads(run.invoke(app, command).stdout)
    assert (told["way"], len(told["tasks"][0]["nodes"])) == ("density", 4)
    assert picture.read_text(encoding="utf-8").startswith("<svg ")


def test_picture_that_cannot_be_written_says_so(run: CliRunner, with_workflow: Path, tmp_path: Path) -> None:
    command = ["bundles", "show", str(with_workflow), "--workflow", "--svg", str(tmp_path / "no folder" / "x.svg")]
    done = run.invoke(app, command)
    assert isinstance(done.exception, ConfigError)
    assert "cannot write the picture" in str(done.exception)


def test_bundle_without_a_workflow_and_picture_without_asking_for_it(
    run: CliRunner, bundle: Path, tmp_path: Path
) -> None:
    plain = BundleStore(bundle.parent.parent, shipped=None).load("blocks", "1")
    files = {name: content for name, content in plain.files.items() if name != WORKFLOW}
    folder = BundleStore(tmp_path, shipped=None).save("blocks", Bundle.seal(plain.manifest, files))
    done = run.invoke(app, ["bundles", "show", folder, "--workflow"])
    assert isinstance(done.exception, BundleError)
    assert "has no workflow.json" in str(done.exception)
    done = run.invoke(app, ["bundles", "show", str(bundle), "--svg", "x.svg"])
    assert isinstance(done.exception, ConfigError)
