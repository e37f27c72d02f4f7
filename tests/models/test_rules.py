"""Rules silence the detector that they name where the same cause comes again, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from models.baselines.count_vector import CountVector
from models.baselines.new_event import NewEvent
from models.ensemble import Ensemble
from models.errors import DataError
from models.judge import Judge
from models.members.ended import CountMember
from models.members.event import KeyMember, Observed
from models.rules import Clause, Rule, Rules, joined, widened
from models.sessions import Closing, Float64, Int64, SessionState
from models.vocabulary import END
from models.windows import Windows


class Follows:
    """An event detector: only 1, 2, 3, the end is expected, in this order."""

    name = "follows"
    window = 1
    judges_end = True

    def score(self, history: Int64, keys: Int64) -> Float64:
        allowed = {(-1, 1), (1, 2), (2, 3), (3, END)}
        pairs = zip(history[:, 0].tolist(), keys.tolist(), strict=True)
        return np.array([0.0 if pair in allowed else 1.0 for pair in pairs])

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        return {"template_id": key}


@pytest.fixture(scope="module")
def judge() -> Judge:
    rare = np.zeros(2000)
    rare[:3] = 1.0
    raws = {"new_event": rare, "follows": np.roll(rare, 50), "count_vector": np.roll(rare, 90)}
    events = [KeyMember(NewEvent(np.array([1, 2, 3])), 0), KeyMember(Follows(), 1)]
    counts = CountMember(CountVector([{1: 1, 2: 1, 3: 1}]), 3)
    return Judge(events, [counts], Ensemble.fit(raws, 0.01), frozenset([1, 2, 3]))


def event(before: int, key: int) -> Observed:
    windows = Windows(np.array([[before]]), np.array([0]), np.array([1]), np.zeros(1))
    return Observed(windows, np.array([key]))


def ended(counts: Mapping[int, int], last: int, peaks: Mapping[int, float] | None = None) -> Closing:
    n = sum(counts.values())
    return Closing("s", SessionState(0.0, 1.0, n, (last,), dict(counts)), dict(peaks or {}))


def rules_of(*clauses: Clause, expires: float | None = None) -> Rules:
    return Rules([Rule("r1", clauses, expires)])


def narrowest(judge: Judge, detector: str, found: Observed) -> Clause:
    return judge.explainer.row_clauses(detector, found, 0)[0]


def test_the_same_window_is_silent_and_another_one_rings(judge: Judge) -> None:
    wrong = event(1, 3)
    rules = rules_of(narrowest(judge, "follows", wrong))
    silenced = judge.rows(wrong, rules, 5.0)
    assert judge.rows(wrong).anomalous.tolist() == [True]
    assert (silenced.anomalous.tolist(), dict(silenced.silenced)) == ([False], {0: "r1"})
    other = judge.rows(event(2, 1), rules, 5.0)
    assert (other.anomalous.tolist(), dict(other.silenced)) == ([True], {})


def test_what_was_silenced_is_not_remembered_until_the_session_closes(judge: Judge) -> None:
    wrong = event(1, 3)
    rules = rules_of(narrowest(judge, "follows", wrong))
    assert [peak.member for peak in judge.peaks(judge.rows(wrong))] == [1]
    assert judge.peaks(judge.rows(wrong, rules, 5.0)) == []


def test_another_detector_still_rings_and_nothing_is_called_silenced(judge: Judge) -> None:
    new = event(1, 7)
    rules = rules_of(Clause("new_event", "template", "7"))
    rows = judge.rows(new, rules, 5.0)
    assert (rows.anomalous.tolist(), dict(rows.silenced)) == ([True], {})
    assert [reason.detector for reason in judge.explainer.row_reasons(rows, 0, new)] == ["follows"]


def test_an_accepted_template_is_accepted_in_every_window_that_could_not_be_read(judge: Judge) -> None:
    clauses = [narrowest(judge, name, event(1, 7)) for name in ("new_event", "follows")]
    assert {clause.scope for clause in clauses} == {"template"}
    rules = rules_of(*clauses)
    for before, key in ((1, 7), (2, 7), (7, 2), (7, 7)):
        assert judge.rows(event(before, key), rules, 5.0).anomalous.tolist() == [False]
    for before, key in ((1, 8), (1, 3)):
        assert judge.rows(event(before, key), rules, 5.0).anomalous.tolist() == [True]


def test_what_a_new_template_hides_is_about_that_template_and_not_about_the_known_one_after_it(judge: Judge) -> None:
    clauses = judge.explainer.row_clauses("follows", event(7, 2), 0)
    assert [(clause.scope, clause.match) for clause in clauses[:2]] == [("template", "7"), ("template", "2")]


def test_the_same_events_before_are_one_cause_in_any_order_and_one_more_is_another(judge: Judge) -> None:
    member = KeyMember(Follows(), 1)
    member.window = 3

    def clause(*keys: int) -> Clause:
        *before, key = keys
        windows = Windows(np.array([before]), np.array([0]), np.array([3]), np.zeros(1))
        return member.clauses(Observed(windows, np.array([key])), 0, frozenset([1, 2, 3]))[0]

    assert clause(1, 2, 2, 3) == clause(2, 1, 2, 3)
    assert len({clause(*keys) for keys in ((1, 2, 2, 3), (1, 1, 2, 3), (1, 2, 2, 1), (-1, 1, 2, 3))}) == 4


def test_the_end_of_a_session_is_silenced_by_all_of_its_events_whichever_came_last(judge: Judge) -> None:
    early = ended({1: 1, 2: 1, 3: 1}, 1)
    (clause, *_) = judge.explainer.closing_clauses("follows", early)
    others = [ended({1: 1, 2: 1, 3: 1}, 2), ended({1: 1, 2: 2, 3: 1}, 1), ended({1: 2, 2: 2, 3: 2}, 1)]
    closed = judge.closings([early, *others], rules_of(clause), 5.0)
    assert closed.anomalous.tolist() == [False, False, True, True]
    assert dict(closed.silenced) == {0: "r1", 1: "r1"}


def test_the_same_departure_from_normal_counts_is_silent_and_a_larger_or_another_one_rings(judge: Judge) -> None:
    odd = ended({1: 5, 2: 1, 3: 1}, 3)
    (clause, *_) = judge.explainer.closing_clauses("count_vector", odd)
    rule = widened(clause)
    assert clause.scope == "session"
    assert rule is not None
    smaller, larger = ended({1: 4, 2: 1, 3: 1}, 3), ended({1: 9, 2: 1, 3: 1}, 3)
    another = ended({1: 1, 2: 1, 3: 4}, 3)
    closed = judge.closings([odd, smaller, larger, another], rules_of(rule), 5.0)
    assert closed.anomalous.tolist() == [False, False, True, True]


def test_a_rule_reaches_a_little_beyond_what_rang_and_holds_each_cause_once() -> None:
    near, far = (widened(Clause("count_vector", "session", "m", value, value)) for value in (0.2, 0.5))
    assert near is not None
    assert far is not None
    assert (near.low, near.high) == (0.0, pytest.approx(0.22))
    other = Clause("deeplog", "window", "m")
    assert joined([near, other, far, other]) == (far, other)
    assert widened(Clause("values", "parameter", "m", np.nan, np.nan)) is None


def test_counts_are_judged_without_the_templates_that_were_accepted(judge: Judge) -> None:
    rules = rules_of(Clause("count_vector", "template", "7"))
    sessions = [ended({1: 1, 2: 1, 3: 1, 7: 4}, 3), ended({1: 9, 2: 1, 7: 1}, 3), ended({7: 2}, 3)]
    assert judge.closings(sessions).anomalous.tolist() == [True, True, True]
    closed = judge.closings(sessions, rules, 5.0)
    assert closed.anomalous.tolist() == [False, True, False]
    assert dict(closed.silenced) == {0: "r1", 2: "r1"}


def test_a_peak_from_before_still_counts(judge: Judge) -> None:
    counts = {1: 5, 2: 1, 3: 1}
    (clause, *_) = judge.explainer.closing_clauses("count_vector", ended(counts, 3))
    assert judge.closings([ended(counts, 3, {1: 1.0})], rules_of(clause), 5.0).anomalous.tolist() == [True]
    assert judge.explainer.closing_clauses("follows", ended(counts, 3, {1: 1.0})) == []


def test_a_rule_ends_when_it_expires(judge: Judge) -> None:
    wrong = event(1, 3)
    rules = rules_of(narrowest(judge, "follows", wrong), expires=10.0)
    assert [judge.rows(wrong, rules, now).anomalous.tolist() for now in (9.9, 10.0)] == [[False], [True]]


@pytest.mark.parametrize(("value", "covered"), [(4.9, False), (5.0, True), (7.0, True), (7.1, False)])
def test_a_value_is_covered_inside_the_range(value: float, covered: bool) -> None:
    rules = rules_of(Clause("values", "parameter", "m", 5.0, 7.0))
    assert (rules.silencing([Clause("values", "parameter", "m", value, value)], 0.0) is not None) == covered


def test_clauses_come_back_from_json_and_damaged_ones_are_refused() -> None:
    for clause in (Clause("a", "window", "m"), Clause("a", "parameter", "m", -1.0, 2.5)):
        assert Clause.from_dict(clause.to_dict()) == clause
    damaged: Sequence[dict[str, Any]] = ({}, {"detector": "a", "scope": "all", "match": "m"}, {"detector": "a", "x": 1})
    for state in damaged:
        with pytest.raises(DataError):
            Clause.from_dict(state)
