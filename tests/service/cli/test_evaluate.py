"""`tocsin evaluate` prints both protocols, for people and as JSON, and writes every verdict if asked."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.errors import BundleError, ConfigError, TocsinError
from service.cli.app import app
from service.cli.evaluate import open_bundle
from tests.service.cli.conftest import Workplace


def evaluated(run: CliRunner, place: Workplace, bundle: str, *extra: str) -> str:
    done = run.invoke(app, ["evaluate", bundle, "--logs", str(place.log), "--labels", str(place.labels), *extra])
    assert done.exit_code == 0, done.output
    return done.stdout


def counts(told: str) -> list[tuple[str, int, int]]:
    """Detector, true and false alarms of every row."""
    rows = [row for protocol in json.loads(told)["protocols"] for row in protocol["rows"]]
    return [(row["detector"], row["tp"], row["fp"]) for row in rows]


def test_json_has_both_protocols_with_every_row(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    told = json.loads(evaluated(run, workplace, str(bundle), "--json"))
    whole, streamed = told["protocols"]
    assert "whole session" in whole["protocol"]
    assert "as streamed, idle 900 s" in streamed["protocol"]
    assert (whole["sessions"], whole["anomalous"]) == (23, 1)
    names = [row["detector"] for row in whole["rows"]]
    assert names[0] == "all positive"
    assert {"new_event", "length", "count_vector", "new_event or length > 0", "ensemble"} < set(names)
    ensemble = whole["rows"][-1]
    assert (ensemble["tp"], ensemble["fn"], ensemble["recall"]) == (1, 0, 1.0)


def test_people_get_a_table_and_recall_by_kind_with_markup_made_harmless(
    run: CliRunner, workplace: Workplace, bundle: Path
) -> None:
    shown = evaluated(run, workplace, str(bundle))
    assert shown.count("count_vector > 0") == 2
    assert "[red]lost: 1 of 1" in shown


def test_verdicts_are_written_line_by_line(run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.ndjson"
    done = run.invoke(app, ["evaluate", str(bundle), "--logs", str(workplace.log), "--verdicts", str(path)])
    assert (done.exit_code, done.stdout) == (0, "")
    verdicts = [json.loads(line) for line in path.read_text().splitlines()]
    assert any(v["anomalous"] and v["session"] == "blk_9001" for v in verdicts)
    assert {v["index"] for v in verdicts if v["kind"] == "line"} == set(
        range(len(workplace.log.read_text().splitlines()))
    )


def test_verdicts_that_cannot_be_written_are_an_error(
    run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "no folder" / "verdicts")
    done = run.invoke(app, ["evaluate", str(bundle), "--logs", str(workplace.log), "--verdicts", path])
    assert isinstance(done.exception, ConfigError)
    assert "cannot write verdicts" in str(done.exception)


def test_nothing_to_do_is_an_error(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    done = run.invoke(app, ["evaluate", str(bundle), "--logs", str(workplace.log)])
    assert isinstance(done.exception, ConfigError)
    assert "--labels" in str(done.exception)


def test_bundle_is_found_by_folder_and_by_name(
    run: CliRunner, workplace: Workplace, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = evaluated(run, workplace, "blocks/1", "--bundles", str(workplace.bundles), "--json")
    by_folder = evaluated(run, workplace, str(bundle), "--json")
    assert counts(by_name) == counts(by_folder)
    monkeypatch.chdir(bundle.parent)
    assert open_bundle("1").version == "1"


@pytest.mark.parametrize("name", ["/", ".", "nothing", "a/b/c", "shop/9", "", "blocks/", "../x"])
def test_what_is_no_bundle_is_an_expected_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TocsinError):
        open_bundle(name, str(tmp_path / "bundles"))


def test_tampered_bundle_is_refused(run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "blocks" / "1"
    folder.mkdir(parents=True)
    for file in bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "ensemble.json").write_bytes(b"{}")
    done = run.invoke(app, ["evaluate", str(folder), "--logs", str(workplace.log), "--labels", str(workplace.labels)])
    assert isinstance(done.exception, BundleError)
    assert "ensemble.json differs from its sha256" in str(done.exception)


def test_tables_and_pictures_are_written_if_asked(
    run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path
) -> None:
    tables, folder = tmp_path / "tables.md", tmp_path / "plots"
    evaluated(run, workplace, str(bundle), "--markdown", str(tables), "--plots", str(folder))
    text = tables.read_text()
    assert text.count("| count_vector |") == 2
    assert "\\[red\\]lost: the ensemble caught 1 of 1." in text
    assert sorted(path.name for path in folder.iterdir()) == [
        "speed.svg",
        "streamed-densities.svg",
        "streamed-precision-recall.svg",
        "whole-densities.svg",
        "whole-precision-recall.svg",
    ]


@pytest.mark.parametrize("option", ["--markdown", "--plots"])
def test_showing_without_labels_is_an_error(
    run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path, option: str
) -> None:
    given = ["evaluate", str(bundle), "--logs", str(workplace.log), option, str(tmp_path / "x")]
    done = run.invoke(app, [*given, "--verdicts", str(tmp_path / "verdicts")])
    assert isinstance(done.exception, ConfigError)
    assert "give --labels" in str(done.exception)


def test_tables_that_cannot_be_written_are_an_error(
    run: CliRunner, workplace: Workplace, bundle: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "no folder" / "tables.md")
    given = ["evaluate", str(bundle), "--logs", str(workplace.log), "--labels", str(workplace.labels)]
    done = run.invoke(app, [*given, "--markdown", path])
    assert isinstance(done.exception, ConfigError)
    assert "cannot write tables" in str(done.exception)


def test_simulated_answers_are_told_for_both_protocols(run: CliRunner, workplace: Workplace, bundle: Path) -> None:
    for kind, named, also in (
        ("simulated", ["ensemble", "ensemble, feedback"], ("second_author", "repeated_causes")),
        ("adversary", ["ensemble", "ensemble, attacked", "ensemble, deleted"], ("refused", "already")),
    ):
        told = json.loads(evaluated(run, workplace, str(bundle), "--feedback", kind, "--json"))
        assert [[row["detector"] for row in protocol["rows"]] for protocol in told["protocols"]] == [named, named]
        assert set(also) < set(told["protocols"][0])
        assert told["protocols"][0]["rows"][0]["tp"] == 1
    shown = evaluated(run, workplace, str(bundle), "--feedback", "adversary", "--clicks", "1", "--alone", "0")
    assert shown.count("once he is deleted") == 2
    done = run.invoke(
        app,
        ["evaluate", str(bundle), "--logs", str(workplace.log), "--labels", str(workplace.labels), "--feedback", "x"],
    )
    assert "simulated or adversary" in str(done.exception)


def test_what_is_learned_is_told_beside_rules_alone(
    run: CliRunner, workplace: Workplace, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--feedback", "simulated", "--learn", "--gather", "0", "--alone", "-1")
    told = json.loads(evaluated(run, workplace, str(bundle), *asked, "--json"))
    named = ["ensemble", "ensemble, feedback", "ensemble, feedback learned"]
    assert [[row["detector"] for row in protocol["rows"]] for protocol in told["protocols"]] == [named, named]
    learning = told["protocols"][0]["learning"]
    assert learning["gather_lines"] == 0
    assert learning["candidates"] == learning["published"] + learning["rejected"] == len(learning["rounds"])
    shown = evaluated(run, workplace, str(bundle), *asked)
    assert shown.count("rules and learning") == 2
    assert shown.count("candidates, 0 lines after an answer") == 2
    arguments = ["evaluate", str(bundle), "--logs", str(workplace.log), "--labels", str(workplace.labels), "--learn"]
    assert "--feedback simulated" in str(run.invoke(app, arguments).exception)
    monkeypatch.setitem(sys.modules, "training.learning.replayed", None)
    refused = run.invoke(app, [*arguments, "--feedback", "simulated"])
    assert "pip install" in str(refused.exception)
