"""A bar on the terminal for the fits of one training.

Owns what a person sees. Where nobody looks (no terminal, or quiet) it draws nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from training.progress import Progress as Report


@contextmanager
def epoch_bar(quiet: bool = False) -> Iterator[Report]:
    """A ``progress`` to pass to ``fit_deeplog``: one bar on standard error for each fit, epochs done of epochs at
    most."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        yield report
