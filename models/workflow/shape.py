"""A task's graph without its cycles, for those who draw it: which edges lead back, what comes after what.

Does not know how it is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.workflow.graph import END_NODE, START_NODE, Edge, Task


@dataclass(frozen=True, slots=True)
class Shape:
    """``forward``: edges by the node that they leave, without a cycle; ``back``: those that close one, likewise;
    ``order``: nodes so that every forward edge leads to a later one."""

    forward: dict[int, list[Edge]]
    back: dict[int, list[Edge]]
    order: list[int]

    @classmethod
    def of(cls, task: Task) -> "Shape":
        """What closes a cycle is found by a walk along the most travelled edges first, so that a detour that leads into
        the usual way is none."""
        back, _ = _walk(task, task.leaving)
        closing = {id(edge) for edges in back.values() for edge in edges}
        forward = {place: [edge for edge in edges if id(edge) not in closing] for place, edges in task.leaving.items()}
        # Turned round, so that the most travelled way comes first once the order in which nodes are left is reversed.
        _, left = _walk(task, {place: edges[::-1] for place, edges in forward.items()})
        return cls(forward, back, left[::-1])

    def always(self) -> set[int]:
        """Nodes that every session passes, the start and the end among them; those in a fork are left out."""
        meeting, place = self.meetings(), START_NODE
        found = {START_NODE}
        while place in meeting and place != END_NODE:
            place = meeting[place]
            found.add(place)
        return found

    def meetings(self) -> dict[int, int]:
        """For each node the first one through which every way on to the end passes (its immediate post-dominator); ways
        that only lead back do not count, and nodes from which there are no others are left out."""
        depth = {END_NODE: 0}
        meeting = {END_NODE: END_NODE}
        for place in reversed(self.order):
            common: int | None = None
            for edge in self.forward[place]:
                at = edge.target
                while at in depth and common is not None and common != at:
                    if depth[common] > depth[at]:
                        common = meeting[common]
                    else:
                        at = meeting[at]
                if at in depth:
                    common = at
            if common is not None:
                meeting[place] = common
                depth[place] = depth[common] + 1
        return meeting


def _walk(task: Task, leaving: Mapping[int, Sequence[Edge]]) -> tuple[dict[int, list[Edge]], list[int]]:
    """Depth first from the start: edges that lead back into the walk, by node, and nodes in the order they are left."""
    back: dict[int, list[Edge]] = {place: [] for place in leaving}
    left: list[int] = []
    begun: set[int] = set()
    walking: set[int] = set()
    # Nothing else is a root unless a file was made by hand; those come first in the order.
    for root in range(len(task.nodes)):
        if root in begun:
            continue
        begun.add(root)
        walking.add(root)
        walk = [(root, iter(leaving[root]))]
        while walk:
            place, edges = walk[-1]
            edge = next(edges, None)
            if edge is None:
                walk.pop()
                walking.remove(place)
                left.append(place)
            elif edge.target in walking:
                back[place].append(edge)
            elif edge.target not in begun:
                begun.add(edge.target)
                walking.add(edge.target)
                walk.append((edge.target, iter(leaving[edge.target])))
    return back, left
