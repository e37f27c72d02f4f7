"""``tocsin evaluate``: what a bundle would have caught in a labelled log."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from models.bundle import Bundle
from models.bundles import BundleStore
from models.errors import ConfigError
from models.verdict import Verdict
from service.cli.show import harmless, lines_of, print_json, progress
from training.evaluation import Protocol, stream_verdicts
from training.evaluation import evaluate as run
from training.logs import read_labels, read_lines

BUNDLES = "data/bundles"
"""Where bundles lie if nobody says otherwise."""


def evaluate(
    bundle: Annotated[str, typer.Argument(help="Folder of a bundle, or SOURCE/VERSION")],
    logs: Annotated[list[Path], typer.Option(help="Log files in time order, plain or gzip; may be repeated")],
    labels: Annotated[Path | None, typer.Option(help="CSV session,anomalous[,kind]")] = None,
    train_share: Annotated[
        float | None, typer.Option(help="Count only sessions after this share [default: the bundle's own; 0: all]")
    ] = None,
    verdicts: Annotated[Path | None, typer.Option(help="Also write every verdict as a line of JSON here")] = None,
    root: Annotated[str, typer.Option("--bundles", help="Folder or fsspec URL of bundles")] = BUNDLES,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON")] = False,
) -> None:
    """Stream a log through the pipeline that the service runs and compare its verdicts with labels, by session.

    Prints two protocols: whole sessions, and as streamed; simple baselines stand in the same table.
    """
    if labels is None and verdicts is None:
        raise ConfigError("nothing to do: give --labels to measure, or --verdicts to write verdicts")
    opened = open_bundle(bundle, root)
    truth = read_labels(labels) if labels else None
    lines = read_lines(logs)
    arrival = time.time()
    with progress(json) as shown:
        if verdicts is not None:
            write_verdicts(verdicts, stream_verdicts(opened, lines, arrival, lines_of(shown, "verdicts")))
        if truth is None:
            return
        protocols = run(opened, lines, truth, arrival, train_share=train_share, progress=lines_of(shown, "lines"))
    if json:
        print_json({"bundle": bundle, "protocols": [protocol.to_dict() for protocol in protocols]})
        return
    console = Console()
    for protocol in protocols:
        console.print(table_of(protocol))
        for kind, (caught, of) in protocol.recall_by_kind.items():
            console.print(f"  {harmless(kind)}: {caught} of {of}", markup=False)


def open_bundle(name: str, root: str = BUNDLES) -> Bundle:
    """A bundle by its folder, or by SOURCE/VERSION under ``root`` (a path or fsspec URL) or among the shipped ones."""
    folder = Path(name).resolve()
    if folder.is_dir():
        return BundleStore(folder.parent.parent, shipped=None).load(folder.parent.name, folder.name)
    source, _, version = name.partition("/")
    if not version or "/" in version:
        raise ConfigError(f"{name!r} is neither a folder nor SOURCE/VERSION of a bundle under {root} or shipped")
    return BundleStore(root).load(source, version)


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Each verdict as a line of JSON. Raises ConfigError where the file cannot be written."""
    try:
        with path.open("wb") as file:
            for verdict in verdicts:
                file.write(orjson.dumps(verdict, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise ConfigError(f"cannot write verdicts to {path}: {error.strerror}") from error


def table_of(protocol: Protocol) -> Table:
    """Results of one protocol for people."""
    table = Table(
        title=f"{protocol.title} ({protocol.sessions} sessions, {protocol.anomalous} anomalous, "
        f"{protocol.epochs} epochs closed in the whole log)",
        title_justify="left",
        box=None,
        # Fits 80 columns with counts of five digits: what a pipe or a build log has.
        padding=(0, 1, 0, 0),
        title_style="bold",
    )
    for column in ("detector", "TP", "FP", "FN", "TN", "P", "R", "F1", "FPR", "MCC", "AUC"):
        table.add_column(column, justify="left" if column == "detector" else "right", no_wrap=True)
    for row in protocol.rows:
        c = row.counts
        table.add_row(
            row.detector, str(c.tp), str(c.fp), str(c.fn), str(c.tn), f"{c.precision:.3f}", f"{c.recall:.3f}",
            f"{c.f1:.3f}", f"{c.fpr:.3f}", f"{c.mcc:.3f}", "" if row.auc is None else f"{row.auc:.3f}",
        )  # fmt: skip
    return table
