"""``tocsin replay``: a log streamed into a running service, and the figures of what came back."""

import asyncio
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.source.config import Source
from service.access import own
from service.cli.redacted import redacted, redacted_labels
from service.cli.show import harmless, lines_of, print_json, progress
from service.replay.batches import Ends, rounds
from service.replay.client import Limits, ServiceClient
from service.replay.report import Quality, Report, protocol, quality
from service.replay.stream import stream
from training.corpus import Progress, split_log, split_sessions
from training.logs import read_labels, read_lines


def replay(
    source: Annotated[str, typer.Option(help="Source of the log, as the service knows it")],
    logs: Annotated[list[Path], typer.Option(help="Log files in time order, plain or gzip; may be repeated")],
    url: Annotated[str, typer.Option(help="Address of the service")] = "http://127.0.0.1:8000",
    labels: Annotated[Path | None, typer.Option(help="CSV session,anomalous[,kind]: adds what was caught")] = None,
    train_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.999, help="Count only sessions after this share; all lines are sent"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Lines per second [default: as fast as they are answered]")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Lines of one request")] = 1000,
    connections: Annotated[
        int, typer.Option(min=1, max=64, help="Requests at a time; the lines of a session keep their order")
    ] = 1,
    end_markers: Annotated[
        bool, typer.Option("--end-markers", help="Send an end record after the last line of each session")
    ] = False,
    until_settled: Annotated[
        bool,
        typer.Option(help="Then wait until the service has closed all sessions: idle_s and twice lateness_s at most"),
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Send with wait=false, and ask for the verdicts afterwards")
    ] = False,
    compress: Annotated[bool, typer.Option("--gzip", help="Send gzip bodies")] = False,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="It is history: incidents are stored, and nobody is told")
    ] = False,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File that holds the API key [default: TOCSIN_API_KEY, TOCSIN_API_KEY_FILE]")
    ] = None,
    retry: Annotated[float, typer.Option(min=0.0, help="Seconds for which a busy or absent service is retried")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON")] = False,
) -> None:
    """Stream a log into a running service in file order; report throughput, latency, verdicts and what was caught.

    A session counts as caught if any verdict of it is anomalous. Sessions are as streamed: they close when the service
    closes them. Retried requests are judged once. With --no-wait latencies are those of acceptance, and lines per
    second those of judging.

    Exit code: 0 done, 1 the service failed or cannot be reached, 2 wrong usage.
    """
    if train_share is not None and labels is None:
        raise typer.BadParameter(
            "it decides which labelled sessions count: give --labels too", param_hint="--train-share"
        )
    for path in logs if labels is None else [*logs, labels]:
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {harmless(str(path))}")
    brought = own.headers(api_key_file)
    lines = read_lines(logs)
    known = None if labels is None else read_labels(labels)
    ends: Ends = "last_line" if end_markers else "never"

    async def run(sending: Progress) -> Report:
        client = ServiceClient(
            url,
            uuid4().hex,
            connections=connections,
            compress=compress,
            backfill=backfill,
            wait=not no_wait,
            limits=Limits(retry_s=retry),
            headers=brought,
            tls=own.tls(),
        )
        async with client:
            entry = await client.source(source)
            config = Source.from_dict(entry["config"])
            split = None
            if known is not None or end_markers or connections > 1:
                split = split_log(config, lines, arrival=time.time())
            replayed = await stream(
                client,
                source,
                rounds(config, lines, split, batch, connections, ends),
                len(lines),
                rate=rate,
                settle=until_settled,
                progress=sending,
            )
        judged = None
        if known is not None and split is not None:
            # Verdicts name sessions as they are after redaction; what is sent is named as it was before.
            named = split_log(config, redacted(config, lines), arrival=time.time()) if config.redact else split
            parts = split_sessions(named, train_share or 1.0)
            truth = redacted_labels(config, known)
            judged = quality(parts.test if train_share else parts.train, replayed.tally.rang, truth or known)
        return Report(protocol(float(entry["idle_s"]), ends, connections), replayed, judged)

    with progress(json) as shown:
        report = asyncio.run(run(lines_of(shown, "lines")))
    if json:
        print_json(report.to_dict())
    else:
        show(report, Console())


def show(report: Report, console: Console) -> None:
    """A report for people. What comes from the log or the service is escaped."""
    replayed = report.replayed
    tally = replayed.tally
    say(console, report.protocol)
    say(
        console,
        f"{tally.lines:,} lines in {replayed.seconds:.1f} s: {report.lines_per_s:,.0f} lines/s; "
        f"{len(tally.latencies_s):,} requests, p50 {report.latency_ms(0.5):.0f} ms, "
        f"p99 {report.latency_ms(0.99):.0f} ms, {tally.retries} retries",
    )
    say(
        console,
        f"verdicts: {tally.line_verdicts:,} of lines ({tally.anomalous_lines:,} anomalous), "
        f"{tally.session_verdicts:,} of ended sessions ({tally.anomalous_ends:,} anomalous); "
        f"{len(tally.rang):,} sessions rang, {len(tally.incidents):,} incidents; "
        f"model version {', '.join(sorted(tally.versions)) or 'none (learning)'}",
    )
    if tally.failed:
        say(console, f"{tally.failed:,} lines could not be judged: {'; '.join(sorted(tally.failures))}")
    if replayed.live:
        say(console, f"{replayed.live:,} sessions are still open: judged by their lines so far")
    if tally.rejected:
        say(console, f"{tally.rejected:,} lines rejected, such as")
        for line, error in tally.rejections:
            say(console, f"  line {line}: {error}")
    if report.quality is not None:
        show_quality(report.quality, console)


def show_quality(found: Quality, console: Console) -> None:
    """Counts by session, and recall by kind where labels name kinds."""
    c = found.counts
    say(
        console,
        f"{found.sessions:,} labelled sessions: TP {c.tp}, FP {c.fp}, FN {c.fn}, TN {c.tn}; "
        f"precision {c.precision:.3f}, recall {c.recall:.3f}, F1 {c.f1:.3f}, FPR {c.fpr:.4f}",
    )
    if not found.by_kind:
        return
    table = Table("kind", "sessions", "caught", box=None, pad_edge=False)
    for kind, (caught, of) in found.by_kind.items():
        table.add_row(Text(harmless(kind)), str(of), str(caught))
    console.print(table)


def say(console: Console, text: str) -> None:
    """One line, as it is: neither markup nor control characters of what is quoted in it take effect."""
    console.print(Text(harmless(text)), soft_wrap=True)
