"""``tocsin parse``, run as users run it."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

LINES = [
    "081109 203615 148 INFO dfs.DataNode: Receiving block blk_1 src: /10.0.0.1:5 dest: /10.0.0.2:6",
    "081109 203616 149 INFO dfs.DataNode: Receiving block blk_2 src: /10.0.0.3:5 dest: /10.0.0.4:6",
    "081109 203617 150 INFO dfs.DataNode: Verification succeeded for blk_1",
    "not an HDFS line \x1b[31m",
]
TRUTH = """LineId,Content,EventId,EventTemplate
1,Receiving block blk_1,E1,Receiving block <*> src: <*> dest: <*>
2,Receiving block blk_2,E1,Receiving block <*> src: <*> dest: <*>
3,Verification succeeded for blk_1,E2,Verification finished for <*>
4,not an HDFS line,E3,not an HDFS line
"""


def tocsin(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "hdfs.log.gz"
    path.write_bytes(gzip.compress("\n".join([*LINES, ""]).encode()))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.csv"
    path.write_text(TRUTH)
    return path


def test_templates_come_with_counts_parameters_and_rejections(log: Path) -> None:
    done = tocsin("parse", "hdfs", "--logs", log, "--parameters", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, second = found["templates"]
    assert first["template"] == "Receiving block <BLK> src: <IP> dest: <IP>"
    assert (first["count"], first["share"]) == (2, 2 / 3)
    assert first["example"] == "Receiving block blk_1 src: /10.0.0.1:5 dest: /10.0.0.2:6"
    assert first["parameters"][0] == {"position": 0, "mask": "BLK", "values": ["blk_1", "blk_2"]}
    assert second["template"] == "Verification succeeded for <BLK>"
    assert [rejection["index"] for rejection in found["rejected"]] == [3]


def test_limit_keeps_the_most_frequent(log: Path) -> None:
    found = json.loads(tocsin("parse", "hdfs", "--logs", log, "--limit", 1, "--json").stdout)
    assert [template["count"] for template in found["templates"]] == [2]
    assert found["templates_in_all"] == 2


def test_control_characters_of_the_log_do_not_reach_the_terminal(log: Path) -> None:
    done = tocsin("parse", "hdfs", "--logs", log)
    assert done.returncode == 0
    assert "line 4" in done.stdout
    assert "\x1b" not in done.stdout


def test_truth_gives_grouping_and_parsing_accuracy(log: Path, truth: Path) -> None:
    found = json.loads(tocsin("parse", "hdfs", "--logs", log, "--truth", truth, "--json").stdout)["accuracy"]
    # The rejected line counts: its group is right as nothing else was rejected, its template is not.
    assert found["grouping"] == {"accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert found["parsing"] == 0.5
    assert (found["lines"], found["templates"], found["true_templates"]) == (4, 2, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LineId,Content\n1,a\n", "has no column 'EventId'"),
        (TRUTH + "5,more,E4,more\n", "names line 5, but the log has 4"),
        (TRUTH.replace("4,not", "x,not"), "cannot read the ground truth"),
        (TRUTH.replace("4,not", "1,not"), "each at most once"),
    ],
)
def test_a_wrong_truth_is_one_line_and_exit_code_1(log: Path, tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    done = tocsin("parse", "hdfs", "--logs", log, "--truth", path)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_log_of_another_format_is_refused_with_its_first_errors(log: Path) -> None:
    done = tocsin("parse", "postgres", "--logs", log)
    assert done.returncode == 1
    assert "do not fit source 'postgres'" in done.stderr


def test_a_source_without_a_log_is_wrong_usage() -> None:
    assert tocsin("parse", "hdfs").returncode == 2
    assert tocsin("parse").returncode == 2


def test_the_eight_systems_stand_beside_drain(datasets_dir: Path) -> None:
    done = tocsin("parse", "--truth", datasets_dir / "loghub2k", "--json")
    assert done.returncode == 0, done.stderr
    systems = {row["system"]["name"]: row for row in json.loads(done.stdout)["systems"]}
    assert len(systems) == 8
    assert all(row["ours"]["lines"] == 2000 and row["rejected"] == 0 for row in systems.values())
    accuracies = [row["ours"]["grouping"]["accuracy"] for row in systems.values()]
    assert systems["HDFS"]["ours"]["grouping"]["accuracy"] >= 0.997
    assert sum(accuracies) / 8 >= 0.88
    # Ours is Drain too: the read-only matching and the batches must cost no accuracy.
    for row in systems.values():
        assert row["ours"]["grouping"]["accuracy"] >= row["drain3"]["grouping"]["accuracy"] - 0.005
