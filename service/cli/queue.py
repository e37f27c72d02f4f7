"""``tocsin queue``: what waits to be judged, and what could not be."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.remote import HERE, Url, call
from service.cli.show import harmless, print_json

app = typer.Typer(help="The durable queue of a running service.", no_args_is_help=True)
dead = typer.Typer(help="Entries that could not be judged.", no_args_is_help=True)
app.add_typer(dead, name="dead")

Json = Annotated[bool, typer.Option("--json", help="Print as JSON")]
Source = Annotated[str | None, typer.Option(help="Of one source [default: all]")]
SHOWN = 1_000


@app.command("status")
def status(source: Source = None, url: Url = HERE, json: Json = False) -> None:
    """How many accepted lines of each source wait, since when, and how many entries are dead."""
    answer = call(url, "GET", "/queue", source=source)
    if json:
        print_json(answer)
        return
    table = Table("source", "lines", "entries", "age", "dead", box=None, pad_edge=False)
    for one in answer["sources"]:
        age = "" if one["age_s"] is None else f"{one['age_s']:.0f} s"
        table.add_row(*_texts(one["source"], one["lines"], one["entries"], age, one["dead"]))
    Console().print(table)


@dead.command("list")
def list_dead(source: Source = None, url: Url = HERE, json: Json = False) -> None:
    """List them, those that died last first."""
    answer = call(url, "GET", "/queue/dead", source=source, limit=SHOWN)
    if json:
        print_json(answer)
        return
    if not answer["dead"]:
        Console(stderr=True).print("no entry is dead")
        return
    table = Table("since", "batch", "lines", "why", "first line", box=None, pad_edge=False)
    for one in answer["dead"]:
        moment = datetime.fromtimestamp(one["died"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(*_texts(moment, one["batch"], one["lines"], one["reason"], one["first"] or ""))
    Console().print(table)


@dead.command("retry")
def retry(source: Source = None, url: Url = HERE, json: Json = False) -> None:
    """Let them all wait again, behind what waits."""
    _done(call(url, "POST", "/queue/dead/retry", source=source), "retried", json)


@dead.command("drop")
def drop(source: Source = None, url: Url = HERE, json: Json = False) -> None:
    """Forget them all: their lines are never judged."""
    _done(call(url, "DELETE", "/queue/dead", source=source), "dropped", json)


def _done(answer: dict[str, Any], what: str, json: bool) -> None:
    if json:
        print_json(answer)
    else:
        Console().print(Text(f"{answer[what]} entries {what}"))


def _texts(*cells: Any) -> list[Text]:
    return [Text(harmless(str(cell))) for cell in cells]
