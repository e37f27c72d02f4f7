"""How long work tells what it is at."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as work goes on: what is being done, steps done, steps at most (done == at most: finished)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that shows nothing."""
