"""The table of detectors on public key sequences: counts that the specification fixes, and ours."""

import json
from pathlib import Path

import pytest

from models.baselines.count_vector import count_keys
from training.benchmarks.keys import ABOVE_ZERO, PROBLEMS, main, means, row_of, trivial_rows
from training.classical import CLASSICAL
from training.simple import SIMPLE


def test_hadoop_counts_are_those_known_and_networks_say_why_they_are_not_there(
    datasets_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ",".join((*SIMPLE, "deeplog"))
    given = ["--data", str(datasets_dir), "--set", "hadoop", "--detectors", chosen, "--seeds", "1", "--json"]
    assert main(given) == 0
    result = json.loads(capsys.readouterr().out)
    found = {row["detector"]: (row["tp"], row["fp"]) for row in result["rows"]}
    known = {
        "all positive": (811, 150), "new_event > 0": (160, 25), "length > 0": (44, 6), "ngram > 0": (251, 36),
        "count_vector > 0": (386, 60),
    }  # fmt: skip
    assert {name: found[name] for name in known} == known
    assert {*SIMPLE, *CLASSICAL} <= found.keys()
    # What FSE 2024 gives as the result of a tuned threshold is that of flagging everything.
    assert round(result["rows"][0]["f1"], 4) == 0.9153
    assert "f1_star" not in result["rows"][0]
    assert "50 normal sessions, got 17" in result["skipped"]["deeplog"]
    assert "ensemble" not in found


def test_hdfs_counts_are_those_known(datasets_dir: Path) -> None:
    problem = PROBLEMS["hdfs_keys"](datasets_dir)
    sessions = problem.test.sessions
    raws = {
        name: SIMPLE[name].raws(SIMPLE[name].fit(problem.train, 0), sessions)
        for name in ("count_vector_idf", "edit_distance")
    }
    miner = CLASSICAL["invariants"]([count_keys(session) for session in problem.train], 0)
    raws["invariants"] = miner.score([count_keys(session) for session in sessions])
    at = {"count_vector_idf": ABOVE_ZERO, "edit_distance": ABOVE_ZERO, "invariants": miner.published}
    rows = [row_of(name, raw, at[name], problem) for name, raw in raws.items()] + trivial_rows(problem)
    assert {row["detector"]: (row["tp"], row["fp"]) for row in rows} == {
        "count_vector_idf": (6000, 23),
        "edit_distance": (6000, 624),
        "invariants": (6000, 17),
        "all positive": (6000, 6000),
        "new_event > 0": (2841, 0),
        "length > 0": (2204, 1),
        "new_event or length > 0": (5033, 1),
        "count_vector > 0": (6000, 23),
        "ngram > 0": (4686, 4),
        "3-gram > 0": (4703, 20),
    }
    assert rows[0]["f1_star"] == pytest.approx(0.9407, abs=1e-4)


def test_means_are_over_seeds_with_their_spread() -> None:
    rows = [
        {"detector": "a", "f1": 0.5, "recall": 1.0}, {"detector": "b", "f1": 0.1, "recall": 0.1},
        {"detector": "a", "f1": 0.7, "recall": 0.0},
    ]  # fmt: skip
    (mean,) = means(rows)
    assert (mean["detector"], mean["seeds"], mean["least"], mean["most"]) == ("a", 2, 0.5, 0.7)
    assert (mean["f1"], mean["recall"]) == (pytest.approx(0.6), 0.5)


def test_what_is_missing_or_unknown_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "is missing" in capsys.readouterr().err
    assert main(["--data", str(tmp_path), "--detectors", "oracle"]) == 2
    assert "'oracle'" in capsys.readouterr().err
