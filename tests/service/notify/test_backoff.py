"""Pauses double, are spread, and have a longest."""

from service.notify.backoff import LONGEST_S, pause_s


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_s(tries, 1.0, lambda: 1.0) for tries in (1, 2, 3, 9, 10, 10_000)] == [
        1,
        2,
        4,
        256,
        LONGEST_S,
        LONGEST_S,
    ]


def test_a_pause_is_between_half_of_it_and_all() -> None:
    assert [pause_s(3, 2.0, lambda share=share: share) for share in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]
