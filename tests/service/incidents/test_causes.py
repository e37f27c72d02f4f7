"""What an incident keeps of a finding, and what becomes of it in a rule: how far it reaches, and its words."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from models.errors import TemplateError
from models.finding import Finding
from models.rules import Clause, Rule, Rules, Scope
from models.sessions import SessionState
from models.verdict import Verdict
from service.incidents.causes import OF_ONE_DETECTOR, Cause, causes, in_words, of_session, scopes, to_silence
from tests.service.serving import blocks_bundle


def finding(*clauses: Clause, **because: Mapping[str, Any]) -> Finding:
    verdict: Verdict = {
        "index": 0, "kind": "line", "session": "s", "template_id": 1, "template": "t", "novel": False,
        "anomalous": True, "score": 1.0, "state": "scored", "incident": "i",
        "reasons": [{"detector": name, **why} for name, why in because.items()],
    }  # fmt: skip
    return Finding(verdict, "cause", 0.0, 0.0, (), 0, clauses)


def value(observed: float, match: str = "m") -> Clause:
    return Clause("values", "parameter", match, observed, observed)


@pytest.mark.parametrize(
    ("observed", "normal", "low", "high"),
    [
        (20.0, [0.0, 10.0], 0.0, 21.0),
        (-10.0, [0.0, 10.0], -11.0, 10.0),
        (5.0, [0.0, 10.0], 0.0, 10.0),
        (7.0, None, 7.0, 7.0),
        (7.0, [0.0, math.inf], 7.0, 7.0),
        (7.0, [math.nan, 5.0], 7.0, 7.0),
    ],
)
def test_a_value_is_silent_from_the_normal_range_to_a_little_beyond_what_rang(
    observed: float, normal: list[float] | None, low: float, high: float
) -> None:
    (cause,) = causes(finding(value(observed), values={"normal": normal} if normal else {}))
    assert (cause.rule.low, cause.rule.high) == (pytest.approx(low), pytest.approx(high))
    assert cause.alarm == value(observed)
    assert Rules([Rule("r", (cause.rule,))]).silencing([cause.alarm], 0.0) == "r"


@pytest.mark.parametrize("observed", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_makes_no_rule_without_a_range(observed: float) -> None:
    wider = Clause("values", "template", "1")
    (cause,) = causes(finding(value(observed), wider, values={"normal": [0.0, 1.0]}))
    assert (cause.rule, cause.narrowest) == (wider, True)


@pytest.mark.parametrize("scope", ["timeframe", "session"])
def test_a_timeframe_or_a_session_is_silent_up_to_a_little_more_than_its_error(scope: Scope) -> None:
    (cause,) = causes(finding(Clause("a", scope, "ab", 2.0, 2.0), a={}))
    assert (cause.rule.low, cause.rule.high) == (0.0, pytest.approx(2.2))


def test_the_narrowest_of_each_detector_is_silenced_and_ranges_of_one_value_are_joined() -> None:
    window, template = Clause("deeplog", "window", "w"), Clause("deeplog", "template", "1")
    other = Clause("values", "template", "1")
    found = causes(finding(window, template, value(20.0), other, values={"normal": [0.0, 10.0]}))
    found += causes(finding(value(-10.0), other, values={"normal": [2.0, 9.0]}))
    assert [Cause.decode(cause.encode()) for cause in found] == found
    assert scopes(found) == ["window", "template", "parameter"]
    first, joined = to_silence(found, None)
    assert first == window
    assert (joined.match, joined.low, joined.high) == ("m", pytest.approx(-11.2), pytest.approx(21.0))
    assert to_silence(found, "template") == (template, other)
    assert to_silence(found, "session") == ()
    assert len(to_silence([*found, *causes(finding(value(5.0, "n"), values={}))], "parameter")) == 2


def test_a_finding_with_thousands_of_unknown_templates_keeps_the_narrowest_clauses_of_each_detector() -> None:
    many = [Clause(name, "template", str(key)) for name in ("a", "b") for key in range(5_000)]
    found = causes(finding(*many, a={}, b={}))
    assert len(found) == 2 * OF_ONE_DETECTOR
    assert [cause.alarm for cause in found if cause.narrowest] == [many[0], many[5_000]]


def test_words_name_templates_and_ranges_and_do_not_run_on() -> None:
    def text_of(template_id: int) -> str:
        if template_id == 9:
            raise TemplateError("no such template here")
        return f"template {'x' * 500}" if template_id == 8 else f"text {template_id}"

    clauses = [Clause("new_event", "template", str(key)) for key in (1, 9)]
    clauses += [Clause("deeplog", "window", f"{i}") for i in range(3)]
    clauses += [Clause("values", "parameter", "m", 0.5, 2.25), Clause("text", "text", "h")]
    clauses += [Clause("count_vector", "session", "h", 0.0, 0.5), Clause("length", "session", "h")]
    assert in_words(clauses, text_of) == [
        "new_event is silent on “text 1”, “template 9”",
        "deeplog is silent after the same events (3 of them)",
        "values is silent on the same value from 0.5 to 2.25",
        "text is silent on the same words",
        "count_vector is silent on sessions with the same departure from a normal one up to 0.5",
        "length is silent on sessions with the same events",
    ]
    many = in_words([Clause("new_event", "template", str(key)) for key in range(10, 18)], text_of)
    assert many == ["new_event is silent on “text 10”, “text 11”, “text 12”, “text 13”, “text 14” and 3 more"]
    assert len(in_words([Clause("new_event", "template", "8")], text_of)[0]) < 300


def test_a_session_has_the_clauses_of_its_windows_and_of_its_end() -> None:
    judge = blocks_bundle().judge()
    whole = SessionState(0.0, 1.0, 3, (1, 2, 3), {1: 1, 2: 1, 3: 1})
    found = of_session(judge, "s", whole)
    assert {(clause.detector, clause.scope) for clause in found} >= {
        ("deeplog", "window"), ("deeplog", "template"), ("new_event", "template"), ("count_vector", "session"),
    }  # fmt: skip
    long = tuple(range(1, 8)) * 3
    cut = SessionState(0.0, 1.0, 500, long[-judge.width :], dict.fromkeys(range(1, 8), 70))
    windows = [clause for clause in of_session(judge, "s", cut) if clause.scope == "window"]
    assert len(windows) == 1, "of the end only: what came before the oldest keys is forgotten"
    assert of_session(judge, "s", SessionState(0.0, 0.0, 0, (), {}))
