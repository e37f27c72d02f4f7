"""What is in force of simulated answers: the same account that the service keeps."""

from models.lesson import Lesson
from models.rules import Clause, Rule
from training.desk import Desk
from training.learning.answers import Answer


def cause(number: int) -> Clause:
    return Clause("d", "window", str(number))


def rule(number: int) -> Rule:
    return Rule(f"r{number}", (cause(number),))


def silent(desk: Desk, *numbers: int) -> list[bool]:
    return [desk.rules.silencing([cause(number)], 0.0) is not None for number in numbers]


def test_rules_of_one_author_wait_once_a_batch_showed_what_they_silenced() -> None:
    desk = Desk(2)
    for number, author in ((1, "ada"), (2, "ada"), (3, "bob")):
        desk.give(rule(number), author)
    for name in ("r1", "r2", "r2"):
        desk.hit(name)
    assert silent(desk, 1, 2, 3) == [True, True, True]
    desk.settle()
    assert silent(desk, 1, 2, 3) == [False, False, True]
    assert desk.holding(cause(1)) == "r1"
    desk.give(rule(4), "ada")
    assert silent(desk, 4) == [False]
    desk.second("r2")
    assert silent(desk, 1, 2, 4) == [True, True, True]
    assert [desk.on_trial(name) for name in ("r1", "r2", "gone")] == [True, False, False]
    desk.delete("ada")
    assert silent(desk, 1, 2, 3, 4) == [False, False, True, False]


def test_what_an_author_silenced_stays_counted_after_he_is_deleted() -> None:
    desk = Desk(1)
    desk.give(rule(1), "eve")
    desk.hit("r1")
    desk.settle()
    desk.delete("eve")
    desk.give(rule(2), "eve")
    assert silent(desk, 2) == [False]


def test_nobody_waits_where_nobody_needs_a_second() -> None:
    desk = Desk(None)
    desk.give(rule(1), "ada")
    for _ in range(100):
        desk.hit("r1")
    desk.settle()
    assert silent(desk, 1) == [True]
    assert not desk.on_trial("r1")


def test_a_learner_gets_what_no_one_author_said_alone_until_its_rule_is_retired() -> None:
    desk = Desk(2)
    seen = (Lesson("d", {"text": "x"}),)
    for number in (1, 2):
        desk.give(rule(number), "ada", seen)
    assert not desk.lessons()
    desk.second("r2")
    assert desk.lessons() == [(Answer("r2", "false_positive", seen, frozenset({"d"})), rule(2))]
    desk.retire(["r2"])
    assert [(answer.id, own) for answer, own in desk.lessons()] == [("r2", None)]
    assert silent(desk, 1, 2) == [True, False]
    assert desk.holding(cause(2)) is None
    assert [desk.answered(cause(number)) for number in (1, 2, 3)] == [True, True, False]
