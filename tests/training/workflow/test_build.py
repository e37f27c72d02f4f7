"""The whole construction: completeness, the choice between the ways, times, reproducibility, refusals."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import ConfigError, DataError
from models.sessions import Float64, Int64
from models.vocabulary import END, Vocabulary
from models.workflow.automaton import Automaton
from models.workflow.graph import Workflow
from models.workflow.picture import workflow_svg
from models.workflow.tree import workflow_lines
from training.corpus import CutSession
from training.member import Corpus
from training.workflow import DeepLogProbabilities, NextProbabilities, WorkflowSettings, build_workflow

KeyModel = Callable[[Sequence[Int64]], NextProbabilities]

SMALL = WorkflowSettings(min_sessions=2, support=1, longest=3)
"""Believes anything: the most forks, tasks and contexts that sessions can give."""
TRACES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=12), min_size=2, max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces=TRACES, by_model=st.booleans())
def test_every_training_session_replays(frequencies: KeyModel, traces: list[list[int]], by_model: bool) -> None:
    sessions = arrays(traces)
    model = frequencies(sessions) if by_model else None
    for chosen in (SMALL, WorkflowSettings(min_sessions=2, nodes=3)):
        workflow, _ = build_workflow(Corpus.of_keys(sessions), model, chosen, 0)
        automaton = Automaton(workflow)
        assert all(map(automaton.replays, traces))
        assert sum(task.sessions for task in workflow.tasks) == len(traces)
        assert Workflow.from_json(workflow.to_json()) == workflow
        assert workflow_svg(workflow, str).endswith("</svg>")
        shown = "\n".join(workflow_lines(workflow, str))
        for task in workflow.tasks:
            for place in range(len(task.nodes)):
                assert f"#{place} " in shown


@settings(max_examples=60, deadline=None)
@given(order=st.lists(st.permutations([3, 4, 5]), min_size=6, max_size=40))
def test_every_session_with_steps_in_any_order_replays(order: list[list[int]]) -> None:
    traces = [[1, *steps, 9] for steps in order] + [[1, 3, 9]]
    workflow, _ = build_workflow(Corpus.of_keys(arrays(traces)), None, SMALL, 0)
    assert all(map(Automaton(workflow).replays, traces))


def test_the_way_on_which_more_held_out_sessions_replay_is_kept(frequencies: KeyModel) -> None:
    corpus = Corpus.of_keys(arrays(shop(200)))
    workflow, report = build_workflow(corpus, frequencies(corpus.keys), WorkflowSettings(), 0)
    assert set(report["ways"]) == {"model", "density"}
    rates = {name: measured["replay_rate"] for name, measured in report["ways"].items()}
    assert rates[workflow.way] == max(rates.values())
    assert (report["chosen"], report["held_out_sessions"]) == (workflow.way, 40)
    assert workflow.report == report
    assert report["tasks"] == len(workflow.tasks)


def test_session_unlike_all_others_does_not_replay_when_held_out() -> None:
    traces = [*shop(99), [1, 2, 77, 3, 4]]
    rates = [
        build_workflow(Corpus.of_keys(arrays(traces)), None, WorkflowSettings(), seed)[1]["ways"]["density"]
        for seed in range(12)
    ]
    assert {rate["replay_rate"] for rate in rates} == {0.95, 1.0}


def test_same_seed_same_workflow(frequencies: KeyModel) -> None:
    corpus = Corpus.of_keys(arrays(shop(120)))
    model = frequencies(corpus.keys)
    one = build_workflow(corpus, model, WorkflowSettings(), 5)[0]
    assert build_workflow(corpus, model, WorkflowSettings(), 5)[0].to_json() == one.to_json()


def test_longest_pauses_are_learned_where_events_have_times() -> None:
    sessions = [
        CutSession(str(n), np.array([1, 2, 3]), 0.0, 9.0, np.array([0.0, 0.5 + n, 9.0]), np.arange(3))
        for n in range(20)
    ]
    sessions[3].times[2] = np.nan
    sessions[4].times[1] = -1.0
    lines = Corpus(sessions, records=object(), tree=object())  # type: ignore[arg-type]
    (task,) = build_workflow(lines, None, WorkflowSettings(), 0)[0].tasks
    key = [node.template_id for node in task.nodes]
    slowest = {(key[edge.source], key[edge.target]): edge.slowest_s for edge in task.edges}
    assert slowest[1, 2] == 19.5
    assert slowest[2, 3] == 10.0
    assert slowest[-1, 1] is None
    (bare,) = build_workflow(Corpus(sessions), None, WorkflowSettings(), 0)[0].tasks
    assert {edge.slowest_s for edge in bare.edges} == {None}


def test_task_of_too_many_steps_is_drawn_by_its_keys(frequencies: KeyModel) -> None:
    corpus = Corpus.of_keys(arrays([[1, 13, 2, 3, 13, 9]] * 50))
    model = frequencies(corpus.keys)
    assert len(build_workflow(corpus, model, WorkflowSettings(), 0)[0].tasks[0].nodes) == 8
    small = build_workflow(corpus, model, WorkflowSettings(nodes=7), 0)[0].tasks[0]
    assert len(small.nodes) == 7
    assert [edge.kind for edge in small.edges].count("loop") == 1


def test_progress_is_told(frequencies: KeyModel) -> None:
    told: list[tuple[str, int, int]] = []
    corpus = Corpus.of_keys(arrays(shop(60)))
    build_workflow(corpus, frequencies(corpus.keys), WorkflowSettings(), 0, lambda *step: told.append(step))
    assert ("workflow: compare", 2, 2) in told
    assert {what for what, _, _ in told} == {"workflow: ask the model", "workflow: compare"}
    assert all(0 < done <= total for _, done, total in told)


def test_too_little_or_empty_is_refused() -> None:
    with pytest.raises(DataError, match="at least 20 normal sessions, got 19"):
        build_workflow(Corpus.of_keys(arrays(shop(19))), None, WorkflowSettings(), 0)
    with pytest.raises(DataError, match="no event"):
        build_workflow(Corpus.of_keys(arrays([*shop(30), []])), None, WorkflowSettings(), 0)


def test_probabilities_are_those_of_deeplogs_network() -> None:
    class Network:
        def run(self, *, windows: Int64) -> list[Float64]:
            logits = np.zeros((len(windows), 6))
            logits[:, :3] = 50.0
            logits[:, 4] = np.log(2.0)
            return [logits]

    model = DeepLogProbabilities(Vocabulary([7, 8]), 4, Network())  # type: ignore[arg-type]
    assert model.keys.tolist() == [END, 7, 8]
    assert np.allclose(model(np.full((3, 4), 7)), [[0.25, 0.5, 0.25]] * 3)


@pytest.mark.parametrize(
    "wrong", [{"certain": 1.0}, {"rare": 0.0}, {"held_out": 0.9}, {"fork": 0}, {"min_sessions": 1}, {"nodes": 0}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"workflow\.{next(iter(wrong))}"):
        WorkflowSettings(**wrong)  # type: ignore[arg-type]


def test_settings_survive_their_own_dict() -> None:
    chosen = WorkflowSettings(certain=0.8, fork=4)
    assert WorkflowSettings.from_dict(chosen.to_dict()) == chosen
    with pytest.raises(ConfigError, match="no setting 'tau'"):
        WorkflowSettings.from_dict({"tau": 0.9})


def arrays(traces: Sequence[Sequence[int]]) -> list[Int64]:
    return [np.array(trace, dtype=np.int64) for trace in traces]


def shop(number: int, seed: int = 1) -> list[list[int]]:
    chance = random.Random(seed)
    return [[1, 2, *[5, 6] * chance.randint(1, 2), chance.choice([3, 4]), 8] for _ in range(number)]
