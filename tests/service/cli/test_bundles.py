"""`tocsin bundles list|show`: versions, card and manifest."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from models.errors import BundleError
from service.cli.app import app
from tests.service.cli.conftest import Workplace


def test_versions_are_listed(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    command = ["bundles", "list", "--bundles", str(workplace.bundles)]
    assert "blocks: 1" in run.invoke(app, command).stdout.splitlines()
    assert json.loads(run.invoke(app, [*command, "--json"]).stdout)["blocks"] == ["1"]


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
