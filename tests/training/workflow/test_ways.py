"""Each way of construction finds the forks, branches, loops and tasks of traces whose program is known."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from models.sessions import BEFORE_SESSION, Int64
from models.vocabulary import END
from models.workflow.automaton import Automaton
from models.workflow.graph import END_NODE, START_NODE, Task, Workflow
from training.workflow import NextProbabilities, WorkflowSettings
from training.workflow.build import workflow_of
from training.workflow.density import DensityEvidence
from training.workflow.evidence import variants
from training.workflow.model import ModelEvidence

KeyModel = Callable[[Sequence[Int64]], NextProbabilities]
Build = Callable[[Sequence[Sequence[int]]], Workflow]
SETTINGS = WorkflowSettings()


@pytest.fixture(params=["model", "density"])
def build(request: pytest.FixtureRequest, frequencies: KeyModel) -> Build:
    def by_model(traces: Sequence[Sequence[int]]) -> Workflow:
        sessions = arrays(traces)
        model = frequencies(sessions)
        return workflow_of(sessions, lambda given: ModelEvidence(given, model, SETTINGS), SETTINGS, "model")

    def by_density(traces: Sequence[Sequence[int]]) -> Workflow:
        return workflow_of(arrays(traces), lambda given: DensityEvidence(given, SETTINGS), SETTINGS, "density")

    return by_model if request.param == "model" else by_density


def arrays(traces: Sequence[Sequence[int]]) -> list[Int64]:
    return [np.array(trace, dtype=np.int64) for trace in traces]


def edges(task: Task, *kinds: str) -> set[tuple[int, int]]:
    """Edges by the templates at their ends."""
    key = [node.template_id for node in task.nodes]
    return {(key[edge.source], key[edge.target]) for edge in task.edges if edge.kind in kinds}


def test_sequence(build: Build) -> None:
    (task,) = build([[1, 2, 3]] * 30).tasks
    assert edges(task, "sequence") == {(BEFORE_SESSION, 1), (1, 2), (2, 3), (3, END)}
    assert len(task.edges) == 4
    assert task.mandatory == (1, 2, 3)


def test_branch_is_found_and_joins_again(build: Build) -> None:
    chance = random.Random(1)
    (task,) = build([[1, 2, chance.choice([3, 4]), 5, 6] for _ in range(200)]).tasks
    assert edges(task, "branch") == {(2, 3), (2, 4)}
    assert edges(task, "sequence") == {(BEFORE_SESSION, 1), (1, 2), (3, 5), (4, 5), (5, 6), (6, END)}
    assert edges(task, "loop", "fork", "join") == set()


def test_fork_of_two_keys_is_found(build: Build) -> None:
    chance = random.Random(2)
    workflow = build([[1, 2, *chance.sample([3, 4], 2), 5, 6] for _ in range(200)])
    (task,) = workflow.tasks
    assert edges(task, "fork") == {(2, 3), (2, 4)}
    assert edges(task, "join") == {(3, 5), (4, 5)}
    assert edges(task, "branch", "loop") == set()
    automaton = Automaton(workflow)
    assert automaton.replays([1, 2, 4, 3, 5, 6])
    assert not automaton.replays([1, 2, 3, 5, 6])


def test_two_tasks_interleaved_in_one_session_are_two_chains_of_a_fork(build: Build) -> None:
    chance = random.Random(3)
    workflow = build([[1, 2, *interleaved([11, 12, 13], [21, 22, 23], chance), 5, 6] for _ in range(400)])
    (task,) = workflow.tasks
    ((fork, branches),) = task.forks.items()
    assert task.nodes[fork].template_id == 2
    assert sorted([task.nodes[place].template_id for place in branch] for branch in branches) == [
        [11, 12, 13],
        [21, 22, 23],
    ]
    assert edges(task, "join") == {(13, 5), (23, 5)}
    assert len(task.nodes) == 12


def test_loop_is_folded(build: Build) -> None:
    chance = random.Random(4)
    workflow = build([[1, 2, *[39, 40] * chance.randint(1, 4), 7, 8] for _ in range(300)])
    (task,) = workflow.tasks
    assert edges(task, "loop") == {(40, 39)}
    assert edges(task, "sequence") == {(BEFORE_SESSION, 1), (1, 2), (2, 39), (39, 40), (40, 7), (7, 8), (8, END)}
    assert len(task.nodes) == 8
    assert Automaton(workflow).replays([1, 2, *[39, 40] * 50, 7, 8])


def test_step_that_repeats_itself_is_a_loop(build: Build) -> None:
    chance = random.Random(5)
    (task,) = build([[1, *[2] * chance.randint(1, 3), 3] for _ in range(200)]).tasks
    assert edges(task, "loop") == {(2, 2)}
    assert len(task.nodes) == 5


def test_overflow_template_is_a_step_like_any_other(build: Build) -> None:
    (task,) = build([[1, 0, 2, 3]] * 30).tasks
    assert edges(task, "sequence") == {(BEFORE_SESSION, 1), (1, 0), (0, 2), (2, 3), (3, END)}


def test_chains_are_what_certainly_follows() -> None:
    chance = random.Random(9)
    traces = arrays([[1, 2, 3, *chance.choice([[4, 5], [6, 7]]), 8] for _ in range(100)])
    assert DensityEvidence(variants(traces), SETTINGS).chains == [(1, 2, 3), (4, 5, 8), (6, 7, 8)]


def test_two_tasks_after_a_common_beginning_are_told_apart(build: Build) -> None:
    chance = random.Random(6)
    ways = [[1, 2, 11, 12, 13, 14, 15, 9], [1, 2, 21, 22, 23, 24, 25, 9]]
    tasks = build([chance.choice(ways) for _ in range(200)]).tasks
    assert sorted(task.mandatory for task in tasks) == [tuple(sorted(way)) for way in ways]
    assert all(edges(task, "branch", "loop", "fork", "join") == set() for task in tasks)
    assert sum(task.sessions for task in tasks) == 200


def test_three_own_keys_are_a_branch_and_no_task(build: Build) -> None:
    chance = random.Random(7)
    ways = [[1, 2, 11, 12, 13, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]]
    (task,) = build([chance.choice(ways) for _ in range(200)]).tasks
    assert edges(task, "branch") == {(2, 11), (2, 3)}


def test_key_with_two_uses_is_two_steps(build: Build) -> None:
    """13 opens a transaction and ends it: what follows tells which."""
    (task,) = build([[1, 13, 2, 3, 13, 9]] * 100).tasks
    assert [node.template_id for node in task.nodes].count(13) == 2
    assert edges(task, "loop", "branch") == set()


def test_counts_are_of_sessions(build: Build) -> None:
    (task,) = build([[1, 2, 3]] * 60 + [[1, 4, 3]] * 40).tasks
    key = [node.template_id for node in task.nodes]
    assert {key[edge.target]: edge.count for edge in task.leaving[key.index(1)]} == {2: 60, 4: 40}
    assert task.nodes[START_NODE].count == task.nodes[END_NODE].count == task.sessions == 100


def test_rare_order_is_kept_beside_the_fork(build: Build) -> None:
    chance = random.Random(8)
    traces = [[1, *chance.sample([3, 4], 2), 5] for _ in range(200)] + [[1, 3, 5]] * 3
    workflow = build(traces)
    assert len(workflow.tasks[0].forks) == 1
    assert all(map(Automaton(workflow).replays, traces))


def interleaved(one: list[int], other: list[int], chance: random.Random) -> list[int]:
    one, other, found = one[:], other[:], []
    while one or other:
        found.append((one if not other or (one and chance.random() < 0.5) else other).pop(0))
    return found
