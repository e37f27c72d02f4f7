"""``tocsin keys``: made, listed and revoked over a Redis that runs and one that does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigError, TocsinError
from service.access import declared, secret
from service.cli.app import app
from service.state.apikeys import SCOPES


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where no Redis runs yet."""
    monkeypatch.delenv("TOCSIN_REDIS_URL", raising=False)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def told(run: CliRunner, *words: str) -> Any:
    done = run.invoke(app, ["keys", *words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(run: CliRunner, *words: str) -> TocsinError:
    done = run.invoke(app, ["keys", *words])
    assert isinstance(done.exception, TocsinError)
    return done.exception


def test_keys_are_made_listed_and_revoked_where_no_service_runs(data_dir: Path, run: CliRunner) -> None:
    made = told(run, "create", "ops", "--scope", "ingest, read", "--source", "shop-*", "--expires", "30", "--rate", "9")
    key_id, hidden = secret.parts(made.pop("key")) or ("", "")
    assert made["id"] == key_id
    assert (made["scopes"], made["sources"], made["rate"]) == (["ingest", "read"], ["shop-*"], 9)
    listed = told(run, "list")["keys"]
    assert listed == [made]
    plain = run.invoke(app, ["keys", "list"])
    assert "ops" in plain.stdout
    assert hidden not in plain.stdout
    assert "a key 'ops' already" in str(refused(run, "create", "ops", "--scope", "read"))
    assert told(run, "revoke", key_id)["revoked"]["name"] == "ops"
    assert told(run, "list")["keys"] == []
    assert "no API key 'ops'" in str(refused(run, "revoke", "ops"))


def test_the_key_alone_is_on_standard_output(data_dir: Path, run: CliRunner) -> None:
    done = run.invoke(app, ["keys", "create", "ops", "--scope", ",".join(SCOPES)])
    assert secret.parts(done.stdout.strip()) is not None
    assert "not shown again" in done.stderr


def test_an_entry_for_a_file_is_printed_and_nothing_is_kept(data_dir: Path, run: CliRunner) -> None:
    made = told(run, "create", "shop", "--scope", "ingest", "--declare")
    path = data_dir / "keys.yaml"
    path.write_text(yaml.safe_dump({"keys": [made["entry"]]}))
    (key,) = declared.load(path)
    assert secret.is_secret_of((secret.parts(made["key"]) or ("", ""))[1], key.digest)
    assert not (data_dir / "data").exists()


@pytest.mark.parametrize("name", ["anonymous", "Tocsin", "a b", "", "[red]x", "-x"])
def test_names_that_would_be_somebody_elses_are_refused(name: str, data_dir: Path, run: CliRunner) -> None:
    done = run.invoke(app, ["keys", "create", "--scope", "read", "--declare", "--", name])
    assert isinstance(done.exception, ConfigError)


@pytest.mark.parametrize("scope", ["", "root", "read,root", ","])
def test_unknown_scopes_are_wrong_usage(scope: str, data_dir: Path, run: CliRunner) -> None:
    assert run.invoke(app, ["keys", "create", "ops", "--scope", scope]).exit_code == 2
