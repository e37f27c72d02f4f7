"""The shape of a workflow: what survives JSON, what is refused, and what replays on it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import BundleError
from models.workflow.automaton import Automaton
from models.workflow.graph import Task, Workflow

Damage = Callable[[dict[str, Any]], object]


def test_json_and_back(shop: Workflow) -> None:
    again = Workflow.from_json(shop.to_json())
    assert again == shop
    assert again.tasks[1].forks == {3: [[4, 5], [6]]}


def test_every_template_stands_as_a_template_id(shop: Workflow) -> None:
    task = shop.to_dict()["tasks"][1]
    assert [node["template_id"] for node in task["nodes"]] == [-1, -2, 1, 20, 21, 22, 23, 24]
    assert task["mandatory"][0] == {"template_id": 1}
    assert json.loads(shop.to_json())["tasks"][1] == task


@pytest.mark.parametrize(
    ("trace", "allowed"),
    [
        ([1, 2, 3, 4, 5, 7], True),
        ([1, 2, 3, 4, 3, 4, 6, 7], True),
        ([1, 2, 3, 4, 7], False),
        ([1, 2, 3, 4, 5], False),
        ([1, 20, 21, 22, 23, 24], True),
        ([1, 20, 21, 23, 22, 24], True),
        ([1, 20, 23, 21, 22, 24], True),
        ([1, 20, 22, 21, 23, 24], False),
        ([1, 20, 21, 23, 24], False),
        ([1, 20, 21, 22, 23, 23, 24], False),
        ([1, 2, 24], False),
        ([], False),
    ],
)
def test_what_replays(shop: Workflow, trace: list[int], allowed: bool) -> None:
    assert Automaton(shop).replays(trace) is allowed


def test_choices_are_counted_until_the_session_leaves(shop: Workflow) -> None:
    automaton = Automaton(shop)
    assert automaton.choices([1, 2, 3, 4, 5, 7]) == (1 + 2 + 1 + 1 + 3 + 1 + 1, 7)
    assert automaton.choices([1, 999, 3]) == (1 + 2, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda task: task["nodes"][0].update(template_id=5),
        lambda task: task["nodes"][3].update(template_id=-7),
        lambda task: task["nodes"].clear(),
        lambda task: task["nodes"][2].pop("count"),
        lambda task: task["nodes"][2].update(count=-1),
        lambda task: task["edges"][0].update(to=99),
        lambda task: task["edges"][0].update({"from": -1}),
        lambda task: task["edges"][0].update({"from": 1}),
        lambda task: task["edges"][0].update(to=0),
        lambda task: task["edges"][0].update(kind="leap"),
        lambda task: task["edges"][0].update(kind=["sequence"]),
        lambda task: task["edges"][0].update(slowest_s=-1.0),
        lambda task: task["edges"][0].update(count="many"),
        lambda task: task["edges"][4].update(to=4),
        lambda task: task["edges"][4].update(to=7),
        lambda task: task["edges"][4].update(kind="branch"),
        lambda task: task["edges"][6].update(to=5),
        lambda task: task["edges"][7].update(to=6),
        lambda task: task["edges"].append(dict(task["edges"][2])),
        lambda task: task["mandatory"].append(7),
        lambda task: task.pop("sessions"),
        lambda task: task.update(edges=None),
    ],
)
def test_damage_is_refused(shop: Workflow, damage: Damage) -> None:
    state = json.loads(shop.to_json())
    damage(state["tasks"][1])
    with pytest.raises(BundleError, match=r"workflow\.json"):
        Workflow.from_dict(state)


def test_fork_of_too_many_branches_is_refused(shop: Workflow) -> None:
    state = shop.to_dict()["tasks"][1]
    for branch in range(9):
        state["nodes"].append({"template_id": 100 + branch, "count": 1})
        place = len(state["nodes"]) - 1
        state["edges"].append({"from": 3, "to": place, "kind": "fork", "count": 1, "slowest_s": None})
        state["edges"].append({"from": place, "to": 7, "kind": "join", "count": 1, "slowest_s": None})
    with pytest.raises(BundleError, match="too many branches"):
        Task.from_dict(state)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"tasks": [1], "way": "model", "report": {}}', b"\xff"])
def test_file_that_holds_no_workflow_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="damaged"):
        Workflow.from_json(data)
