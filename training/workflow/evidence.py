"""What a way of construction has to say of sessions; everything else about a workflow is common to both ways.

Owns the questions, and the distinct sessions that they are asked about. Does not know how they are answered
(``training.workflow.model``, ``training.workflow.density``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.sessions import Int64
from training.windows import distinct

Step = tuple[int, ...]
"""Name of a node: the template id, and what tells apart its several places. Equal names are one node."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Sessions of equal keys: template ids in order, and how many there were."""

    keys: tuple[int, ...]
    count: int


class Evidence(Protocol):
    """What follows what, as one way sees it."""

    def steps(self, keys: tuple[int, ...]) -> list[Step]:
        """The step that each of the keys of a session is."""

    def certain(self, step: Step, key: int, own: Collection[int]) -> bool:
        """Whether one of ``own`` certainly follows once ``key`` came after ``step``."""

    def concurrent(self, step: Step, one: int, other: int) -> bool:
        """Whether two keys that may follow ``step`` follow each other too, in either order."""


def variants(sessions: Sequence[Int64]) -> list[Variant]:
    """Distinct sessions with their counts, in order of their first one."""
    once = distinct(sessions)
    counts = [0] * len(once.sessions)
    for number in once.index.tolist():
        counts[number] += 1
    return [Variant(tuple(keys.tolist()), count) for keys, count in zip(once.sessions, counts, strict=True)]
