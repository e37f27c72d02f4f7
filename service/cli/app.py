"""The command line: ``tocsin`` and ``python -m service``.

Owns commands, their help and exit codes: 0 done, 1 failed, 2 wrong usage. Every command is thin.
"""

import sys

import typer
from rich.console import Console
from rich.text import Text

from models.errors import TocsinError
from service.cli import (
    bundles,
    datasets,
    demo,
    evaluate,
    init,
    keys,
    learner,
    notify,
    parse,
    queue,
    replay,
    serve,
    sources,
    tail,
    train,
)
from service.cli.show import harmless

app = typer.Typer(
    name="tocsin",
    help="Streaming log anomaly detection: verdicts for each line, explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("learner")(learner.learner)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("replay")(replay.replay)
app.command("tail")(tail.tail)
app.command("parse")(parse.parse)
app.command("sources")(sources.sources)
app.add_typer(bundles.app, name="bundles")
app.add_typer(keys.app, name="keys")
app.add_typer(notify.app, name="notify")
app.add_typer(queue.app, name="queue")
app.add_typer(datasets.app, name="datasets")
app.command("demo")(demo.demo)


def main() -> None:
    """Run a command; an expected error is one line and exit code 1, not a traceback."""
    try:
        app()
    except TocsinError as error:
        # As plain, harmless text: what stands in it may come from a log line.
        Console(stderr=True).print(Text(f"error: {harmless(str(error))}", style="red"), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
