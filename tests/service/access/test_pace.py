"""Token buckets: how much passes, how long the rest waits, and that there are not any number of them."""

import pytest

from service.access import pace
from service.access.pace import Paces


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_rest_waits_for_its_turn() -> None:
    clock = Clock()
    paces = Paces(clock)
    assert [paces.draw("a", 1, 2.0, 4.0) for _ in range(5)] == [0, 0, 0, 0, 1]
    assert paces.draw("b", 1, 2.0, 4.0) == 0
    clock.now += 0.5
    assert paces.draw("a", 1, 2.0, 4.0) == 0
    assert paces.draw("a", 1, 2.0, 4.0) == 1


def test_a_request_larger_than_the_burst_passes_and_the_next_ones_wait_for_it() -> None:
    clock = Clock()
    paces = Paces(clock)
    assert paces.draw("a", 1_000, 100.0, 100.0) == 0
    assert paces.draw("a", 1, 100.0, 100.0) == 9
    clock.now += 8.9
    assert paces.draw("a", 1, 100.0, 100.0) == 1
    clock.now += 0.2
    assert paces.draw("a", 1, 100.0, 100.0) == 0


def test_the_bucket_used_least_recently_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "KEPT", 3)
    paces = Paces(Clock())
    for name in "abcad":
        paces.draw(name, 1, 0.001, 1.0)
    assert paces.draw("a", 1, 0.001, 1.0) > 0
    assert paces.draw("b", 1, 0.001, 1.0) == 0
