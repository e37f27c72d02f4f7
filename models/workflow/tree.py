"""A workflow as plain text: one step a line, alternatives indented until they meet again.

Owns this form. Does not know the terminal.
"""

from collections import Counter
from collections.abc import Iterator

from models.workflow.graph import START_NODE, Edge, Task, Workflow
from models.workflow.shape import Shape
from models.workflow.words import TextOf, node_text, share, shortened

_LOOPS = 4
"""Ways back that are named at a step."""
_NOWHERE = -1
"""Stands for a meeting of ways that there is not."""
_WIDEST = 12
"""Ways on from a step that are listed even where they lead to one that is written already, the most travelled ones."""
_DEEPEST = 24
"""Levels of indentation; alternatives within so many others are left to the picture."""


def workflow_lines(workflow: Workflow, text_of: TextOf, columns: int = 120) -> Iterator[str]:
    """Lines of text, none with a control character; ``columns`` bounds the words, not the indentation."""
    whole = sum(task.sessions for task in workflow.tasks)
    for number, task in enumerate(workflow.tasks, 1):
        yield f"task {number}: {task.sessions} of {whole} sessions ({share(task.sessions, whole)})"
        yield from _Tree(task, text_of, columns).lines()
        yield ""


class _Tree:
    """One task; every node is written once, and named by its number where it comes again."""

    def __init__(self, task: Task, text_of: TextOf, columns: int) -> None:
        self._task = task
        self._text_of = text_of
        self._columns = columns
        self._shape = Shape.of(task)
        self._meeting = self._shape.meetings()
        self._written: set[int] = set()

    def lines(self) -> Iterator[str]:
        yield from self._chain(START_NODE, _NOWHERE, "  ", 0)

    def _chain(self, place: int, stop: int, indent: str, depth: int) -> Iterator[str]:
        """From a node on, until ``stop`` (written by the caller) or a node that is written already."""
        while place != stop:
            if place in self._written:
                yield f"{indent}→ {self._name(place)}"
                return
            self._written.add(place)
            yield f"{indent}{self._line(place)}"
            following = self._shape.forward[place]
            if not following:
                return
            if len(following) == 1:
                place = following[0].target
                continue
            meeting = self._meeting.get(place, _NOWHERE)
            yield from self._alternatives(place, following, meeting, indent, depth)
            if meeting in (stop, _NOWHERE):
                return
            place = meeting

    def _alternatives(self, place: int, following: list[Edge], meeting: int, indent: str, depth: int) -> Iterator[str]:
        """The ways on from a node, up to where they meet: its fork first, the others by how often they were taken."""
        visits = sum(edge.count for edge in self._task.leaving[place])
        forks = [edge for edge in following if edge.kind == "fork"]
        ways = [edge for edge in following if edge.kind != "fork"]
        if forks:
            last = not ways
            taken = share(sum(edge.count for edge in forks), visits)
            yield f"{indent}{'└' if last else '├'}─ all of these, in any order ({taken})"
            yield from self._fork(place, meeting, indent + ("   " if last else "│  "), depth)
        crowded = len(ways) > _WIDEST
        rarer: list[int] = []
        for number, edge in enumerate(ways, 1):
            named = edge.target == meeting or edge.target in self._written or depth >= _DEEPEST
            if named and number > _WIDEST:
                rarer.append(edge.count)
                continue
            last = number == len(ways) and not crowded
            yield from self._way(share(edge.count, visits), edge.target, meeting, indent, depth, last)
        if crowded:
            yield f"{indent}└─ {share(sum(rarer), visits)} in {len(rarer)} rarer ways to other steps"

    def _way(self, title: str, target: int, meeting: int, indent: str, depth: int, last: bool) -> Iterator[str]:
        straight = target == meeting or target in self._written
        note = f" → {self._name(target)}" if straight else ""
        yield f"{indent}{'└' if last else '├'}─ {title}{note}"
        if straight:
            return
        inner = indent + ("   " if last else "│  ")
        if depth < _DEEPEST:
            yield from self._chain(target, meeting, inner, depth + 1)
        else:
            yield f"{inner}…"

    def _fork(self, place: int, meeting: int, indent: str, depth: int) -> Iterator[str]:
        """Branches of a fork, each to its own end; then what follows when all have run, up to where all ways meet."""
        branches = self._task.forks[place]
        after: Counter[int] = Counter()
        for branch in branches:
            last = branch is branches[-1]
            for step, inside in enumerate(branch):
                self._written.add(inside)
                mark = ("└─ " if last else "├─ ") if step == 0 else ("   " if last else "│  ")
                yield f"{indent}{mark}{self._line(inside)}"
            for edge in self._shape.forward[branch[-1]]:
                after[edge.target] += edge.count
        if set(after) == {meeting}:
            return
        for number, (target, count) in enumerate(after.most_common(), 1):
            title = f"then {share(count, after.total())}"
            yield from self._way(title, target, meeting, indent, depth, number == len(after))

    def _line(self, place: int) -> str:
        """A node's number and words, and where loops lead from it."""
        visits = sum(edge.count for edge in self._task.leaving[place])
        back = self._shape.back[place]
        loops = [
            f"  ↺ {'itself' if edge.target == place else self._name(edge.target)} ({share(edge.count, visits)})"
            for edge in back[:_LOOPS]
        ]
        if len(back) > _LOOPS:
            loops.append(f"  ↺ {len(back) - _LOOPS} others")
        words = shortened(node_text(self._task.nodes[place], self._text_of), self._columns)
        return f"{self._name(place)} {words}{''.join(loops)}"

    def _name(self, place: int) -> str:
        return f"#{place}"
