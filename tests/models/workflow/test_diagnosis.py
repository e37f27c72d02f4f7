"""Diagnosis: where a session left the workflow, from its start or from anywhere in it."""

import json

import numpy as np
import pytest

from models.finding import _in_words, wording
from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.diagnosis import Diagnosis, Diagnostician, diagnose
from models.workflow.graph import Workflow


@pytest.fixture
def doctor(shop: Workflow) -> Diagnostician:
    return Diagnostician(shop)


def told(diagnosis: Diagnosis) -> tuple[str, int | None, list[int]]:
    return diagnosis.departure, diagnosis.last, [key for key, _ in diagnosis.missing]


@pytest.mark.parametrize("start", [[BEFORE_SESSION], []])
def test_missing_step_is_named_with_what_was_expected(doctor: Diagnostician, start: list[int]) -> None:
    found = doctor.diagnose([*start, 1, 2], 4)
    assert told(found) == ("missing", 2, [3])
    assert found.missing == ((3, True),)
    assert found.expected == ((3, 1.0),)
    assert (found.task, found.sessions) == (0, 90)


def test_swapped_step_is_missing_first_and_then_too_late(doctor: Diagnostician) -> None:
    assert told(doctor.diagnose([BEFORE_SESSION, 1], 3)) == ("missing", 1, [2])
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 3], 2)) == ("order", 3, [])


def test_one_of_two_branches_is_missing_but_not_every_way_passes_it(doctor: Diagnostician) -> None:
    found = doctor.diagnose([BEFORE_SESSION, 1, 2, 3, 4], 7)
    assert told(found) == ("missing", 4, [5])
    assert found.missing == ((5, False),)
    assert found.expected == ((5, 0.6), (6, 0.3), (3, 0.1))


def test_unknown_key_and_key_of_another_kind_are_told_apart(doctor: Diagnostician) -> None:
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 2], 999)) == ("unknown", 2, [])
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 2], 22)) == ("elsewhere", 2, [])


def test_repeated_step(doctor: Diagnostician) -> None:
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 2, 3, 4, 5], 2)) == ("repeated", 5, [])


def test_session_that_ends_early_lacks_the_rest(doctor: Diagnostician) -> None:
    found = doctor.diagnose([BEFORE_SESSION, 1, 2, 3], END)
    assert found.departure == "ended_early"
    assert found.missing == ((4, True), (5, False), (7, True))
    assert found.absent == (4, 7)


def test_part_of_a_session_says_nothing_of_what_came_before(doctor: Diagnostician) -> None:
    found = doctor.diagnose([3, 4, 5], END)
    assert (found.departure, found.absent) == ("ended_early", ())
    assert found.missing == ((7, True),)


def test_counts_of_the_whole_session_decide_which_kind_it_is_and_what_it_lacks(doctor: Diagnostician) -> None:
    undecided = doctor.diagnose([1], END)
    assert undecided.task == 0
    found = doctor.diagnose([1], END, counts={1: 1, 21: 1, 23: 1})
    assert found.task == 1
    assert found.absent == (20, 22, 24)


def test_concurrent_steps_follow_in_any_order_and_all_of_them(doctor: Diagnostician) -> None:
    for order in ([21, 22, 23], [21, 23, 22], [23, 21, 22]):
        assert doctor.diagnose([BEFORE_SESSION, 1, 20, *order], 24).departure == "none"
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 20, 23, 21], 24)) == ("missing", 21, [22])
    assert told(doctor.diagnose([BEFORE_SESSION, 1, 20], 22)) == ("missing", 20, [21])
    assert doctor.diagnose([BEFORE_SESSION, 1, 20, 21], 23).departure == "none"


def test_loop_may_run_again(doctor: Diagnostician) -> None:
    assert doctor.diagnose([BEFORE_SESSION, 1, 2, 3, 4, 3, 4, 3, 4], 5).departure == "none"


def test_pause_longer_than_training_saw_is_slow(doctor: Diagnostician) -> None:
    assert doctor.diagnose([BEFORE_SESSION, 1], 2, elapsed_s=1.5).departure == "none"
    found = doctor.diagnose([BEFORE_SESSION, 1], 2, elapsed_s=9.0)
    assert (found.departure, found.elapsed_s, found.slowest_s) == ("slow", 9.0, 1.5)
    assert doctor.diagnose([BEFORE_SESSION, 1, 2], 3, elapsed_s=9.0).departure == "none"
    assert doctor.diagnose([BEFORE_SESSION, 1], 2, elapsed_s=float("nan")).elapsed_s is None


def test_keys_that_are_no_steps_are_counted_and_passed_over(doctor: Diagnostician) -> None:
    found = doctor.diagnose([BEFORE_SESSION, 1, 2, 777, 778], 3)
    assert (found.departure, found.last, found.unmatched) == ("none", 2, 2)


def test_nothing_known_places_nothing(doctor: Diagnostician) -> None:
    assert told(doctor.diagnose([], 3)) == ("unplaced", None, [])
    assert told(doctor.diagnose([777, 778], 999)) == ("unknown", None, [])
    empty = diagnose(Workflow((), "model", {}), [BEFORE_SESSION, 1], 2)
    assert (empty.departure, empty.task) == ("unknown", None)


def test_hundred_thousand_hostile_events_are_diagnosed(doctor: Diagnostician) -> None:
    keys = np.random.default_rng(3).integers(-(2**40), 2**40, 50_000).tolist() + [1, 2, 3, 4] * 12_500
    found = doctor.diagnose(keys, 6, elapsed_s=float("inf"))
    assert (found.departure, found.last) == ("none", 4)


def test_diagnosis_is_json_with_ids_that_words_are_put_beside(doctor: Diagnostician) -> None:
    because = doctor.diagnose([BEFORE_SESSION, 1], END).to_dict()
    worded = _in_words(json.loads(json.dumps(because)), wording(lambda key: f"text {key}"))
    assert worded["observed"] == {"template_id": END, "template": "(session ends)"}
    assert worded["last"]["template"] == "text 1"
    assert [step["template"] for step in worded["missing"]] == ["text 2", "text 3", "text 4", "text 5", "text 7"]
    assert worded["expected"][0]["template"] == "text 2"


def test_diagnosing_changes_nothing(doctor: Diagnostician) -> None:
    first = doctor.diagnose([BEFORE_SESSION, 1, 2], 4)
    doctor.diagnose([3, 4, 999, 7], END, counts={3: 1})
    assert doctor.diagnose([BEFORE_SESSION, 1, 2], 4) == first
