"""Verdicts in words, and findings that fold into one incident where one thing happened."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.baselines.count_vector import CountVector
from models.baselines.new_event import NewEvent
from models.ensemble import Ensemble
from models.finding import wording
from models.judge import Judge
from models.judging import Judged, judge_batch
from models.live import LiveSessions
from models.members.ended import CountMember
from models.members.event import KeyMember
from models.parser import Events
from models.sessions import Float64, Int64, Rows, SessionSettings
from models.vocabulary import END

SETTINGS = SessionSettings(tail=3, idle_s=1000.0)
NORMAL = [1, 2, 3, 4]
HOSTILE = "<script>alert(1)</script> [bold]\x1b[2J {{7*7}} \ud800 <*>"
TEXTS = {9: HOSTILE}


class Successor:
    """An event detector: strange is what does not follow its predecessor as 1, 2, 3, 4 do."""

    name = "successor"
    window = 1
    judges_end = True

    def score(self, history: Int64, keys: Int64) -> Float64:
        follows = {(-1, 1), (1, 2), (2, 3), (3, 4), (4, END)}
        pairs = zip(history[:, 0].tolist(), keys.tolist(), strict=True)
        return np.array([0.0 if pair in follows else 1.0 for pair in pairs])

    def explain(self, history: Int64, key: int) -> dict[str, Any]:
        before = {"template_id": int(history[0])}
        return {"template_id": key, "before": before, "expected": ({"template_id": END}, {"template_id": 1})}


@pytest.fixture(scope="module")
def judge() -> Judge:
    rng = np.random.default_rng(0)
    rare = np.zeros(5000)
    rare[rng.choice(4000, 3, replace=False)] = 1.0
    raws = {"new_event": np.roll(rare, 7), "successor": rare, "count_vector": np.roll(rare, 29)}
    members = [KeyMember(NewEvent(np.array(NORMAL)), 0), KeyMember(Successor(), 1)]
    counts = CountMember(CountVector([dict.fromkeys(NORMAL, 1)]), 2)
    return Judge(members, [counts], Ensemble.fit(raws, 0.01), frozenset(NORMAL))


def text_of(template_id: int) -> str:
    return TEXTS.get(template_id, f"template {template_id}")


def judged(judge: Judge, keys: Sequence[int], session: str = "a", began: float = 0.0) -> Judged:
    """One session from its first to its last event."""
    n = len(keys)
    time = began + np.arange(n, dtype=np.float64)
    ends = np.arange(n) == n - 1
    events = Events(np.arange(n), np.arange(n), [session] * n, np.array(keys), time, ends)
    windows, closings = LiveSessions(SETTINGS).append(Rows(events.session, events.key, time, time, ends))
    return judge_batch("shop", judge, SETTINGS, events, windows, closings, text_of)


def test_sessions_of_one_course_are_told_together_as_each_alone(judge: Judge) -> None:
    """Each way of going wrong is explained once a batch; what is said of a session must not depend on its company."""
    courses = {"a": [1, 2, 9, 3, 4], "b": [1, 2, 2, 4], "c": [1, 2, 9, 3, 4], "d": NORMAL, "e": [1, 2, 4, 2]}
    live, rows = LiveSessions(SETTINGS), [(name, key) for name, keys in courses.items() for key in keys]
    starts = {name: sum(len(courses[other]) for other in courses if other < name) for name in courses}
    n = len(rows)
    last = [at == n - 1 or rows[at + 1][0] != name for at, (name, _) in enumerate(rows)]
    time, ends, names = np.arange(n, dtype=np.float64), np.array(last), [name for name, _ in rows]
    events = Events(np.arange(n), np.arange(n), names, np.array([key for _, key in rows]), time, ends)
    windows, closings = live.append(Rows(names, events.key, time, time, ends))
    together = judge_batch("shop", judge, SETTINGS, events, windows, closings, text_of)
    alone = [judged(judge, keys, name, float(starts[name])) for name, keys in courses.items()]
    assert together.ends == [end for one in alone for end in one.ends]
    assert sum(end["anomalous"] for end in together.ends) == 4

    def of_sessions(found: Judged) -> list[tuple[object, ...]]:
        own = [f for f in found.findings if f.verdict["kind"] == "session"]
        return [(f.verdict, f.cause, f.started, f.time, f.window, f.clauses, f.diagnosis, f.events) for f in own]

    assert of_sessions(together) == [finding for one in alone for finding in of_sessions(one)]


def test_normal_session_rings_nowhere(judge: Judge) -> None:
    found = judged(judge, NORMAL)
    assert found.findings == []
    assert [v["template"] for v in found.lines] == ["template 1", "template 2", "template 3", "template 4"]
    assert [(v["kind"], v["index"], v["novel"], v["state"]) for v in found.lines] == [
        ("line", at, False, "scored") for at in range(4)
    ]
    assert [(v["kind"], v["index"], v["template"], v["session"]) for v in found.ends] == [("session", None, None, "a")]


def test_one_new_event_raises_one_incident(judge: Judge) -> None:
    found = judged(judge, [1, 2, 9, 3, 4])
    rang = [v for v in [*found.lines, *found.ends] if v["anomalous"]]
    # The event, the one after it, and the session, which has the wrong counts too.
    assert [v["index"] for v in rang] == [2, 3, None]
    assert len({v["incident"] for v in rang}) == 1
    assert [v["novel"] for v in found.lines] == [False, False, True, False, False]


def test_two_new_events_are_two_incidents_and_the_session_joins_one(judge: Judge) -> None:
    found = judged(judge, [1, 9, 2, 3, 4, 1, 8])
    by_line = {v["template_id"]: v["incident"] for v in found.lines if v["novel"]}
    assert len(set(by_line.values())) == 2
    assert found.ends[0]["incident"] in by_line.values()


def test_same_new_event_in_two_sessions_is_two_incidents_of_one_cause(judge: Judge) -> None:
    first, second = judged(judge, [1, 2, 9], "a"), judged(judge, [1, 9], "b")
    one = next(f for f in first.findings if f.verdict["novel"])
    other = next(f for f in second.findings if f.verdict["novel"])
    assert one.verdict["incident"] != other.verdict["incident"]
    assert one.verdict["reasons"][0]["detector"] == "new_event"
    assert one.cause == other.cause


def test_next_epoch_of_a_session_has_its_own_incident(judge: Judge) -> None:
    first, second = judged(judge, [1, 3], began=0.0), judged(judge, [1, 3], began=5000.0)
    assert first.findings[0].verdict["incident"] != second.findings[0].verdict["incident"]
    assert [f.cause for f in first.findings] == [f.cause for f in second.findings]


def test_incident_and_cause_are_the_same_whenever_computed(judge: Judge) -> None:
    first, again = judged(judge, [1, 3, 4]), judged(judge, [1, 3, 4])
    assert [(f.cause, f.verdict["incident"]) for f in first.findings] == [
        (f.cause, f.verdict["incident"]) for f in again.findings
    ]
    assert judged(judge, [1, 4]).findings[0].cause != first.findings[0].cause


def test_finding_keeps_the_window_and_the_time(judge: Judge) -> None:
    finding = judged(judge, [1, 2, 4], began=100.0).findings[0]
    assert (finding.window, finding.time, finding.started, finding.row) == ((1, 2), 102.0, 100.0, 2)


def test_reasons_say_every_template_in_words_at_any_depth(judge: Judge) -> None:
    found = judged(judge, [1, 3, 4])
    (reason,) = found.lines[1]["reasons"]
    assert reason["detector"] == "successor"
    assert (reason["template"], reason["before"]["template"]) == ("template 3", "template 1")
    assert [one["template"] for one in reason["expected"]] == ["(session ends)", "template 1"]
    counted = next(r for r in found.ends[0]["reasons"] if r["detector"] == "count_vector")
    assert {d["template"] for d in counted["differences"]} <= {f"template {key}" for key in NORMAL}


def test_marks_that_are_no_templates_have_words_of_their_own() -> None:
    words = wording(text_of)
    assert (words(-1), words(END), words(2)) == ("(session begins)", "(session ends)", "template 2")


def test_hostile_template_text_is_passed_on_as_it_is(judge: Judge) -> None:
    found = judged(judge, [1, 9])
    verdict = found.lines[1]
    assert verdict["template"] == HOSTILE
    assert {reason["template"] for reason in verdict["reasons"] if reason["template_id"] == 9} == {HOSTILE}


def test_session_name_that_is_no_unicode_still_gets_an_incident(judge: Judge) -> None:
    assert judged(judge, [1, 3], session="\udcff").lines[1]["incident"]
