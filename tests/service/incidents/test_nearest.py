"""Which keys of an incident are compared, and what is said of a session of which little was kept."""

from typing import Any

from models.errors import TemplateError
from models.normals import Normals
from service.incidents.nearest import nearest

NORMALS = Normals([[1, 2, 3, 4, 5, 6]], [7])


def text_of(key: int) -> str:
    if key > 6:
        raise TemplateError(f"no template {key}")
    return f"step {key}"


def body(window: list[int], key: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "kind": "session" if key is None else "line",
        "template_id": key,
        "window": [{"template_id": at, "template": f"step {at}"} for at in window],
        "lessons": [],
        **more,
    }


def told(found: dict[str, Any] | None) -> list[str]:
    assert found is not None
    assert [found[kind] for kind in ("same", "missing", "extra")] == [
        sum(step["step"] == kind for step in found["steps"]) for kind in ("same", "missing", "extra")
    ]
    return [f"{step['step']} {step['template_id']}" for step in found["steps"]]


def test_a_line_is_compared_with_what_came_before_it_and_the_session_may_go_on() -> None:
    found = nearest(body([1, 2], 4, events=2), NORMALS, text_of)
    assert told(found) == ["same 1", "same 2", "missing 3", "same 4"]
    assert found is not None
    assert (found["sessions"], found["begun"], found["ended"]) == (7, True, False)
    assert (found["before"], found["after"], found["out_of_turn"]) == (0, 2, 0)
    assert [step["template"] for step in found["steps"]] == ["step 1", "step 2", "step 3", "step 4"]


def test_the_end_of_a_session_leaves_nothing_to_come() -> None:
    found = nearest(body([1, 2, 3, 5], events=4), NORMALS, text_of)
    assert told(found) == ["same 1", "same 2", "same 3", "missing 4", "same 5", "missing 6"]


def test_of_a_window_that_lacks_the_beginning_the_beginning_is_not_missing() -> None:
    for known in ({"events": 40}, {}):
        found = nearest(body([3, 5], 6, **known), NORMALS, text_of)
        assert told(found) == ["same 3", "missing 4", "same 5", "same 6"]
        assert found is not None
        assert (found["begun"], found["before"]) == (False, 2)


def test_what_detectors_kept_of_an_ended_session_is_compared_where_it_is_more() -> None:
    lessons = [
        {"detector": "count_vector", "seen": {"counts": [[1, 2]]}},
        {"detector": "edit_distance", "seen": {"sequence": [1, 2, 3, 4, 6]}},
    ]
    found = nearest(body([4, 6], events=5, lessons=lessons), NORMALS, text_of)
    assert told(found) == ["same 1", "same 2", "same 3", "same 4", "missing 5", "same 6"]
    assert found is not None
    assert found["begun"]


def test_a_template_that_this_replica_has_not_met_is_named_by_its_number() -> None:
    found = nearest(body([1], 99, events=1), NORMALS, text_of)
    assert found is not None
    assert found["steps"][-1] == {"step": "extra", "template_id": 99, "template": "template 99"}


def test_a_timeframe_and_a_session_with_nothing_in_common_have_no_neighbour() -> None:
    assert nearest(body([], kind="timeframe"), NORMALS, text_of) is None
    assert nearest(body([98], 99, events=1), NORMALS, text_of) is None
