import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.calibration import Calibration
from models.ensemble import BUDGET, FLOOR, MARGIN, Ensemble, budget_for
from models.errors import DataError
from models.sessions import Bool, Float64, Int64
from training.metrics import confusion

SIZE = 4000


def rare(count_older: int, count_newest: int, seed: int = 0, size: int = SIZE) -> Float64:
    """A member's held-out outputs: 0.0 but for so many alarms among the older nine tenths and the newest tenth."""
    rng = np.random.default_rng(seed)
    raws = np.zeros(size)
    newest = size // 10
    raws[rng.choice(size - newest, count_older, replace=False)] = rng.uniform(0.1, 1.0, count_older)
    raws[size - newest + rng.choice(newest, count_newest, replace=False)] = rng.uniform(0.1, 1.0, count_newest)
    return raws


def graded(seed: int, size: int = SIZE) -> Float64:
    """A member's held-out outputs, all distinct, in no order."""
    return np.random.default_rng(seed).permutation(size).astype(np.float64)


def rings(ensemble: Ensemble, **raws: float) -> bool:
    evidence = ensemble.evidence({name: np.array([raw]) for name, raw in raws.items()})
    return bool(evidence[0] >= ensemble.threshold)


def test_evidence_is_the_weighted_sum_of_what_lies_under_the_floor() -> None:
    calibration = Calibration.fit(np.arange(99))
    ensemble = Ensemble({"a": calibration, "b": calibration}, {"a": 1.0, "b": 0.5}, 3.0, calibration, floor=0.05)
    raws = {"a": np.array([98.0, 94.0, 0.0, 98.0]), "b": np.array([96.0, 97.0, 98.0, np.nan])}

    # Of 99 normals 0..98, the tail of raw r is (1 + 99 - r) / 100: 94 has 0.06, above the floor.
    expected = [-math.log(0.02) - 0.5 * math.log(0.04), -0.5 * math.log(0.03), -0.5 * math.log(0.02), -math.log(0.02)]
    assert ensemble.evidence(raws).tolist() == pytest.approx(expected)


@given(st.lists(st.floats(-10, 110), min_size=3, max_size=3))
def test_part_of_the_members_never_has_more_evidence_than_all(raws: list[float]) -> None:
    calibrations = {name: Calibration.fit(graded(seed, 100)) for seed, name in enumerate("abc")}
    ensemble = Ensemble(calibrations, {"a": 1.0, "b": 0.3, "c": 0.0}, 3.0, calibrations["a"], floor=0.1)
    whole = {name: np.array([raw]) for name, raw in zip("abc", raws, strict=True)}

    for name in whole:
        part = {other: raw for other, raw in whole.items() if other != name}
        assert 0.0 <= ensemble.evidence(part)[0] <= ensemble.evidence(whole)[0]


def test_contributions_add_up_to_the_evidence() -> None:
    ensemble = Ensemble.fit({"a": graded(1), "b": graded(2), "c": rare(3, 0)})
    raws = {"a": 3990.0, "b": 100.0, "c": 2.0}
    parts = ensemble.contributions(raws)
    evidence = ensemble.evidence({name: np.array([raw]) for name, raw in raws.items()})

    assert sum(part.evidence for part in parts) == pytest.approx(float(evidence[0]))
    assert [part.name for part in parts] == ["a", "b", "c"]
    assert [part.evidence > 0 for part in parts] == [True, False, True]
    assert parts[0].tail == pytest.approx(11 / 4001)
    assert parts[1].score == pytest.approx(100 / 4000, abs=1e-3)


def test_a_member_that_alarms_more_and_more_must_show_something_rarer_to_ring() -> None:
    steady, drifting = rare(23, 1), rare(14, 10)
    ensemble = Ensemble.fit({"steady": steady, "drifting": drifting, "silent": np.zeros(SIZE)})

    assert ensemble.weights["steady"] == ensemble.weights["silent"] == 1.0
    assert 0.0 < ensemble.weights["drifting"] < 1.0
    # The tenth largest has a tail of 11 / 4001, which is within the even share of the budget, 0.01 / 3.
    assert rings(ensemble, steady=np.sort(steady)[-10])
    assert not rings(ensemble, drifting=np.sort(drifting)[-10])
    assert rings(ensemble, silent=1.0)


def test_what_chance_explains_costs_no_weight() -> None:
    # Of 18 older alarms two are to be expected in the newest tenth; five still happen in one of twenty samples.
    ensemble = Ensemble.fit({"lucky": np.ceil(rare(18, 5)), "drifting": np.ceil(rare(18, 6))})

    assert ensemble.weights["lucky"] == 1.0
    assert ensemble.weights["drifting"] < 1.0


def test_what_chance_does_not_explain_is_measured_by_what_is_expected() -> None:
    ensemble = Ensemble.fit({"drifting": np.ceil(rare(18, 10)), "silent": np.zeros(SIZE)})

    excess = 10 / (SIZE // 10 * 19 / (SIZE * 9 // 10 + 1))
    assert ensemble.weights["drifting"] == pytest.approx(1.0 - math.log(excess) / math.log(2 / BUDGET))


def test_sessions_that_a_member_did_not_judge_are_not_taken_for_quiet_ones() -> None:
    judged_only_the_newest = np.concatenate([np.full(SIZE - 400, np.nan), np.ceil(rare(3, 0, size=400))])
    ensemble = Ensemble.fit({"late": judged_only_the_newest, "silent": np.zeros(SIZE)})

    assert ensemble.weights["late"] == 1.0


def test_a_discounted_member_still_backs_up_another() -> None:
    ensemble = Ensemble.fit({"graded": graded(4), "drifting": rare(14, 10), "silent": np.zeros(SIZE)})
    strange_but_not_enough = float(SIZE - 20)

    assert not rings(ensemble, graded=strange_but_not_enough)
    assert rings(ensemble, graded=strange_but_not_enough, drifting=0.5)


def test_members_share_the_budget_and_the_threshold_is_not_lowered_to_spend_it() -> None:
    ensemble = Ensemble.fit({"a": rare(5, 0), "b": np.zeros(SIZE)}, budget=0.01)

    assert ensemble.threshold == pytest.approx(math.log(2 / 0.01) - MARGIN)


@pytest.mark.parametrize("budget", [0.002, 0.01, 0.03])
@pytest.mark.parametrize("alike", [True, False])
def test_held_out_normals_ring_within_the_budget(budget: float, alike: bool) -> None:
    raws = {str(member): graded(7 if alike else member) for member in range(4)}
    ensemble = Ensemble.fit(raws, budget)
    rate = float(np.mean(ensemble.evidence(raws) >= ensemble.threshold))

    chance = 2.5 * math.sqrt(budget / SIZE)
    assert rate <= budget + chance
    if alike:
        assert rate >= min(budget, FLOOR) / 2


@pytest.mark.parametrize("size", [20, 30, 100, 400])
def test_of_few_normals_an_output_beyond_all_seen_rings_and_none_that_was_seen(size: int) -> None:
    raws = {"a": graded(1, size), "b": graded(2, size)}
    ensemble = Ensemble.fit(raws)

    assert rings(ensemble, a=float(size), b=0.0)
    assert not rings(ensemble, a=float(size - 2), b=0.0)
    if size < 1 / BUDGET:
        assert not (ensemble.evidence(raws) >= ensemble.threshold).any()


def test_a_tighter_budget_asks_for_more_evidence() -> None:
    raws = {"a": graded(1), "b": graded(2)}
    thresholds = [Ensemble.fit(raws, budget).threshold for budget in (0.05, 0.01, 0.001)]

    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == 3


def test_scores_rise_with_evidence_from_zero_to_one() -> None:
    ensemble = Ensemble.fit({"a": graded(1), "b": graded(2)})
    scores = ensemble.score(np.array([0.0, 4.7, ensemble.threshold, 7.0, 99.0]))

    assert scores[0] == 0.0
    assert np.all(np.diff(scores) >= 0)
    assert scores[-1] == 1.0


def test_what_no_member_judged_or_has_seen_yet_counts_nothing() -> None:
    ensemble = Ensemble.fit({"a": graded(1), "b": graded(2)})

    assert ensemble.counts("a", np.array([np.nan, -np.inf, np.inf])).tolist() == [False, False, True]
    assert ensemble.evidence({"a": np.array([np.nan, -np.inf])}).tolist() == [0.0, 0.0]
    assert ensemble.evidence({}).tolist() == []


def test_it_survives_json() -> None:
    raws = {"a": graded(1), "b": rare(14, 10)}
    ensemble = Ensemble.fit(raws)
    restored = Ensemble.from_dict(json.loads(json.dumps(ensemble.to_dict(), allow_nan=False)))
    evidence = ensemble.evidence(raws)

    assert restored.threshold == ensemble.threshold
    assert restored.weights == ensemble.weights
    assert restored.evidence(raws).tolist() == evidence.tolist()
    assert restored.score(evidence).tolist() == ensemble.score(evidence).tolist()


def test_incidents_a_day_become_a_share_of_sessions() -> None:
    assert budget_for(5, 10_000) == pytest.approx(0.0005)
    with pytest.raises(DataError, match="lower the first"):
        budget_for(5, 4)


def test_unusable_input_is_refused() -> None:
    with pytest.raises(DataError, match="collect 20 or more"):
        Ensemble.fit({"a": np.zeros(19)})
    with pytest.raises(DataError, match="the same ones"):
        Ensemble.fit({"a": np.zeros(30), "b": np.zeros(31)})
    with pytest.raises(DataError, match="at least one member"):
        Ensemble.fit({})
    with pytest.raises(DataError, match="between 0 and 1"):
        Ensemble.fit({"a": np.zeros(30)}, budget=1.5)
    with pytest.raises(DataError, match="weights of"):
        Ensemble({"a": Calibration.fit([1.0])}, {"b": 1.0}, 3.0, Calibration.fit([0.0]))


def as_keys(text: str) -> Int64:
    return np.array(text.split(), dtype=np.int64)


def member_outputs(train: list[Int64], sessions: list[Int64]) -> dict[str, Float64]:
    """Raw outputs of simple members fitted on ``train``, float64 [n] for ``sessions``."""
    no_history = np.empty((0, 0), dtype=np.int64)
    new_event, counts = NewEvent.fit(train), [count_keys(session) for session in sessions]
    return {
        "new_event": np.array([new_event.score(no_history, session).max() for session in sessions]),
        "length": Length.fit(train).score_counts(counts),
        "count_vector": CountVector.fit(train).score_counts(counts),
        "ngram": Ngram.fit(train, 3).score_sequences(sessions),
    }


def test_on_hdfs_keys_the_ensemble_is_no_worse_than_its_best_member(datasets_dir: Path) -> None:
    folder = datasets_dir / "hdfs_keys"
    train = [as_keys(line) for line in (folder / "train_normal.txt").read_text().splitlines()]
    with (folder / "labelled.csv").open() as file:
        rows = list(csv.DictReader(file))
    anomalous: Bool = np.array([row["label"] == "1" for row in rows])
    held_out = {name: np.empty(len(train)) for name in ("new_event", "length", "count_vector", "ngram")}
    fold = np.random.default_rng(0).permutation(len(train)) % 5
    for number in range(5):
        outputs = member_outputs(
            [s for s, f in zip(train, fold, strict=True) if f != number],
            [s for s, f in zip(train, fold, strict=True) if f == number],
        )
        for name, raw in outputs.items():
            held_out[name][fold == number] = raw
    ensemble = Ensemble.fit(held_out)
    judged = member_outputs(train, [as_keys(row["Sequence"]) for row in rows])

    # Share of anomalies in the whole published set, of which the labelled file is a balanced sample.
    prevalence = 16838 / 570204
    best = max(confusion(raw > 0, anomalous).f1_at(prevalence) for raw in judged.values())
    together = confusion(ensemble.evidence(judged) >= ensemble.threshold, anomalous)
    assert together.recall > 0.999
    assert together.f1_at(prevalence) >= best - 0.01
