"""A workflow: the kinds of session that a source has, each as a graph of log keys (DeepLog, section 4).

Owns the shape, its JSON and what makes it refusable. Does not know how workflows are found (``training.workflow``), how
sessions are laid against them (``models.workflow.automaton``), nor templates' texts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import Any, Literal, Self, get_args

import orjson

from models.errors import BundleError
from models.sessions import BEFORE_SESSION
from models.vocabulary import END

WORKFLOW = "workflow.json"
"""Name of the bundle file."""

START_NODE, END_NODE = 0, 1
"""Every task's first two nodes: before the session, and its end."""

LARGEST_FORK = 512
"""States that concurrent branches may be in together: what runs in any order has as many as its steps multiply to."""

Kind = Literal["sequence", "branch", "loop", "fork", "join"]
"""``sequence``: what always follows; ``branch``: one of several that may follow; ``loop``: back to an earlier step;
``fork``: to the first step of one of several branches that all run, in any order between them; ``join``: from the last
step of such a branch to what follows when all have run."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step: a template at one place of the task (a template may have several), and how often training saw it."""

    template_id: int
    count: int


@dataclass(frozen=True, slots=True)
class Edge:
    """One step after another, by their places among the task's nodes; ``slowest_s`` is the longest pause between the
    two that training saw, in seconds, None where its events had no times."""

    source: int
    target: int
    kind: Kind
    count: int
    slowest_s: float | None = None


@dataclass(frozen=True)
class Task:
    """One kind of session. ``sessions``: training sessions of this kind; ``mandatory``: templates in all of them."""

    sessions: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    mandatory: tuple[int, ...] = ()

    @cached_property
    def leaving(self) -> dict[int, list[Edge]]:
        """Edges by the node that they leave, the most travelled first."""
        found: dict[int, list[Edge]] = {place: [] for place in range(len(self.nodes))}
        for edge in sorted(self.edges, key=lambda edge: (-edge.count, edge.target)):
            found[edge.source].append(edge)
        return found

    @cached_property
    def forks(self) -> dict[int, list[list[int]]]:
        """Branches by the node that forks, each branch its nodes in order."""
        found: dict[int, list[list[int]]] = {}
        for edge in self.edges:
            if edge.kind == "fork":
                found.setdefault(edge.source, []).append(self._branch(edge.target))
        return found

    @cached_property
    def templates(self) -> frozenset[int]:
        """Templates of its steps, the two marks left out."""
        return frozenset(node.template_id for node in self.nodes[END_NODE + 1 :])

    def _branch(self, place: int) -> list[int]:
        branch = [place]
        while all(edge.kind == "sequence" for edge in self.leaving[place]):
            if len(self.leaving[place]) != 1 or len(branch) > len(self.nodes):
                raise BundleError(f"{WORKFLOW}: the branch at node {branch[0]} has no join; train the source again")
            place = self.leaving[place][0].target
            branch.append(place)
        if any(edge.kind != "join" for edge in self.leaving[place]):
            raise BundleError(f"{WORKFLOW}: the branch at node {branch[0]} forks itself; train the source again")
        return branch

    def check(self) -> None:
        """Raise BundleError where this is no graph of a task."""
        marks = [node.template_id for node in self.nodes[: END_NODE + 1]]
        if marks != [BEFORE_SESSION, END] or any(node.template_id < 0 for node in self.nodes[END_NODE + 1 :]):
            raise BundleError(f"{WORKFLOW}: a task does not begin and end as tasks do; train the source again")
        places = range(len(self.nodes))
        for edge in self.edges:
            if edge.source not in places or edge.target not in places or edge.kind not in get_args(Kind):
                raise BundleError(f"{WORKFLOW}: an edge leads nowhere; train the source again")
            if edge.source == END_NODE or edge.target == START_NODE:
                raise BundleError(f"{WORKFLOW}: an edge leaves the end or enters the start; train the source again")
            if edge.slowest_s is not None and not (isfinite(edge.slowest_s) and edge.slowest_s >= 0.0):
                raise BundleError(f"{WORKFLOW}: a pause of {edge.slowest_s} s; train the source again")
        counts = [self.sessions, *(node.count for node in self.nodes), *(edge.count for edge in self.edges)]
        if min(counts) < 0:
            raise BundleError(f"{WORKFLOW}: a count below 0; train the source again")
        inside = Counter(place for branches in self.forks.values() for branch in branches for place in branch)
        if any(count > 1 for count in inside.values()) or inside.keys() & self.forks.keys():
            raise BundleError(f"{WORKFLOW}: two forks share a step; train the source again")
        entered = Counter(edge.target for edge in self.edges if edge.target in inside)
        within = all(e.kind == "fork" or e.source in inside for e in self.edges if e.target in inside)
        if (
            not within
            or any(edge.kind == "join" and edge.target in inside for edge in self.edges)
            or any(count > 1 for count in entered.values())
        ):
            raise BundleError(f"{WORKFLOW}: a fork is entered from aside; train the source again")
        for branches in self.forks.values():
            if len(branches) * prod(len(branch) + 1 for branch in branches) > LARGEST_FORK:
                raise BundleError(f"{WORKFLOW}: a fork of too many branches; train the source again")

    def to_dict(self) -> dict[str, Any]:
        return {
            "sessions": self.sessions,
            "mandatory": [{"template_id": key} for key in self.mandatory],
            "nodes": [{"template_id": node.template_id, "count": node.count} for node in self.nodes],
            "edges": [
                {
                    "from": edge.source,
                    "to": edge.target,
                    "kind": edge.kind,
                    "count": edge.count,
                    "slowest_s": edge.slowest_s,
                }
                for edge in self.edges
            ],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        task = cls(
            int(state["sessions"]),
            tuple(Node(int(node["template_id"]), int(node["count"])) for node in state["nodes"]),
            tuple(
                Edge(
                    int(edge["from"]),
                    int(edge["to"]),
                    edge["kind"],
                    int(edge["count"]),
                    None if edge["slowest_s"] is None else float(edge["slowest_s"]),
                )
                for edge in state["edges"]
            ),
            tuple(int(key["template_id"]) for key in state["mandatory"]),
        )
        task.check()
        return task


@dataclass(frozen=True)
class Workflow:
    """Every kind of session of a source, the most frequent first; ``way`` says how they were found, ``report`` what was
    measured of it."""

    tasks: tuple[Task, ...]
    way: str
    report: Mapping[str, Any]

    @cached_property
    def templates(self) -> frozenset[int]:
        """Templates of all tasks."""
        return frozenset().union(*(task.templates for task in self.tasks))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; every mapping that names a template does so as ``template_id``."""
        return {"way": self.way, "report": dict(self.report), "tasks": [task.to_dict() for task in self.tasks]}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Read back what ``to_dict`` gave. Raises BundleError where it is damaged."""
        try:
            return cls(tuple(map(Task.from_dict, state["tasks"])), str(state["way"]), dict(state["report"]))
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise BundleError(f"{WORKFLOW} is damaged ({error}); restore the bundle or train it again") from error

    def to_json(self) -> bytes:
        """The bundle file."""
        return orjson.dumps(self.to_dict())

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the bundle file. Raises BundleError where it is damaged."""
        try:
            state = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BundleError(f"{WORKFLOW} is damaged ({error}); restore the bundle or train it again") from error
        return cls.from_dict(state)
