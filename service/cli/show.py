"""How commands show things: progress on long work, tables for people, JSON for machines, hostile text made harmless."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.corpus import Progress as Advance

_UNUSUAL = re.compile("[^\\n -~]")


def print_json(value: Any) -> None:
    """One JSON document on standard output; what JSON lets stand but a terminal acts on is escaped."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    sys.stdout.buffer.write(_UNUSUAL.sub(_seen, text).encode())
    sys.stdout.buffer.flush()


def _seen(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def harmless(text: str) -> str:
    """Text with control characters escaped: a log line must not drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """A progress display on standard error; hidden where nobody looks."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as shown:
        yield shown


def lines_of(shown: Progress, what: str) -> Advance:
    """A callback (done, in all) that moves one bar."""
    task = shown.add_task(what, total=None)

    def advance(done: int, total: int) -> None:
        shown.update(task, completed=done, total=total)

    return advance
