"""Forks: keys that run after one step in any order between them, and what joins them again.

Owns the search for what belongs to a fork. Does not know by what evidence two keys are called concurrent.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

from models.sessions import BEFORE_SESSION
from models.vocabulary import END
from models.workflow.graph import LARGEST_FORK
from training.workflow.evidence import Evidence, Step
from training.workflow.settings import WorkflowSettings
from training.workflow.tasks import Labelled

Branch = tuple[int, ...]
"""Keys of one branch, in their order."""


@dataclass(frozen=True, slots=True)
class Fork:
    """After ``step``, every branch runs, each in its own order."""

    step: Step
    branches: tuple[Branch, ...]

    @property
    def size(self) -> int:
        """Events in it."""
        return sum(map(len, self.branches))

    def holds(self, keys: Sequence[int]) -> bool:
        """Whether ``keys`` are all its branches, interleaved in any way."""
        return len(keys) == self.size and all(
            tuple(key for key in keys if key in branch) == branch for branch in self.branches
        )


def find_forks(group: Sequence[Labelled], evidence: Evidence, settings: WorkflowSettings) -> dict[Step, Fork]:
    """Forks of one task, by the step that forks."""
    following: dict[Step, list[tuple[tuple[int, ...], int]]] = {}
    for labelled in group:
        keys = (*labelled.variant.keys, END)
        for at, step in enumerate([(BEFORE_SESSION,), *labelled.steps]):
            following.setdefault(step, []).append((keys[at : at + settings.fork], labelled.variant.count))
    forks = {}
    for step, ahead in following.items():
        fork = _fork(step, ahead, evidence, settings)
        if fork is not None:
            forks[step] = fork
    return forks


def _fork(
    step: Step, ahead: Sequence[tuple[tuple[int, ...], int]], evidence: Evidence, settings: WorkflowSettings
) -> Fork | None:
    firsts: Counter[int] = Counter()
    for keys, count in ahead:
        if keys:
            firsts[keys[0]] += count
    candidates = [key for key in firsts if key != END and firsts[key] >= settings.rare * firsts.total()]
    concurrent = {key for pair in combinations(candidates, 2) if evidence.concurrent(step, *pair) for key in pair}
    if not concurrent:
        return None
    ways: Counter[tuple[int, ...]] = Counter()
    for keys, count in ahead:
        if keys and keys[0] in concurrent:
            ways[keys] += count
    if ways.total() < settings.support:
        return None
    for size in range(2, settings.fork + 1):
        heads: Counter[tuple[int, ...]] = Counter()
        for keys, count in ways.items():
            heads[keys[:size]] += count
        sets: Counter[frozenset[int]] = Counter()
        for head, count in heads.items():
            sets[frozenset(head)] += count
        members, count = sets.most_common(1)[0]
        if len(members) == size and END not in members and count >= settings.certain * ways.total():
            branches = _branches([head for head in heads if set(head) == members], members)
            return Fork(step, branches) if branches else None
    return None


def _branches(orders: Iterable[tuple[int, ...]], members: frozenset[int]) -> tuple[Branch, ...]:
    """The keys in branches, if they are two or more: keys that always come in one order are in one branch.

    Empty where a branch would itself have keys in either order, or the branches' states are too many.
    """
    before: set[tuple[int, int]] = {pair for order in orders for pair in combinations(order, 2)}
    groups: list[set[int]] = []
    for key in sorted(members):
        linked = [group for group in groups if any((key, k) not in before or (k, key) not in before for k in group)]
        groups = [group for group in groups if group not in linked] + [{key}.union(*linked)]
    branches = []
    for group in groups:
        branch = sorted(group, key=lambda key: sum((other, key) in before for other in group))
        if any((later, earlier) in before for earlier, later in combinations(branch, 2)):
            return ()
        branches.append(tuple(branch))
    states = len(branches) * prod(len(branch) + 1 for branch in branches)
    return tuple(branches) if len(branches) > 1 and states <= LARGEST_FORK else ()
