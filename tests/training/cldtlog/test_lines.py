"""The smoke benchmark by line, on a made-up BGL log and a tiny BERT."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.golden import bert
from training.benchmarks.lines import OFFLINE, ROWS, Asked, main, read, run
from training.cldtlog import CLDTLogSettings
from training.progress import silent

NORMAL = ("block 7 served ok", "received from 10.0.0.1", "block 3 lost to 10.0.0.2")


def line(number: int) -> str:
    bad = number % 24 == 23
    label, message = ("KERNDTLB", "exception while disk full") if bad else ("-", NORMAL[number % 3])
    node = f"R0{number % 2}-M0-N0-C:J12-U01"
    header = f"{1_117_838_570 + number} 2005.06.03 {node} 2005-06-03-15.42.50.675872 {node} RAS KERNEL INFO"
    return f"{label} {header} {message}"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "BGL_2k.log"
    path.write_text("\n".join(line(number) for number in range(480)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    encoder = bert.write(tmp_path_factory.mktemp("bert"), layers=2, sentence=True)
    settings = CLDTLogSettings(encoder=str(encoder), learning_rate=1e-2, epochs=1, steps=20, folds=2)
    return Asked(0, settings, silent)


def test_the_earlier_lines_train(log: Path) -> None:
    lines = read(log)
    assert (len(lines.masked), lines.train) == (480, 288)
    assert np.flatnonzero(lines.anomalous).tolist() == list(range(23, 480, 24))
    assert len(lines.actual) == 192


def test_every_row_stands_in_the_table(log: Path, asked: Asked) -> None:
    result = run(log, list(ROWS), asked)
    rows = {row["detector"]: row for row in result["rows"]}
    assert rows["all positive"]["recall"] == 1.0
    assert rows["all positive"]["fpr"] == 1.0
    # Templates of anomalies are not among those of training normals, whenever they came.
    assert (rows["new template"]["tp"], rows["new template"]["fp"]) == (8, 0)
    assert (rows["CLDTLog"]["tp"], rows["CLDTLog"]["fp"]) == (8, 0)
    assert rows["CLDTLog"]["auc"] == rows["CLDTLog, at 0.5"]["auc"] == 1.0
    assert "smoke test" in result["title"]
    assert json.loads(json.dumps(result)) == result


def test_windows_of_a_rack_are_an_offline_row(log: Path, asked: Asked) -> None:
    result = run(log, list(OFFLINE), asked)
    assert [row["detector"] for row in result["rows"]][1:] == ["CLDTLog, 5/2 windows", "CLDTLog, 5/2 windows, at 0.5"]
    everything = result["rows"][0]
    # Each of two racks has 96 test lines, and windows at lines 0, 2, .. 92 of them.
    assert everything["tp"] + everything["fp"] == 2 * 47
    # Eight anomalous lines at odd places of one rack: in two windows each, the very last in one.
    assert everything["tp"] == 15


def test_without_its_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "absent.log"), "--json"]) == 2
    assert "cannot read" in capsys.readouterr().err
