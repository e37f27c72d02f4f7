"""Evaluation: counts known by hand, both protocols, the test part only; and the golden counts of the HDFS file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.errors import BundleError, DataError
from models.source.config import Source
from training.evaluation import Protocol, evaluate, stream_verdicts
from training.logs import Labels, read_labels, read_lines
from training.metrics import Confusion, confusion
from training.train import Input, TrainSettings, train

NOW = 2_000_000_000.0
SIMPLE = ("new_event", "length", "count_vector")

SHOP = Source.from_dict(
    {
        "name": "shop",
        "header": {"kind": "regex", "pattern": r"^(?P<timestamp>\d+) (?P<order>\S+) (?P<message>.*)$"},
        "timestamp": {"formats": ["epoch_s"]},
        "session": {"fields": ["order"]},
        "idle_s": 50.0,
        "lateness_s": 0.0,
    }
)
NORMAL = ["cart opened", "payment taken", "parcel sent"]
TRAINED = 60


def order(number: int, steps: list[str], pauses: list[int] | None = None) -> list[str]:
    """Lines of one order, 1,000 seconds after the one before; ``pauses`` before each step."""
    at, lines = 1_000_000 + 1000 * number, []
    for step, pause in zip(steps, pauses or [1] * len(steps), strict=True):
        at += pause
        lines.append(f"{at} o{number} {step}")
    return lines


TEST_PART = [
    (["cart opened", "payment taken", "parcel sent"], None, False),
    (["cart opened", "payment taken", "parcel exploded loudly today"], None, True),  # a new event
    (["cart opened", "parcel sent", "parcel sent"], None, True),  # a missing step: counts
    (["cart opened", "payment taken", "parcel sent"], None, True),  # nothing to see
    (["cart opened", "payment taken", "customer praises us warmly"], None, False),  # new, and harmless
    (["cart opened", "payment taken", "parcel sent"], [1, 1, 300], False),  # split by silence
    (["cart opened", "payment taken", "parcel sent"], None, False),
]
ODD_IN_TRAINING = 7


@pytest.fixture(scope="module")
def lines() -> list[str]:
    log = [line for number in range(TRAINED) if number != ODD_IN_TRAINING for line in order(number, NORMAL)]
    log += order(ODD_IN_TRAINING, ["cart opened", "payment taken", "disk burnt down to ashes"])
    for number, (steps, pauses, _) in enumerate(TEST_PART, start=TRAINED):
        log += order(number, steps, pauses)
    return sorted(log, key=lambda line: int(line.split()[0]))


@pytest.fixture(scope="module")
def labels() -> Labels:
    anomalous = {f"o{number}": number == ODD_IN_TRAINING for number in range(TRAINED)}
    anomalous |= {f"o{number}": bad for number, (_, _, bad) in enumerate(TEST_PART, start=TRAINED)}
    return Labels(anomalous, {"o61": "burst", "o62": "lost step", "o63": "lost step", "o64": "praise"})


@pytest.fixture(scope="module")
def bundle(lines: list[str], labels: Labels) -> Bundle:
    share = (TRAINED + 0.5) / (TRAINED + len(TEST_PART))
    settings = TrainSettings(train_share=share, detectors=SIMPLE)
    return train(SHOP, Input(lines, {}, labels, NOW), settings, version="1", tree_id="t", created=1.0)


@pytest.fixture(scope="module")
def protocols(bundle: Bundle, lines: list[str], labels: Labels) -> list[Protocol]:
    return evaluate(bundle, lines, labels, NOW)


def test_counts_are_those_known_by_hand(protocols: list[Protocol]) -> None:
    whole, _ = protocols
    assert (whole.sessions, whole.anomalous) == (7, 3)
    assert whole.row("all positive").counts == Confusion(tp=3, fp=4, fn=0, tn=0)
    assert whole.row("new_event").counts == Confusion(tp=1, fp=1, fn=2, tn=3)
    assert whole.row("length").counts == Confusion(tp=0, fp=0, fn=3, tn=4)
    assert whole.row("new_event > 0").counts == Confusion(tp=1, fp=1, fn=2, tn=3)
    assert whole.row("new_event or length > 0").counts == Confusion(tp=1, fp=1, fn=2, tn=3)
    assert whole.row("count_vector").counts == Confusion(tp=2, fp=1, fn=1, tn=3)
    assert whole.row("ensemble").counts == Confusion(tp=2, fp=1, fn=1, tn=3)


def test_protocols_differ_where_silence_splits_a_session(protocols: list[Protocol]) -> None:
    whole, streamed = protocols
    assert (whole.epochs, streamed.epochs) == (67, 68)
    assert streamed.row("length").counts == Confusion(tp=0, fp=1, fn=3, tn=3)
    assert streamed.row("ensemble").counts == Confusion(tp=2, fp=2, fn=1, tn=2)
    assert "whole session" in whole.title
    assert "as streamed, idle 50 s" in streamed.title


def test_recall_is_told_by_kind_of_what_was_anomalous(protocols: list[Protocol]) -> None:
    assert protocols[0].recall_by_kind == {"burst": (1, 1), "lost step": (1, 2)}


def test_whole_log_is_counted_where_the_share_is_zero(bundle: Bundle, lines: list[str], labels: Labels) -> None:
    whole = evaluate(bundle, lines, labels, NOW, train_share=0.0)[0]
    assert (whole.sessions, whole.anomalous) == (67, 4)
    assert whole.row("ensemble").counts.tp == 3
    assert "all sessions" in whole.title


def test_result_is_plain_json(protocols: list[Protocol]) -> None:
    told = protocols[0].to_dict()
    assert told["rows"][-1]["detector"] == "ensemble"
    assert told["rows"][-1]["precision"] == pytest.approx(2 / 3)
    assert told["recall_by_kind"]["lost step"] == {"caught": 1, "of": 2}


def test_labels_are_read_after_the_verdicts(bundle: Bundle, lines: list[str], labels: Labels) -> None:
    turned = Labels({name: not bad for name, bad in labels.anomalous.items()}, {})
    whole = evaluate(bundle, lines, turned, NOW)[0]
    assert whole.row("ensemble").counts == Confusion(tp=1, fp=2, fn=3, tn=1)


def test_test_part_without_an_anomaly_counts_false_alarms(bundle: Bundle, lines: list[str], labels: Labels) -> None:
    normal = {name: False for name, bad in labels.anomalous.items() if not bad}
    whole = evaluate(bundle, lines, Labels(normal, {}), NOW)[0]
    assert whole.row("ensemble").counts == Confusion(tp=0, fp=1, fn=0, tn=3)
    assert whole.row("ensemble").auc is None


@pytest.mark.parametrize(
    ("anomalous", "message"),
    [({"o0": True}, "no session of the test part is in the labels"), ({"o61": True, "o0": False}, "is anomalous")],
)
def test_labels_that_measure_nothing_are_an_error(
    bundle: Bundle, lines: list[str], anomalous: dict[str, bool], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(bundle, lines, Labels(anomalous, {}), NOW)


@pytest.mark.parametrize("share", [-0.1, 1.0, 60.0, float("nan")])
def test_share_out_of_range_is_an_error(bundle: Bundle, lines: list[str], labels: Labels, share: float) -> None:
    with pytest.raises(DataError, match="at least 0 and below 1"):
        evaluate(bundle, lines, labels, NOW, train_share=share)


def test_verdicts_of_a_log_count_its_lines_from_the_first(bundle: Bundle, lines: list[str]) -> None:
    done: list[tuple[int, int]] = []
    verdicts = list(stream_verdicts(bundle, lines, NOW, lambda at, total: done.append((at, total))))
    assert [v["index"] for v in verdicts if v["kind"] == "line"] == list(range(len(lines)))
    assert done[-1] == (len(lines), len(lines))


def test_sessions_that_nobody_labelled_count_for_nothing(bundle: Bundle, lines: list[str], labels: Labels) -> None:
    some = {name: bad for name, bad in labels.anomalous.items() if name in ("o60", "o61")}
    whole = evaluate(bundle, lines, Labels(some, {}), NOW)[0]
    assert whole.row("ensemble").counts == Confusion(tp=1, fp=0, fn=0, tn=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("share", "sessions", "count_vector"),
    [(0.6, 2990, Confusion(tp=80, fp=15, fn=0, tn=2895)), (0.5, 3738, Confusion(tp=93, fp=700, fn=0, tn=2945))],
)
def test_hdfs_gives_the_golden_counts(datasets_dir: Path, share: float, sessions: int, count_vector: Confusion) -> None:
    """From 50 % on, a burst of new normal behaviour defeats every method that knows normals only."""
    lines = read_lines([datasets_dir / "hdfs" / "hdfs.log.gz"])
    labels = read_labels(datasets_dir / "hdfs" / "labels.csv")
    settings = TrainSettings(train_share=share, detectors=SIMPLE)
    bundle = train(Source.load("hdfs"), Input(lines, {}, labels, NOW), settings, version="1", tree_id="t", created=1.0)
    whole, streamed = evaluate(bundle, lines, labels, NOW)
    assert (whole.sessions, whole.epochs) == (sessions, 7475)
    assert streamed.epochs > whole.epochs
    assert whole.row("count_vector > 0").counts == count_vector
    ensemble = whole.row("ensemble").counts
    assert ensemble.recall == 1.0
    if share == 0.6:
        assert ensemble.f1 >= 0.90
    assert np.isfinite(whole.row("ensemble").auc or np.nan)


def test_each_detector_rings_alone_at_the_threshold_from_held_out_normals(
    bundle: Bundle, protocols: list[Protocol]
) -> None:
    whole = protocols[0]
    thresholds = bundle.manifest.metrics["thresholds"]
    for name in SIMPLE:
        alarms = whole.scores[name] >= thresholds[name]
        assert whole.row(name).counts == confusion(alarms, whole.actual)
    best = max(whole.row(name).counts.f1 for name in SIMPLE)
    assert whole.gap == pytest.approx(best - whole.row("ensemble").counts.f1)


def test_delay_and_cost_are_told(protocols: list[Protocol]) -> None:
    for protocol in protocols:
        delay = protocol.row("ensemble").delay
        assert delay is not None
        assert delay >= 1
        assert all(row.ms is None for row in protocol.rows[:4])
        assert all(row.ms is not None and row.ms >= 0.0 for row in protocol.rows[4:])


def test_a_bundle_that_names_no_thresholds_asks_to_be_trained_again(
    bundle: Bundle, lines: list[str], labels: Labels
) -> None:
    old = Bundle(replace(bundle.manifest, metrics={}), bundle.files)
    with pytest.raises(BundleError, match="train it again"):
        evaluate(old, lines, labels, NOW)
