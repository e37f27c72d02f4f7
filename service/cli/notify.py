"""``tocsin notify``: whether notices arrive, and those that did not."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.remote import HERE, Url, call
from service.cli.show import harmless, print_json

app = typer.Typer(help="Who is told of incidents by a running service.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print as JSON")]
SHOWN = 1_000


@app.command("list")
def list_notifiers(url: Url = HERE, json: Json = False) -> None:
    """List notifiers, and how many of each one's notices wait or are dead."""
    answer = call(url, "GET", "/notifications")
    if json:
        print_json(answer)
        return
    if not answer["notifiers"]:
        Console(stderr=True).print("no notifiers are configured; TOCSIN_NOTIFY names their file")
        return
    table = Table("notifier", "kind", "address", "sources", "from", "waiting", "dead", box=None, pad_edge=False)
    for told in answer["notifiers"]:
        sources = ", ".join(told["sources"])
        table.add_row(*_texts(told["name"], told["kind"], told["address"], sources, told["min_severity"]),
                      str(told["waiting"]), str(told["dead"]))  # fmt: skip
    Console().print(table)


@app.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="Notifier, as its file calls it")], url: Url = HERE, json: Json = False
) -> None:
    """Send a test notice, once. Exit code 1 where it was not taken."""
    answer = call(url, "POST", f"/notifications/{quote(name, safe='')}/test")
    if json:
        print_json(answer)
        return
    Console().print(Text(harmless(f"{name}: the notice was taken")))


@app.command("dead")
def dead(
    notifier: Annotated[str | None, typer.Option(help="Of one notifier [default: all]")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try them all again")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Forget them all")] = False,
    url: Url = HERE,
    json: Json = False,
) -> None:
    """List notices that could not be delivered, newest first; or try them again, or forget them."""
    if retry and drop:
        raise typer.BadParameter("a notice is either tried again or forgotten", param_hint="--retry, --drop")
    if retry or drop:
        method, path, done = ("POST", "/retry", "retried") if retry else ("DELETE", "", "dropped")
        answer = call(url, method, f"/notifications/dead{path}", notifier=notifier)
        if json:
            print_json(answer)
        else:
            Console().print(Text(f"{answer[done]} notices {done}"))
        return
    answer = call(url, "GET", "/notifications/dead", notifier=notifier, limit=SHOWN)
    if json:
        print_json(answer)
        return
    table = Table("since", "notifier", "source", "of", "tries", "why", box=None, pad_edge=False)
    for one in answer["dead"]:
        moment = datetime.fromtimestamp(one["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        of = one["incident"] or f"{one['held_back']} held back"
        table.add_row(*_texts(moment, one["notifier"], one["source"], of, str(one["tries"]), one["reason"]))
    if answer["dead"]:
        Console().print(table)
    else:
        Console(stderr=True).print("no notice is dead")


def _texts(*cells: Any) -> list[Text]:
    return [Text(harmless(str(cell))) for cell in cells]
