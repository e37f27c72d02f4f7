"""Answers learned in a replay: what was answered stays quiet by the model alone, and no event is judged twice."""

from typing import Any

import pytest

from models.bundle import Bundle
from models.errors import DataError
from tests.golden import blocks, orders
from tests.service.serving import blocks_bundle
from training import prequential
from training.evaluation import evaluate
from training.learning import simulated
from training.learning.candidate import Candidate
from training.learning.gate import Gate
from training.learning.replayed import Relearned, play, replay_learned
from training.learning.simulated import SimulatedLearner
from training.logs import Labels
from training.prequential import ways
from training.train import Input, TrainSettings, train

NOW = 2_000_000_000.0


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    lines, labels = orders.log()
    settings = TrainSettings(train_share=orders.SHARE, detectors=("new_event", "length", "count_vector"))
    return train(orders.source(), Input(lines, {}, labels, NOW), settings, version="1", tree_id="t", created=1.0)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prequential, "BATCH_LINES", 4)
    monkeypatch.setattr(prequential, "STREAMED_LINES", 2)


def whole(bundle: Bundle, gather: int = 0, alone: int | None = None) -> Relearned:
    (found,) = replay_learned(bundle, *orders.log(), NOW, 0, gather, alone=alone, streamed=False)
    return found


def test_what_was_answered_is_learned_and_stays_quiet_without_its_rule(bundle: Bundle) -> None:
    (way, _) = ways(bundle, *orders.log(), NOW, None, lambda *_: None)
    team, learner = way.team(0, None), SimulatedLearner(bundle, 0)
    counts = play(way, team, learner)
    assert (counts.tp, counts.fp, team.repeated) == (2, 1, 0)  # the alarm that was answered rang, and no other
    assert {one.state for one in learner.rounds} == {"published"}
    assert {name for one in learner.rounds for name in one.retired} == {answer.id for answer, _ in team.desk.lessons()}
    assert not team.desk.rules
    (alone, _) = evaluate(learner.live, *orders.log(), NOW)
    assert (alone.row("ensemble").counts.tp, alone.row("ensemble").counts.fp) == (2, 0)
    assert learner.live.manifest.metrics["gate"]["passed"]
    assert learner.live.manifest.parent == bundle.version if len(learner.rounds) == 1 else "2"


def test_it_is_told_beside_rules_alone_and_no_answers(bundle: Bundle) -> None:
    found = whole(bundle)
    assert (found.rules.without.fp, found.rules.with_feedback.fp, found.counts.fp) == (6, 1, 1)
    told = found.to_dict()
    names = [row["detector"] for row in told["rows"]]
    assert names == ["ensemble", "ensemble, feedback", "ensemble, feedback learned"]
    learning = told["learning"]
    assert learning["candidates"] == learning["published"] == len(found.rounds)
    assert (learning["rejected"], learning["reasons"]) == (0, [])
    assert learning["clicks"] == learning["rules_retired"] >= 1


def test_a_candidate_that_fails_the_gate_changes_nothing(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate itself has its own tests."""
    monkeypatch.setattr(simulated, "judge_candidate", lambda *_: Gate(False, ("it forgets",)))
    found = whole(bundle)
    assert found.rounds
    assert {(one.state, one.reasons, one.retired) for one in found.rounds} == {("rejected", ("it forgets",), ())}
    assert (found.counts, found.clicks) == (found.rules.with_feedback, found.rules.clicks)
    assert found.to_dict()["learning"]["reasons"] == ["it forgets"] * len(found.rounds)


def test_what_the_gate_turns_back_is_tried_once_more_without_what_was_taught_by_steps(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No detector here has a network: one that is taught otherwise stands in."""
    judge = simulated.judge_candidate

    def first_forgets(live: Bundle, candidate: Bundle, *given: Any) -> Gate:
        return Gate(False, ("it forgets",)) if candidate.version == "2" else judge(live, candidate, *given)

    monkeypatch.setattr(Candidate, "networks", frozenset({"length"}))
    monkeypatch.setattr(simulated, "judge_candidate", first_forgets)
    found = whole(bundle)
    first, second = found.rounds[:2]
    assert (first.state, first.version) == ("rejected", "2")
    assert (second.state, second.version, second.line) == ("published", "3", first.line)


def test_what_cannot_be_taught_stays_a_rule(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise DataError("no graph")

    monkeypatch.setattr(simulated, "learn", failing)
    found = whole(bundle)
    assert {(one.state, one.reasons) for one in found.rounds} == {("settled", ("no graph",))}
    assert found.counts == found.rules.with_feedback


def test_what_one_author_alone_said_is_not_learned(bundle: Bundle) -> None:
    found = whole(bundle, alone=100)
    assert not found.rounds
    assert found.counts == found.rules.with_feedback
    seconded = whole(bundle, alone=4)
    assert seconded.seconds >= 1
    learned = {name for one in seconded.rounds for name in one.learned}
    assert 1 <= len(learned) <= seconded.seconds


def test_a_version_waits_for_further_answers(bundle: Bundle) -> None:
    first, later = (whole(bundle, gather).rounds[0].line for gather in (0, 9))
    assert later - first == 12  # the first end of a batch of 4 that lies 9 lines on
    assert not whole(bundle, 10_000).rounds
    with pytest.raises(DataError, match="before them"):
        whole(bundle, -1)


def test_as_streamed_is_told_beside_it(bundle: Bundle) -> None:
    whole_ones, streamed = replay_learned(bundle, *orders.log(), NOW, 0, 0, alone=None)
    assert "as streamed" in streamed.rules.title
    assert streamed.of_state("published")
    assert streamed.counts.tp == whole_ones.counts.tp == 2
    assert streamed.counts.fp <= streamed.rules.with_feedback.fp


@pytest.mark.slow
def test_a_replay_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network, and whatever hour it is."""
    monkeypatch.setattr(prequential, "BATCH_LINES", 60)
    lines = blocks.golden_log()
    labels = Labels({f"blk_{number}": number == 1012 for number in (*range(1000, 1030), *range(2000, 2008))}, {})
    told = []
    for arrival in (NOW, NOW + 7.0):
        (found,) = replay_learned(
            blocks_bundle(), lines, labels, arrival, 0, 0, train_share=0.0, alone=None, streamed=False
        )
        told.append(found.to_dict())
    assert told[0] == told[1]
    assert told[0]["learning"]["candidates"] >= 1
