"""Commands that read logs themselves redact as the service does."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.source.config import Source
from service.cli.app import app
from service.cli.redacted import redacted, redacted_labels
from training.logs import Labels

WEB = {
    "name": "web",
    "header": {"kind": "raw"},
    "session": {"pattern": r"user=(\S+)"},
    "redact": ["email", "card"],
}


@pytest.fixture
def web(tmp_path: Path) -> Path:
    (tmp_path / "web.yaml").write_text(yaml.safe_dump(WEB))
    (tmp_path / "web.log").write_text("paid by 4111111111111111 user=ada@example.com\n" * 3)
    return tmp_path


def test_parse_shows_what_is_left(web: Path, run: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["parse", str(web / "web.yaml"), "--logs", str(web / "web.log"), "--json"]
    monkeypatch.delenv("TOCSIN_REDACTION_KEY", raising=False)
    refused = run.invoke(app, command)
    assert refused.exit_code != 0
    monkeypatch.setenv("TOCSIN_REDACTION_KEY", "a key of these tests")
    done = run.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "<CARD>" in json.loads(done.stdout)["templates"][0]["template"]
    assert "4111111111111111" not in done.stdout
    assert "ada@example.com" not in done.stdout


def test_labels_follow_their_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REDACTION_KEY", "a key of these tests")
    source = Source.from_dict(WEB)
    [line] = redacted(source, ["user=ada@example.com"])
    labels = redacted_labels(source, Labels({"ada@example.com": True, "job-7": False}, {"ada@example.com": "theft"}))
    assert labels is not None
    session = line.removeprefix("user=")
    assert labels.anomalous == {session: True, "job-7": False}
    assert labels.kind == {session: "theft"}
