"""Simulated answers: a false cause rings until its click takes effect, and nothing else changes; who marks what is true
hides little of it."""

import pytest

from models.bundle import Bundle
from models.errors import DataError
from tests.golden import orders
from training import operators, prequential
from training.logs import Labels
from training.prequential import Attacked, Replayed, attack, replay
from training.train import Input, TrainSettings, train

NOW = 2_000_000_000.0


@pytest.fixture(scope="module")
def log() -> tuple[list[str], Labels]:
    return orders.log()


@pytest.fixture(scope="module")
def bundle(log: tuple[list[str], Labels]) -> Bundle:
    lines, labels = log
    settings = TrainSettings(train_share=orders.SHARE, detectors=("new_event", "length", "count_vector"))
    return train(orders.source(), Input(lines, {}, labels, NOW), settings, version="1", tree_id="t", created=1.0)


def whole(bundle: Bundle, log: tuple[list[str], Labels], delay: int) -> Replayed:
    return replay(bundle, log[0], log[1], NOW, delay)[0]


def test_without_feedback_it_is_the_evaluation(bundle: Bundle, log: tuple[list[str], Labels]) -> None:
    found = whole(bundle, log, 0)
    assert (found.without.tp, found.without.fp) == (2, 6)


def test_a_click_at_once_leaves_one_alarm_of_each_cause_and_all_faults(
    bundle: Bundle, log: tuple[list[str], Labels]
) -> None:
    found = whole(bundle, log, 0)
    assert (found.with_feedback.tp, found.with_feedback.fp) == (2, 1)
    assert found.repeated == 0
    assert found.seconds >= 1
    assert 1 <= found.clicks - found.seconds <= 2


def test_where_one_author_suffices_there_is_no_second(bundle: Bundle, log: tuple[list[str], Labels]) -> None:
    found = replay(bundle, log[0], log[1], NOW, 0, alone=None)[0]
    assert (found.with_feedback.fp, found.seconds) == (1, 0)
    assert 1 <= found.clicks <= 2


@pytest.fixture(scope="module")
def struck(log: tuple[list[str], Labels]) -> tuple[list[str], Labels]:
    """The same log with the new step for a fault and the faults for normal."""
    return log[0], Labels({name: not anomalous for name, anomalous in log[1].anomalous.items()}, {})


def attacked(bundle: Bundle, struck: tuple[list[str], Labels], **how: int | None) -> Attacked:
    return attack(bundle, struck[0], struck[1], NOW, 200, train_share=orders.SHARE, **how)[0]


def test_an_author_who_marks_what_is_true_hides_what_he_may_silence_alone(
    bundle: Bundle, struck: tuple[list[str], Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prequential, "BATCH_LINES", 4)
    by_alone = {alone: attacked(bundle, struck, alone=alone) for alone in (0, 1, 2, 4, None)}
    assert {found.without.tp for found in by_alone.values()} == {6}
    assert by_alone[0].under.tp == 6
    assert by_alone[None].under.tp == 1
    hidden = [6 - found.under.tp for found in by_alone.values()]
    assert hidden == sorted(hidden)
    assert 0 < hidden[2] <= 3
    assert {found.deleted.tp for found in by_alone.values()} == {6}
    assert by_alone[1].already >= 1
    told = by_alone[1].to_dict()
    assert [row["detector"] for row in told["rows"]] == ["ensemble", "ensemble, attacked", "ensemble, deleted"]


def test_so_many_rules_an_hour_are_taken_of_one_author(
    bundle: Bundle, struck: tuple[list[str], Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "RULES_AN_HOUR", 0)
    found = attacked(bundle, struck, alone=None)
    assert found.refused == found.clicks > 0
    assert found.under.tp == 6


def test_an_adversary_who_does_nothing_is_refused(bundle: Bundle, log: tuple[list[str], Labels]) -> None:
    with pytest.raises(DataError, match="at least one"):
        attack(bundle, log[0], log[1], NOW, 0)


def test_a_late_click_lets_the_cause_ring_until_then(bundle: Bundle, log: tuple[list[str], Labels]) -> None:
    by_delay = [whole(bundle, log, delay).with_feedback.fp for delay in (0, 8, 30, 10_000)]
    assert by_delay == sorted(by_delay)
    assert by_delay[0] == 1
    assert by_delay[-1] == 6
    assert all(whole(bundle, log, delay).with_feedback.tp == 2 for delay in (8, 30))


def test_as_streamed_is_told_beside_it(
    bundle: Bundle, log: tuple[list[str], Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prequential, "STREAMED_LINES", 2)
    streamed = replay(bundle, log[0], log[1], NOW, 0)[1]
    assert "as streamed, idle 50 s" in streamed.title
    assert streamed.with_feedback.tp == streamed.without.tp == 2
    assert streamed.with_feedback.fp < streamed.without.fp
    told = streamed.to_dict()
    assert [row["detector"] for row in told["rows"]] == ["ensemble", "ensemble, feedback"]


def test_an_answer_before_the_alarm_is_refused(bundle: Bundle, log: tuple[list[str], Labels]) -> None:
    with pytest.raises(DataError, match="before the alarm"):
        replay(bundle, log[0], log[1], NOW, -1)
