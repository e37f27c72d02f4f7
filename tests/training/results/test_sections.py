"""Each section on little data: its figures reach the tables, and its pictures are drawn."""

from pathlib import Path

import numpy as np
import pytest

from models.sessions import Int64
from tests.golden import blocks
from training.benchmarks.keys import Problem
from training.keysets import KeySet
from training.logs import Labels
from training.results import answers, keys, lines, streams, values
from training.results.section import Asked, Pictures
from training.results.shapes import by_entity
from training.train import Input, TrainSettings

NOW = 2_000_000_000.0
BAD = "blk_9001"


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path / "pictures", "x-")


def sessions(seed: int, count: int) -> list[Int64]:
    random = np.random.default_rng(seed)
    return [np.array([1, *random.permutation([2, 3, 4]), 5], dtype=np.int64) for _ in range(count)]


@pytest.mark.slow
def test_keys_shows_every_row_trivial_ones_first(pictures: Pictures) -> None:
    odd = [np.array([1, 9, 5], dtype=np.int64)] * 20
    test = KeySet([*sessions(1, 40), *odd], np.repeat([False, True], [40, 20]))
    asked = Asked(Path(), 1, 1, 1, lambda *_: None)
    result = keys.measure(Problem(sessions(0, 60), test, 0.03), ("new_event", "length"), asked, "keys")
    text = keys.show_hdfs(result, "a command", pictures)
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| detector"
    assert rows[2] == "| all positive"
    assert rows.index("| new_event \\> 0") < rows.index("| new_event") < rows.index("| pca")
    assert "a command" in text
    assert "F1\\*" in text.split("**")[1]
    plainly = keys.show_hadoop({**result, "prevalence": None}, "a command", pictures)
    assert "F1\\*" not in plainly.split("**")[1]
    assert "| F1 to 0.500 |" in plainly
    assert (pictures.folder / "x-densities.svg").exists()
    assert (pictures.folder / "x-precision-recall.svg").exists()


def test_keys_gives_each_seed_and_the_mean() -> None:
    row = dict.fromkeys(("precision", "recall", "fpr", "mcc", "auc"), 0.5)
    seeded = [{**row, "detector": "deeplog", "f1": f1, "seed": seed} for seed, f1 in enumerate((0.8, 0.9))]
    result = {
        "prevalence": None,
        "rows": [{**row, "detector": "all positive", "f1": 0.7}, *seeded],
        "means": [{**row, "detector": "deeplog", "f1": 0.85}],
        "skipped": {"loglstm": "too little | data"},
    }
    text = keys.tables(result, "title")
    assert (
        "| deeplog | 0.500 | 0.500 | 0.850 | 0.5000 | 0.500 | 0.500 | +0.150 | 0.8000..0.9000 | 0.8000 0.9000 |" in text
    )
    assert "- loglstm: not measured. too little \\| data." in text


@pytest.mark.slow
def test_streams_trains_and_evaluates_in_both_protocols(pictures: Pictures) -> None:
    log = [*blocks.normal_log(), f"240501 015900 12 INFO store.Node: {BAD} is gone for good"]
    labels = Labels({f"blk_{number}": False for number in range(220)} | {BAD: True}, {BAD: "lost|it"})
    settings = TrainSettings(0.9, detectors=("length", "count_vector"), witnesses=("ngram",))
    seen: set[str] = set()
    given = Input(log, {"blocks.log": "0"}, labels, NOW)
    result = streams.measure(blocks.source(), given, settings, lambda what, _done, _total: seen.add(what))
    text = streams.show(result, "a command", pictures)
    assert {"parse", "evaluate"} <= seen
    assert [p["protocol"].split(",")[0].split(";")[0] for p in result["protocols"]] == ["whole session", "as streamed"]
    assert "| ngram (witness) |" in text
    assert "| length |" in text
    assert "Ensemble: F1" in text
    assert "best witness, ngram" in text
    assert "- lost\\|it: the ensemble caught 1 of 1." in text
    assert text.count("a command") == 2
    assert sorted(path.name for path in pictures.folder.iterdir()) == [
        "x-speed.svg",
        "x-streamed-densities.svg",
        "x-streamed-precision-recall.svg",
        "x-whole-densities.svg",
        "x-whole-precision-recall.svg",
    ]


@pytest.mark.slow
def test_answers_shows_a_team_and_an_adversary_beside_no_answers(pictures: Pictures) -> None:
    log = [*blocks.normal_log(), f"240501 015900 12 INFO store.Node: {BAD} is gone for good"]
    labels = Labels({f"blk_{number}": False for number in range(220)} | {BAD: True}, {})
    settings = TrainSettings(0.9, detectors=("new_event", "length", "count_vector"))
    given = Input(log, {"blocks.log": "0"}, labels, NOW)
    split = answers.measure(blocks.source(), given, settings, lambda *_: None)
    assert [own["delay_lines"] for own in split["team"]] == [0, 0, 200, 200]
    text = answers.show({"splits": [split]}, "a command", pictures)
    team = [line for line in text.splitlines() if line.startswith("| first 90% train | whole session")]
    assert [line.split(" | ")[2] for line in team[:5]] == [
        "no answers", "0 lines after it rang", "0 lines after it rang, and learned", "200 lines after it rang",
        "200 lines after it rang, and learned",
    ]  # fmt: skip
    assert " | 1.000 (1) | " in team[5]
    assert [own.get("learning", {}).get("gather_lines") for own in split["team"]] == [1000, None, 1000, None]
    assert "What was learned of it" in text
    assert text.count("a command") == 1


def test_lines_shows_both_tables(pictures: Pictures) -> None:
    row = {"detector": "x", "tp": 1, "fp": 2, "fn": 0, "tn": 7, "precision": 0.3, "recall": 1.0, "f1": 0.5, "fpr": 0.2}
    row |= {"mcc": 0.1, "auc": None}
    about = {"lines": 10, "train": 6, "train_anomalous": 1, "test_anomalous": 1, "seed": 0, "encoder": "small"}
    result = {"lines": {**about, "rows": [row]}, "frames": {"chunk_s": 3600.0, "rows": [row]}}
    text = lines.show(result, "first\nsecond", pictures)
    assert text.count("| x | 1 | 2 | 0.300 | 1.000 | 0.500 | 0.2000 | 0.100 |  |") == 2
    assert "1 of the 10 later timeframes are anomalous" in text
    assert text.index("first") < text.index("by timeframe") < text.index("second")


def test_lines_draws_how_the_errors_of_each_entity_are_spread(pictures: Pictures) -> None:
    row = {"detector": "x", "tp": 1, "fp": 2, "fn": 0, "tn": 7, "precision": 0.3, "recall": 1.0, "f1": 0.5, "fpr": 0.2}
    row |= {"mcc": 0.1, "auc": None}
    about = {"lines": 10, "train": 6, "train_anomalous": 1, "test_anomalous": 1, "seed": 0, "encoder": "small"}
    entities = by_entity(np.eye(2), np.eye(2, dtype=np.bool_), np.array([False, True]), ["rack one", "rack two"])
    frames = {"chunk_s": 3600.0, "rows": [row], "entities": entities}
    text = lines.show({"lines": {**about, "rows": [row]}, "frames": frames}, "first\nsecond", pictures)
    path = pictures.path("entities")
    assert f"]({path.parent.name}/{path.name})" in text
    drawn = path.read_text()
    assert all(f">{said}</text>" in drawn for said in ("rack one", "rack two", "normal", "anomalous"))
    assert "share of the class's timeframes with a line of it" in drawn
    assert "rings from here on" not in drawn


def test_values_has_a_column_a_detector(pictures: Pictures) -> None:
    case = {"material": "series", "fault": "spike", "sigma": 3.0, "faults": 2000}
    rows = [{**case, "detector": "LSTM", "recall": 0.9, "own_fpr": 0.011}, {**case, "detector": "z", "recall": 0.5}]
    text = values.show({"rate": 0.01, "seed": 0, "rows": rows}, "a command", pictures)
    assert "| spike | 3 | 2,000 | 0.900 | 0.500 |" in text
    assert "| false positives at raw 1 |  |  | 0.0110 |  |" in text
