"""A workflow from normal sessions, by both ways; the one on which more held-out sessions replay is kept.

Owns the order of the steps and the comparison. Does not know what the ways do.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.errors import DataError
from models.sessions import Int64
from models.workflow.automaton import Automaton
from models.workflow.graph import Task, Workflow
from training.corpus import CutSession
from training.member import Corpus
from training.progress import Progress, silent
from training.workflow.assemble import assemble
from training.workflow.density import DensityEvidence
from training.workflow.evidence import Evidence, Variant, variants
from training.workflow.model import ModelEvidence
from training.workflow.scorer import NextProbabilities
from training.workflow.settings import WorkflowSettings
from training.workflow.tasks import Labelled, separate

Way = Callable[[Sequence[Variant]], Evidence]


def build_workflow(
    corpus: Corpus,
    next_probabilities: NextProbabilities | None,
    settings: WorkflowSettings,
    seed: int,
    progress: Progress = silent,
) -> tuple[Workflow, dict[str, Any]]:
    """The workflow of a source's normal sessions, and a report of it, JSON-able.

    Both ways are tried on all but a random share of the sessions and compared by how many of these replay, then by how
    few next keys they allow; the better one builds the workflow from all sessions, every one of which replays on it.
    Without ``next_probabilities`` there is only density clustering. (The model may have been fitted on the sessions
    held out here; the graphs are not.) Raises DataError for too few sessions or an empty one.
    """
    if len(corpus.sessions) < settings.min_sessions:
        raise DataError(
            f"a workflow needs at least {settings.min_sessions} normal sessions, got {len(corpus.sessions)}; train on "
            "a longer log"
        )
    ways: dict[str, Way] = {}
    if next_probabilities is not None:
        model = next_probabilities
        ways["model"] = lambda sessions: ModelEvidence(sessions, model, settings, progress)
    ways["density"] = lambda sessions: DensityEvidence(sessions, settings)
    keys = corpus.keys
    order = np.random.default_rng(seed).permutation(len(keys)).tolist()
    held = max(1, int(settings.held_out * len(keys)))
    test, fit = variants([keys[i] for i in order[:held]]), variants([keys[i] for i in order[held:]])
    measured: dict[str, dict[str, Any]] = {}
    for done, (name, way) in enumerate(ways.items()):
        measured[name] = _measure(Workflow(_tasks(fit, way(fit), settings, {}), name, {}), test)
        progress("workflow: compare", done + 1, len(ways))
    chosen = max(measured, key=lambda name: (measured[name]["replay_rate"], -measured[name]["choices"]))
    timed: dict[tuple[int, ...], list[CutSession]] = {}
    if corpus.records is not None:
        for session in corpus.sessions:
            timed.setdefault(tuple(session.keys.tolist()), []).append(session)
    everything = variants(keys)
    tasks = _tasks(everything, ways[chosen](everything), settings, timed)
    report: dict[str, Any] = {
        "chosen": chosen,
        "held_out_sessions": held,
        "ways": measured,
        "tasks": len(tasks),
        "nodes": sum(len(task.nodes) for task in tasks),
        "edges": sum(len(task.edges) for task in tasks),
        "settings": settings.to_dict(),
    }
    return Workflow(tasks, chosen, report), report


def workflow_of(
    sessions: Sequence[Int64], evidence: Callable[[Sequence[Variant]], Evidence], settings: WorkflowSettings, way: str
) -> Workflow:
    """The workflow of sessions (each int64 [length > 0]) by one way alone, without times or comparison."""
    given = variants(sessions)
    return Workflow(_tasks(given, evidence(given), settings, {}), way, {})


def _tasks(
    sessions: Sequence[Variant],
    evidence: Evidence,
    settings: WorkflowSettings,
    timed: dict[tuple[int, ...], list[CutSession]],
) -> tuple[Task, ...]:
    labelled = [Labelled(variant, evidence.steps(variant.keys)) for variant in sessions]
    return tuple(assemble(group, evidence, settings, timed) for group in separate(labelled, evidence, settings))


def _measure(workflow: Workflow, test: Sequence[Variant]) -> dict[str, Any]:
    """How a workflow does on sessions that it was not built from: the share that replays, and how many next keys it
    allows at a step of theirs, on average."""
    automaton = Automaton(workflow)
    replayed = allowed = steps = sessions = 0
    for variant in test:
        replayed += variant.count * automaton.replays(variant.keys)
        sessions += variant.count
        choices, taken = automaton.choices(variant.keys)
        allowed += variant.count * choices
        steps += variant.count * taken
    return {
        "replay_rate": replayed / sessions,
        "choices": allowed / steps,
        "tasks": len(workflow.tasks),
        "nodes": sum(len(task.nodes) for task in workflow.tasks),
    }
