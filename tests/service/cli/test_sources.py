"""`tocsin sources`: the presets, and what a source amounts to with its defaults."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigError
from models.source.config import Source, presets
from service.cli.app import app
from tests.service.cli.conftest import Workplace


def test_presets_are_listed(run: CliRunner) -> None:
    assert run.invoke(app, ["sources"]).stdout.split() == presets()
    assert json.loads(run.invoke(app, ["sources", "--json"]).stdout) == {"presets": presets()}
    assert {"hdfs", "postgres", "syslog", "raw"} <= set(presets())


@pytest.mark.parametrize("name", presets())
def test_what_is_printed_reads_back_as_the_same_source(run: CliRunner, name: str) -> None:
    for extra in ([], ["--json"]):
        done = run.invoke(app, ["sources", name, *extra], terminal_width=40)
        assert done.exit_code == 0
        assert Source.from_dict(yaml.safe_load(done.stdout)) == Source.load(name)


def test_file_is_checked(run: CliRunner, workplace: Workplace, tmp_path: Path) -> None:
    assert run.invoke(app, ["sources", str(workplace.source)]).exit_code == 0
    (tmp_path / "bad.yaml").write_text("name: x\nheader: {kind: regex, pattern: '('}\n")
    done = run.invoke(app, ["sources", str(tmp_path / "bad.yaml")])
    assert isinstance(done.exception, ConfigError)
    assert "header.pattern" in str(done.exception)
