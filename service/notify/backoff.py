"""How long to wait before a notice is tried again."""

from collections.abc import Callable

LONGEST_S = 300.0


def pause_s(tries: int, first_s: float, random: Callable[[], float]) -> float:
    """Seconds after ``tries`` failed attempts (at least 1): doubled with each, between half of it and all of it, so
    that those who failed together do not come back together. ``random`` gives 0 to 1. At most five minutes."""
    whole = min(first_s * 2.0 ** min(tries - 1, 30), LONGEST_S)
    return whole * (0.5 + 0.5 * random())
