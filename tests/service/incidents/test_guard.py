"""What a rule or a case is refused for, at the rules and cases as they stand."""

from typing import Any

import pytest

from models.rules import Clause
from service.errors import Conflict, TooMuchFeedback
from service.incidents.guard import HOUR_S, Limits, agreed, check_case, check_rule, expired
from service.state import keys
from service.state.rules import StoredRules

NOW = 10_000.0
LIMITS = Limits(per_author=2, per_source=3)
WINDOW, TEMPLATE = Clause("deeplog", "window", "w"), Clause("deeplog", "template", "1")


def rule(
    *clauses: Clause, author: str = "ada", time: float = NOW, expires: float | None = None, tree: str = "t"
) -> dict[str, Any]:
    told = [clause.to_dict() for clause in clauses]
    return {"clauses": told, "expires": expires, "tree": tree, "author": author, "time": time}


def case(*clauses: Clause, tree: str = "t") -> dict[str, Any]:
    return {**rule(*clauses, author="bob", tree=tree), "incident": "i1", "session": "s1"}


def refused(stored: StoredRules, new: dict[str, Any]) -> str:
    clauses = [Clause.from_dict(clause) for clause in new["clauses"]]
    try:
        check_rule(stored, "new", new, clauses, Limits(99, 99))
    except Conflict as error:
        return str(error)
    return ""


def test_a_rule_that_takes_one_detector_from_a_protected_case_is_refused() -> None:
    stored = StoredRules(1, {}, {"c1": case(WINDOW, TEMPLATE, Clause("values", "parameter", "m", 5.0, 5.0))})
    for clause in (WINDOW, TEMPLATE, Clause("values", "parameter", "m", 0.0, 5.0)):
        assert "incident i1, session 's1'" in refused(stored, rule(Clause("new_event", "template", "9"), clause))
    for clause in (
        Clause("other", "window", "w"), Clause("deeplog", "window", "v"), Clause("values", "parameter", "m", 0.0, 4.9)
    ):  # fmt: skip
        assert refused(stored, rule(clause)) == ""
    assert refused(stored, rule(WINDOW, tree="another")) == ""


def test_a_rule_that_says_nothing_new_is_refused() -> None:
    ranged = Clause("values", "parameter", "m", 0.0, 5.0)
    stored = StoredRules(1, {"r1": rule(WINDOW, expires=NOW + 60), "r2": rule(ranged)})
    assert "feedback r1" in refused(stored, rule(WINDOW, expires=NOW + 60))
    assert refused(stored, rule(WINDOW, expires=NOW + 61)) == ""
    assert refused(stored, rule(WINDOW)) == ""
    assert refused(stored, rule(WINDOW, TEMPLATE, expires=NOW + 60)) == ""
    assert refused(stored, rule(WINDOW, expires=NOW + 60, tree="another")) == ""
    assert "feedback r2" in refused(stored, rule(Clause("values", "parameter", "m", 1.0, 5.0)))
    assert refused(stored, rule(Clause("values", "parameter", "m", 1.0, 5.1))) == ""


@pytest.mark.parametrize(
    ("given", "wait_s"),
    [
        ([("ada", 100.0), ("ada", 200.0)], HOUR_S - 200.0),
        ([("ada", 100.0), ("ada", 200.0), ("ada", HOUR_S)], HOUR_S - 200.0),
        ([("ada", 50.0), ("bob", 100.0), ("eve", 300.0)], HOUR_S - 300.0),
        ([("ada", 100.0), ("bob", 200.0)], None),
        ([("ada", 100.0), ("ada", HOUR_S)], None),
    ],
)
def test_an_author_and_an_hour_may_move_so_much(given: list[tuple[str, float]], wait_s: float | None) -> None:
    """``given``: who added a rule, and how many seconds ago."""
    known = {
        f"r{i}": rule(Clause("x", "template", f"{i}"), author=author, time=NOW - ago)
        for i, (author, ago) in enumerate(given)
    }
    if wait_s is None:
        check_rule(StoredRules(1, known), "new", rule(WINDOW), [WINDOW], LIMITS)
        return
    with pytest.raises(TooMuchFeedback) as error:
        check_rule(StoredRules(1, known), "new", rule(WINDOW), [WINDOW], LIMITS)
    assert error.value.retry_after_s == wait_s


def test_a_case_that_a_rule_silences_is_refused() -> None:
    stored = StoredRules(1, {"r1": rule(WINDOW, expires=NOW + 1)})
    with pytest.raises(Conflict, match="DELETE /feedback/r1"):
        check_case(stored, case(WINDOW, TEMPLATE))
    check_case(stored, case(TEMPLATE))
    check_case(stored, case(WINDOW, tree="another"))
    check_case(stored, {**case(WINDOW), "time": NOW + 1})


def test_a_source_has_room_for_so_many_and_what_expired_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "RULES_KEPT", 1)
    monkeypatch.setattr(keys, "CASES_KEPT", 1)
    stored = StoredRules(1, {"r1": rule(TEMPLATE, time=0.0, expires=NOW)}, {"c1": case(TEMPLATE)})
    assert "has 1 rules" in refused(stored, rule(WINDOW))
    with pytest.raises(Conflict, match="protects 1 cases"):
        check_case(stored, case(WINDOW))
    assert expired(stored, NOW) == ["r1"]
    assert expired(stored, NOW - 1.0) == []


def test_what_others_say_alone_may_be_said_again_and_what_the_author_said_may_not() -> None:
    for stored in (
        StoredRules(1, {"r1": rule(WINDOW)}, trial={"r1": "ada"}),
        StoredRules(1, {}, waiting={"r1": rule(WINDOW)}, trial={"r1": "ada"}),
    ):
        assert "feedback r1" in refused(stored, rule(WINDOW, author="ada"))
        assert refused(stored, rule(WINDOW, author="bob")) == ""


def test_rules_that_wait_count_as_added() -> None:
    waiting = {f"r{i}": rule(Clause("x", "template", f"{i}")) for i in range(2)}
    stored = StoredRules(1, {}, waiting=waiting, trial=dict.fromkeys(waiting, "ada"))
    with pytest.raises(TooMuchFeedback, match="'ada' silenced 2"):
        check_rule(stored, "new", rule(WINDOW), [WINDOW], LIMITS)
    assert expired(StoredRules(1, {}, waiting={"r1": rule(WINDOW, expires=NOW)}), NOW) == ["r1"]


def test_to_agree_is_to_say_at_least_as_much_under_another_name() -> None:
    ranged = Clause("values", "parameter", "m", 0.0, 5.0)
    stored = StoredRules(1, {"r1": rule(WINDOW, ranged)}, trial={"r1": "ada"})

    def agrees(*clauses: Clause, author: str = "bob", tree: str = "t") -> list[str]:
        return agreed(stored, rule(author=author, tree=tree), clauses)

    assert agrees(WINDOW, ranged) == agrees(TEMPLATE, Clause("values", "parameter", "m", -1.0, 6.0), WINDOW) == ["r1"]
    assert agrees(WINDOW, ranged, author="ada") == []
    assert agrees(WINDOW, ranged, tree="another") == []
    assert agrees(WINDOW) == []
    assert agrees(WINDOW, Clause("values", "parameter", "m", 0.0, 4.9)) == []
    assert agreed(StoredRules(1, {"r1": rule(WINDOW)}), rule(author="bob"), [WINDOW]) == []
    protected = StoredRules(1, {"r1": rule(WINDOW)}, {"c1": case(WINDOW)}, trial={"r1": "ada"})
    with pytest.raises(Conflict, match="real anomaly"):
        agreed(protected, rule(author="eve"), [WINDOW])
