"""Which incidents are alike, in which order, and what they are said to share."""

from typing import Any

from models.rules import Clause, Scope
from service.incidents.causes import Cause
from service.incidents.similar import SHOWN, Known, similar
from service.state.incidents import StoredIncident


def known(name: str, *alarms: tuple[str, Scope, str], window: tuple[int, ...] = (), **more: Any) -> Known:
    body = {
        "cause": f"cause of {name}", "detector": f"detector of {name}", "template_id": None, "kind": "line",
        "session": f"session of {name}", "tree": "tree", "window": [{"template_id": key} for key in window],
    }  # fmt: skip
    raised, state = more.pop("raised", 1.0), more.pop("state", "open")
    source = more.pop("source", "blocks")
    incident = StoredIncident(name, source, {**body, **more}, 1, 0.0, 0.0, 0.9, state, raised)
    return Known.of(incident, [Cause(c, c, True).encode() for c in (Clause(*alarm) for alarm in alarms)])


def names(one: Known, *others: Known) -> list[str]:
    return [found.incident.id for found in similar(one, others)]


def test_the_cause_comes_first_then_alarms_then_template_then_window() -> None:
    one = known(
        "one", ("deeplog", "window", "w"), ("deeplog", "template", "7"), window=(1, 2, 3, 4), cause="c", template_id=7,
        detector="deeplog",
    )  # fmt: skip
    by_cause = known("cause", cause="c")
    by_alarms = known("alarms", ("deeplog", "window", "w"), ("deeplog", "template", "7"))
    by_alarm = known("alarm", ("deeplog", "template", "7"), ("length", "session", "x"))
    by_template = known("template", template_id=7)
    by_window = known("window", window=(2, 3, 4), detector="deeplog")
    others = (by_window, by_template, by_alarm, by_alarms, by_cause)
    assert names(one, *others) == names(one, *reversed(others)) == ["cause", "alarms", "alarm", "template", "window"]


def test_a_detector_alone_or_a_few_templates_before_make_nothing_similar() -> None:
    one = known("one", window=(1, 2, 3, 4), detector="deeplog")
    assert names(one, known("other", detector="deeplog"), known("few", window=(1, 9), detector="deeplog")) == []
    assert names(one, known("another detector", window=(1, 2, 3, 4))) == []


def test_it_is_not_like_itself_nor_like_those_of_other_trees_or_sources() -> None:
    one = known("one", cause="c")
    others = known("tree", cause="c", tree="another"), known("source", cause="c", source="shop")
    assert names(one, one, *others) == []


def test_of_equals_those_that_were_answered_come_first_then_the_newest() -> None:
    one = known("one", cause="c")
    open_ones = [known(f"open {number}", cause="c", raised=float(number)) for number in range(20)]
    answered = known("answered", cause="c", raised=-1.0, state="silenced")
    assert names(one, *open_ones, answered) == ["answered", "open 19", "open 18", "open 17", "open 16"]
    assert SHOWN == 5


def test_it_says_what_they_share_the_narrowest_of_each_detector() -> None:
    one = known(
        "one", ("deeplog", "window", "w"), ("deeplog", "template", "7"), ("length", "session", "l"), window=(1, 2),
        cause="c", template_id=7, detector="deeplog", session="s",
    )  # fmt: skip
    other = known(
        "other", ("deeplog", "template", "7"), ("deeplog", "window", "w"), ("length", "session", "m"), window=(2,),
        cause="c", template_id=7, detector="deeplog", session="s",
    )  # fmt: skip
    (found,) = similar(one, [other])
    assert found.because == [
        "the same cause", "deeplog rang on the same events before it", "the same template",
        "1 of the 2 templates before it", "deeplog led", "the same session",
    ]  # fmt: skip


def test_a_value_that_differs_is_the_same_alarm_all_the_same() -> None:
    one, other = known("one"), known("other")
    lines = [
        Cause(Clause("count_vector", "session", "m", value, value), Clause("count_vector", "session", "m"), True)
        for value in (0.25, 0.5)
    ]
    (found,) = similar(Known.of(one.incident, [lines[0].encode()]), [Known.of(other.incident, [lines[1].encode()])])
    assert found.because == ["count_vector rang on sessions that depart alike"]
