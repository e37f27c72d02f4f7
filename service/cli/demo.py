"""``tocsin demo``: serve the shipped bundle, replay the recorded sample, show what was caught."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.bundles import SHIPPED, BundleStore
from models.source.config import Source
from service.cli.replay import say
from service.cli.show import harmless, lines_of, print_json, progress
from service.demo.comparison import Comparison
from service.demo.sample import SOURCE, LaterPart, later_part
from service.demo.server import DemoError, DemoServer
from service.demo.stated import STATED
from service.replay.batches import rounds
from service.replay.client import ServiceClient
from service.replay.report import Report, protocol
from service.replay.stream import stream
from training.corpus import Progress

BATCH_LINES = 500


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one")] = 8000,
    exit_: Annotated[
        bool, typer.Option("--exit", help="Stop after the table; exit 0 only if the stated figures were reached")
    ] = False,
    bundles: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of bundles [default: the shipped ones]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON")] = False,
) -> None:
    """Serve the shipped bundle on a private Redis, replay the recorded PostgreSQL log, show what was caught.

    Sends the part of the sample that the bundle was not trained on, and keeps serving until Ctrl-C.

    Exit code: 0 done, 1 failed or (with --exit) a figure that README states was missed, 130 interrupted.
    """
    console = Console(stderr=True) if json else Console()
    shown = False
    try:
        with _terminable():
            server = DemoServer(port, bundles)
            say(console, "starting Tocsin on a private Redis")
            with server:
                comparison, report, part = _replayed(server.url, bundles, json)
                missed = comparison.missed(STATED)
                if json:
                    print_json(_figures(comparison, report, part, missed))
                else:
                    _show(console, comparison, report, part)
                for reason in missed:
                    say(console, f"missed: {reason}")
                if not exit_:
                    shown = True
                    _serve(console, server)
    except KeyboardInterrupt:
        say(console, "stopped")
        raise typer.Exit(0 if shown else 130) from None
    if missed:
        raise typer.Exit(1)


def _replayed(url: str, bundles: Path | None, quiet: bool) -> tuple[Comparison, Report, LaterPart]:
    """Send the later part of the sample."""

    async def run(sending: Progress) -> tuple[Comparison, Report, LaterPart]:
        async with ServiceClient(url, uuid4().hex) as client:
            entry = await client.source(SOURCE)
            if entry["version"] is None:
                raise DemoError(f"there is no bundle for source {SOURCE}: `make train-sample` trains the shipped one")
            bundle = BundleStore(bundles or SHIPPED, shipped=SHIPPED).load(SOURCE, str(entry["version"]))
            source = Source.from_dict(entry["config"])
            part = later_part(source, float(bundle.manifest.provenance["train_share"]), time.time())
            requests = rounds(source, part.lines, part.records, BATCH_LINES, 1, "end_of_log")
            replayed = await stream(client, SOURCE, requests, len(part.lines), progress=sending)
        report = Report(protocol(float(entry["idle_s"]), "end_of_log"), replayed)
        return Comparison.of(part, replayed.tally), report, part

    with progress(quiet) as shown:
        return asyncio.run(run(lines_of(shown, "lines")))


def _serve(console: Console, server: DemoServer) -> NoReturn:
    say(
        console,
        f"serving until Ctrl-C: incidents at {server.url}/incidents, the HTTP surface at {server.url}/openapi.json",
    )
    server.wait()


def _figures(comparison: Comparison, report: Report, part: LaterPart, missed: list[str]) -> dict[str, Any]:
    return {
        **report.to_dict(),
        "quality": comparison.tocsin.to_dict(),
        "comparison": comparison.to_dict(),
        "straddling_sessions": part.straddling,
        "missed": missed,
    }


def _show(console: Console, comparison: Comparison, report: Report, part: LaterPart) -> None:
    methods = comparison.methods()
    table = Table(title="what was caught, by session", title_justify="left")
    for column in ("kind of fault", "sessions", *methods):
        table.add_column(column, justify="left" if column == "kind of fault" else "right")
    for kind, (_, of) in comparison.tocsin.by_kind.items():
        table.add_row(
            Text(harmless(kind)), str(of), *(str(found.by_kind.get(kind, (0, of))[0]) for found in methods.values())
        )
    table.add_section()
    counts = [found.counts for found in methods.values()]
    kinds = len(comparison.tocsin.by_kind)
    table.add_row("kinds caught", str(kinds), *(str(found.kinds_caught) for found in methods.values()))
    table.add_row("recall", str(counts[0].tp + counts[0].fn), *(f"{c.recall:.3f}" for c in counts))
    table.add_row("precision", "", *(f"{c.precision:.3f}" for c in counts))
    table.add_row("F1", "", *(f"{c.f1:.3f}" for c in counts))
    table.add_row("false alarms", str(counts[0].fp + counts[0].tn), *(str(c.fp) for c in counts))
    console.print(table)
    replayed = report.replayed
    say(
        console,
        f"{replayed.tally.lines:,} lines, {report.lines_per_s:,.0f} lines/s; requests of {BATCH_LINES} lines: "
        f"p50 {report.latency_ms(0.5):.0f} ms, p99 {report.latency_ms(0.99):.0f} ms; "
        f"{len(replayed.tally.incidents):,} incidents",
    )
    say(
        console,
        f"{report.protocol}; {len(part.counted):,} sessions that begin in the replayed part are counted, "
        f"{part.straddling} that began before it are sent but not counted",
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and a closed terminal stop the demo as Ctrl-C does, so that its service and Redis go with it."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
