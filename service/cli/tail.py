"""``tocsin tail``: log files followed into a running service, over rotation and restarts."""

import asyncio
import math
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from models.bundles import NAME
from models.errors import TocsinError
from models.source.config import Source
from service.access import own
from service.cli.remote import HERE
from service.cli.show import harmless, print_json
from service.replay.client import Limits, ServiceClient
from service.tail.followed import Followed
from service.tail.places import Places
from service.tail.sending import Backoff, Sent, send

ONCE_RETRY_S = 60.0


def tail(
    files: Annotated[list[Path], typer.Argument(help="Log files; one that is not there yet is waited for")],
    source: Annotated[str, typer.Option(help="Source of the lines, as the service knows it")],
    url: Annotated[str, typer.Option(help="Address of the service")] = HERE,
    state: Annotated[
        Path | None,
        typer.Option(help="Where places are kept [default: ~/.local/state/tocsin/tail-SOURCE.json]"),
    ] = None,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start/--from-end", help="Where a file begins that was not followed before; later ones: at the start"
        ),
    ] = True,
    once: Annotated[bool, typer.Option("--once", help="Send what there is, then stop")] = False,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Most lines of one request")] = 1000,
    retry: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Seconds for which a busy or absent service is tried again [default: no end; --once: 60]"
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File that holds the API key [default: TOCSIN_API_KEY, TOCSIN_API_KEY_FILE]")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Send with wait=false: lines count as sent once they are in its queue")
    ] = False,
    compress: Annotated[bool, typer.Option("--gzip", help="Send gzip bodies")] = False,
    json: Annotated[bool, typer.Option("--json", help="At the end print what was sent as JSON")] = False,
) -> None:
    """Follow log files and send their lines to a running service. Rotation by renaming and by copying is followed.

    Each place is kept once the service has judged the lines up to it, or with --no-wait has them in its durable queue,
    and a batch that is tried again within 15 minutes is judged once, also after a crash. One command at a time follows
    a file.

    Exit code: 0 done or stopped (SIGTERM, Ctrl-C), 1 the service refuses or a file cannot be followed, 2 wrong usage.
    """
    if NAME.fullmatch(source) is None:
        raise typer.BadParameter(f"{harmless(source)!r} is no name of a source", param_hint="--source")
    paths = list(dict.fromkeys(path.absolute() for path in files))
    for path in paths:
        if (path.exists() or once) and not path.is_file():
            raise typer.BadParameter(f"there is no file {harmless(str(path))}")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {harmless(str(path.parent))}")
    brought = own.headers(api_key_file)
    console = Console(stderr=True)
    sent = Sent()
    patience_s = retry if retry is not None else ONCE_RETRY_S if once else math.inf
    with Places(state or _usual_state(source)) as places, console.status("starting") as status:
        shown = Shown(console, status, sent)
        backoff = Backoff(shown.pausing)

        def acknowledged() -> None:
            backoff.reset()
            shown.update()

        async def run() -> None:
            client = ServiceClient(
                url,
                uuid4().hex,
                compress=compress,
                wanted="none",
                wait=not no_wait,
                limits=Limits(retry_s=patience_s),
                sleep=backoff,
                headers=brought,
                tls=own.tls(),
            )
            async with client:
                config = Source.from_dict((await client.source(source))["config"])
                logs = []
                for path in paths:
                    place, until = places.of(path)
                    logs.append(
                        Followed(
                            path,
                            place,
                            from_end=not from_start,
                            until=until,
                            starts_with=config.starts_with,
                            say=shown.say,
                        )
                    )
                try:
                    await send(
                        client, source, logs, places, once=once, most=batch, sent=sent, acknowledged=acknowledged
                    )
                finally:
                    for log in logs:
                        log.close()

        asyncio.run(_until_stopped(run()))
    if json:
        print_json({"lines": sent.lines, "rejected": sent.rejected, "batches": sent.batches, "retries": sent.retries})
    else:
        console.print(Text(shown.line()))


class Shown:
    """What a person sees: one line that changes on a terminal, warnings above it."""

    def __init__(self, console: Console, status: Status, sent: Sent) -> None:
        self._console = console
        self._status = status
        self._sent = sent

    def line(self) -> str:
        """What was sent so far."""
        waiting = f", {self._sent.waiting:,} bytes wait" if self._sent.waiting else ""
        rejected = f", {self._sent.rejected:,} of them rejected" if self._sent.rejected else ""
        return f"{self._sent.lines:,} lines sent{rejected}{waiting}"

    def update(self) -> None:
        """Show that."""
        self._status.update(Text(self.line()))

    def pausing(self, seconds: float) -> None:
        """The service is away or busy."""
        self._status.update(Text(f"{self.line()}; the service is away or busy, trying again in {seconds:.0f} s"))

    def say(self, text: str) -> None:
        """Something that an operator should know; harmless, as names of files are in it."""
        self._console.print(Text(harmless(text), style="yellow"), soft_wrap=True)


async def _until_stopped(work: Coroutine[object, object, None]) -> None:
    """Run until it is done, or a signal says to stop: what was not acknowledged is sent the next time."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def stop() -> None:
        told.set()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        return
    except (OSError, TocsinError):
        # A connection that breaks while it stops is no failure: the places are kept.
        if not told.is_set():
            raise


def _usual_state(source: str) -> Path:
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return folder / "tocsin" / f"tail-{source}.json"
