"""The graphs of a workflow as one machine: in which states may a session be after these keys?

A state is a step that was just taken; inside a fork, how far each branch is and which one moved last. Owns the states
and exact replay. Does not know what to make of a session that does not replay (``models.workflow.alignment``).
"""

from collections.abc import Iterable, Sequence
from itertools import product

from models.vocabulary import END
from models.workflow.graph import START_NODE, Task, Workflow

Progress = tuple[int, ...]


class Automaton:
    """States numbered from 0. Per state: ``key`` (the template just seen), ``task``, ``node`` (its place in the task),
    ``weight`` (how often training was there), ``after`` ({key: [(state, how often)]})."""

    def __init__(self, workflow: Workflow) -> None:
        self.key: list[int] = []
        self.task: list[int] = []
        self.node: list[int] = []
        self.weight: list[int] = []
        self.after: list[dict[int, list[tuple[int, int]]]] = []
        self.with_key: dict[int, list[int]] = {}
        """States by the key that leads there."""
        self.starts: list[int] = []
        """The state before each task's first event."""
        for number, task in enumerate(workflow.tasks):
            self._add(number, task)
        for state, key in enumerate(self.key):
            self.with_key.setdefault(key, []).append(state)

    def step(self, states: Iterable[int], key: int) -> set[int]:
        """Where the machine may be once it also saw ``key``."""
        return {target for state in states for target, _ in self.after[state].get(key, ())}

    def replays(self, keys: Sequence[int]) -> bool:
        """Whether a whole session is one that the workflow allows, from its start to its end."""
        states = set(self.starts)
        for key in keys:
            states = self.step(states, key)
            if not states:
                return False
        return bool(self.step(states, END))

    def choices(self, keys: Sequence[int]) -> tuple[int, int]:
        """How many different keys could have followed, over all steps of a session until it leaves the workflow, and
        how many steps these are."""
        states = set(self.starts)
        allowed = steps = 0
        for key in (*keys, END):
            allowed += len({key for state in states for key in self.after[state]})
            steps += 1
            states = self.step(states, key)
            if not states:
                break
        return allowed, steps

    def _add(self, number: int, task: Task) -> None:
        inside = {place for branches in task.forks.values() for branch in branches for place in branch}
        plain = {place: self._state(task, number, place) for place in range(len(task.nodes)) if place not in inside}
        self.starts.append(plain[START_NODE])
        for place, state in plain.items():
            for edge in task.leaving[place]:
                if edge.kind != "fork":
                    self._link(state, plain[edge.target], edge.count)
        for place, branches in task.forks.items():
            self._fork(number, task, plain, place, branches)

    def _fork(self, number: int, task: Task, plain: dict[int, int], place: int, branches: list[list[int]]) -> None:
        states: dict[tuple[Progress, int], int] = {}
        for progress in product(*(range(len(branch) + 1) for branch in branches)):
            for moved, branch in enumerate(branches):
                if progress[moved]:
                    states[progress, moved] = self._state(task, number, branch[progress[moved] - 1])
        for (progress, moved), state in states.items():
            unfinished = [b for b, branch in enumerate(branches) if progress[b] < len(branch)]
            for b in unfinished:
                further = tuple(done + (i == b) for i, done in enumerate(progress))
                self._link(state, states[further, b], task.nodes[branches[b][progress[b]]].count)
            if not unfinished:
                for edge in task.leaving[branches[moved][-1]]:
                    self._link(state, plain[edge.target], edge.count)
        for edge in task.leaving[place]:
            if edge.kind == "fork":
                b = next(b for b, branch in enumerate(branches) if branch[0] == edge.target)
                self._link(plain[place], states[tuple(int(i == b) for i in range(len(branches))), b], edge.count)

    def _state(self, task: Task, number: int, place: int) -> int:
        node = task.nodes[place]
        self.key.append(node.template_id)
        self.task.append(number)
        self.node.append(place)
        self.weight.append(node.count)
        self.after.append({})
        return len(self.key) - 1

    def _link(self, state: int, target: int, count: int) -> None:
        self.after[state].setdefault(self.key[target], []).append((target, count))
