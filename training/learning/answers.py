"""What people said, as the learner takes it.

Owns the shape, and which detectors are to learn from which answer. Does not know where answers are stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from models.lesson import Lesson
from training.learning.teaching import Taught

Label = Literal["false_positive", "true_positive", "missed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its ``id``, its ``label``, what the detectors that took part saw, and of a false alarm those that
    its rule ``silenced``: they alone were wrong."""

    id: str
    label: Label
    lessons: tuple[Lesson, ...]
    silenced: frozenset[str] = frozenset()

    @property
    def false_alarm(self) -> bool:
        """Whether what rang was called normal."""
        return self.label == "false_positive"

    @property
    def wrong(self) -> tuple[Lesson, ...]:
        """What the detectors saw that are to be quiet about it: of a false alarm, those silenced; of others none."""
        return tuple(one for one in self.lessons if one.detector in self.silenced) if self.false_alarm else ()


def taught(answers: Iterable[Answer], detector: str) -> list[Taught]:
    """What one detector is taught: false alarms that were its own, and whatever it saw of real anomalies."""
    found = []
    for answer in answers:
        chosen: Sequence[Lesson] = answer.wrong if answer.false_alarm else answer.lessons
        found += [Taught(one.seen, answer.false_alarm) for one in chosen if one.detector == detector]
    return found
