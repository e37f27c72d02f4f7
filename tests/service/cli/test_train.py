"""`tocsin train` writes a bundle, says what it wrote, and refuses what cannot be before it works for minutes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundles import BundleStore
from models.errors import BundleError, DataError, TocsinError
from service.cli.app import app


def test_bundle_lies_where_asked_and_opens(bundle: Path) -> None:
    opened = BundleStore(bundle.parent.parent, shipped=None).load("blocks", "1")
    assert set(opened.manifest.detectors) == {"new_event", "length", "count_vector"}
    assert opened.manifest.provenance["train_share"] == 0.9
    assert list(opened.manifest.provenance["files"]) == ["blocks.log"]


def test_next_training_writes_the_next_version(
    run: CliRunner, bundle: Path, training: list[str], tmp_path: Path
) -> None:
    out = training.index("--out")
    command = [*training[: out + 1], str(tmp_path), *training[out + 2 :]]
    for version in ("1", "2"):
        told = json.loads(run.invoke(app, command).stdout)
        assert told["bundle"] == str(tmp_path / "blocks" / version)
        assert told["manifest"]["version"] == version


def test_people_are_told_steps_and_false_alarm_rates(run: CliRunner, training: list[str], tmp_path: Path) -> None:
    out = training.index("--out")
    done = run.invoke(app, [*training[: out + 1], str(tmp_path), "--name", "mine", "--version", "first"])
    assert done.exit_code == 0
    for words in (
        "parse and mine",
        "normal sessions",
        "calibrate",
        "wrote",
        "ensemble:",
        "of held-out normal sessions",
    ):
        assert words in done.stderr
    assert BundleStore(tmp_path, shipped=None).versions("mine") == ["first"]


def test_version_that_exists_is_refused_before_training(
    run: CliRunner, bundle: Path, training: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.train", lambda *_args, **_kwargs: pytest.fail("trained all the same"))
    done = run.invoke(app, [*training, "--version", "1"])
    assert isinstance(done.exception, BundleError)
    done = run.invoke(app, [*training, "--version", "../1"])
    assert isinstance(done.exception, BundleError)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--train-share", "2"], "train share 2.0"),
        (["--budget", "1"], "alert budget 1.0"),
        (["--detectors", "oracle"], "no detector 'oracle'"),
        (["--logs", "nowhere.log"], "cannot read nowhere.log"),
        (["--labels", "nowhere.csv"], "cannot read labels from nowhere.csv"),
    ],
)
def test_wrong_settings_are_named(run: CliRunner, training: list[str], extra: list[str], message: str) -> None:
    done = run.invoke(app, [*training, *extra])
    assert isinstance(done.exception, DataError)
    assert message in str(done.exception)


def test_source_that_is_none_is_named(run: CliRunner, training: list[str]) -> None:
    done = run.invoke(app, ["train", "hdsf", *training[2:]])
    assert isinstance(done.exception, TocsinError)
    assert "hdfs" in str(done.exception)


def test_wrong_usage_ends_with_2(run: CliRunner) -> None:
    assert run.invoke(app, ["train"]).exit_code == 2
    assert run.invoke(app, ["train", "hdfs", "--logs", "x", "--seed", "many"]).exit_code == 2
    assert run.invoke(app, ["train", "--help"]).exit_code == 0
