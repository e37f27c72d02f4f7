"""Which detectors can be taught, and what holds for every one of them."""

from models.registry import DETECTORS
from training.learning.simple import SIMPLE
from training.learning.teachers import TEACHERS


def test_who_can_be_taught_is_a_detector() -> None:
    assert TEACHERS.keys() <= set(DETECTORS)
    assert TEACHERS.keys() >= SIMPLE.keys()
