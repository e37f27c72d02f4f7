"""One task's graph from its sessions, so that every one of them replays on it.

Owns names becoming nodes, what follows what, the kinds of edges and the pauses. Does not know how steps were named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import END_NODE, START_NODE, Edge, Kind, Node, Task
from models.workflow.shape import Shape
from training.corpus import CutSession
from training.workflow.evidence import Evidence, Step
from training.workflow.forks import Fork, find_forks
from training.workflow.settings import WorkflowSettings
from training.workflow.tasks import Labelled

Name = tuple[Step, int | None]
"""Of a node: a step by itself, or a key of the fork that a step begins."""

Pair = tuple[Name, Name]
"""An edge, by its ends."""

_START: Name = ((BEFORE_SESSION,), None)
_END: Name = ((END,), None)


@dataclass(frozen=True, slots=True)
class _Path:
    """A session as nodes from start to end, and how often it came."""

    names: list[Name]
    labelled: Labelled


def assemble(
    group: Sequence[Labelled],
    evidence: Evidence,
    settings: WorkflowSettings,
    timed: Mapping[tuple[int, ...], Sequence[CutSession]],
) -> Task:
    """The graph of the sessions of one task; ``timed`` holds the sessions by their keys where their events have times.

    A task with more than ``settings.nodes`` steps becomes the graph of which key directly follows which.
    """
    forks = find_forks(group, evidence, settings)
    paths = [_Path(_names(labelled, forks), labelled) for labelled in group]
    if len({name for path in paths for name in path.names}) > settings.nodes:
        forks = {}
        group = [Labelled(labelled.variant, [(key,) for key in labelled.variant.keys]) for labelled in group]
        paths = [_Path(_names(labelled, forks), labelled) for labelled in group]
    return _Graph(paths, forks, timed).task()


def _names(labelled: Labelled, forks: Mapping[Step, Fork]) -> list[Name]:
    keys, steps = labelled.variant.keys, labelled.steps
    names = [_START]
    while len(names) <= len(keys):
        place = len(names) - 1
        step, inside = names[-1]
        fork = forks.get(step) if inside is None else None
        if fork is not None and fork.holds(keys[place : place + fork.size]):
            names += [(step, key) for key in keys[place : place + fork.size]]
        else:
            names.append((steps[place], None))
    return [*names, _END]


class _Graph:
    """Nodes, and the edges between."""

    def __init__(
        self,
        paths: Sequence[_Path],
        forks: Mapping[Step, Fork],
        timed: Mapping[tuple[int, ...], Sequence[CutSession]],
    ) -> None:
        self._paths = paths
        self._timed = timed
        self._visits: Counter[Name] = Counter()
        self._crossed: Counter[Pair] = Counter()
        for path in paths:
            count = path.labelled.variant.count
            for name in path.names:
                self._visits[name] += count
            for pair in zip(path.names, path.names[1:], strict=False):
                self._crossed[pair] += count
        self._kinds: dict[Pair, Kind] = dict.fromkeys(
            (pair for pair in self._crossed if pair[0][1] is None and pair[1][1] is None), "branch"
        )
        for step in sorted({step for step, inside in self._visits if inside is not None}):
            self._add_fork(forks[step])

    def task(self) -> Task:
        """The task as a bundle keeps it: nodes numbered as a session comes to them, the usual way first."""
        names = [_START, _END, *sorted(self._visits.keys() - {_START, _END}, key=str)]
        found = Shape.of(self._as_task(names, self._kinds, {}))
        looping = {(names[edge.source], names[edge.target]) for edges in found.back.values() for edge in edges}
        ordered = [_START, _END, *(names[place] for place in found.order if place not in (START_NODE, END_NODE))]
        return self._as_task(ordered, self._named_kinds(looping), self._slowest())

    def _as_task(self, names: Sequence[Name], kinds: Mapping[Pair, Kind], slowest: Mapping[Pair, float]) -> Task:
        places = {name: place for place, name in enumerate(names)}
        edges = [
            Edge(places[pair[0]], places[pair[1]], kind, self._crossed[pair], slowest.get(pair))
            for pair, kind in kinds.items()
        ]
        return Task(
            sessions=self._visits[_START],
            nodes=tuple(Node(_key(name), self._visits[name]) for name in names),
            edges=tuple(sorted(edges, key=lambda edge: (edge.source, edge.target))),
            mandatory=tuple(sorted(set.intersection(*(set(path.labelled.variant.keys) for path in self._paths)))),
        )

    def _add_fork(self, fork: Fork) -> None:
        """Edges into, along and out of every branch; also those that no session happened to take."""
        inside = {(fork.step, key) for branch in fork.branches for key in branch}
        after = {target for source, target in self._crossed if source in inside and target not in inside}
        for branch in fork.branches:
            names: list[Name] = [(fork.step, key) for key in branch]
            self._kinds[(fork.step, None), names[0]] = "fork"
            for pair in pairwise(names):
                self._kinds[pair] = "sequence"
                self._crossed[pair] = self._visits[pair[0]]
            for target in after:
                self._kinds[names[-1], target] = "join"

    def _named_kinds(self, looping: set[Pair]) -> dict[Pair, Kind]:
        """Kinds of all edges, once it is known which ones lead back."""
        forking = {source for (source, _), kind in self._kinds.items() if kind == "fork"}
        plain = [pair for pair, kind in self._kinds.items() if kind == "branch"]
        ways = Counter(source for source, target in plain if (source, target) not in looping)
        kinds = dict(self._kinds)
        for pair in plain:
            if pair in looping:
                kinds[pair] = "loop"
            elif ways[pair[0]] + (pair[0] in forking) == 1:
                kinds[pair] = "sequence"
        return kinds

    def _slowest(self) -> dict[Pair, float]:
        """The longest pause on every edge that a session with times took."""
        longest: dict[Pair, float] = {}
        for path in self._paths:
            inner = path.names[1:-1]
            sessions = self._timed.get(path.labelled.variant.keys, ())
            if len(inner) < 2 or not sessions:
                continue
            pauses = np.maximum(np.array([np.diff(session.times) for session in sessions]), 0.0)
            known = np.where(np.isfinite(pauses), pauses, -np.inf).max(axis=0).tolist()
            for pair, pause in zip(pairwise(inner), known, strict=True):
                if pause >= 0.0:
                    longest[pair] = max(pause, longest.get(pair, pause))
        return longest


def _key(name: Name) -> int:
    return name[0][0] if name[1] is None else name[1]
