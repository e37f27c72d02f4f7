"""``tocsin datasets list|download``: the public data sets that results are measured on."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli.show import lines_of, print_json, progress
from training.datasets.catalogue import DATASETS, dataset_of
from training.datasets.download import download as fetch
from training.datasets.layout import LABELS, lay_out

DEFAULT = "~/.cache/tocsin/datasets"

app = typer.Typer(help="Public data sets to train and measure on.", no_args_is_help=True)

Root = Annotated[
    Path | None, typer.Option("--to", help=f"Folder of data sets [default: $TOCSIN_DATASETS_DIR, else {DEFAULT}]")
]


@app.command("list")
def list_datasets(to: Root = None, json: Annotated[bool, typer.Option("--json", help="Print as JSON")] = False) -> None:
    """List the data sets with their sizes, and which of them are here."""
    root = _root(to)
    here = {name: (root / name / LABELS).exists() for name in DATASETS}
    if json:
        print_json({name: {**_told(name), "here": here[name]} for name in DATASETS})
        return
    table = Table(box=None)
    for column in ("name", "download", "here", "what"):
        table.add_column(column, justify="right" if column == "download" else "left")
    for name, dataset in DATASETS.items():
        table.add_row(name, f"{dataset.size / 1e6:,.0f} MB", "yes" if here[name] else "", dataset.about)
    Console().print(table)


@app.command("download")
def download(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(DATASETS)}")],
    to: Root = None,
    keep: Annotated[bool, typer.Option(help="Keep the archive beside the log made of it")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print where the files are as JSON")] = False,
) -> None:
    """Fetch a data set from its publisher, going on where it was cut off, and make a log and labels of it."""
    dataset = dataset_of(name)
    folder = _root(to) / name
    with progress(json) as shown:
        archive = fetch(
            dataset.url, folder / dataset.archive, dataset.size, dataset.md5, lines_of(shown, f"{name}, bytes")
        )
    log, labels = lay_out(name, archive, folder)
    if not keep:
        archive.unlink()
    if json:
        print_json({**_told(name), "log": log, "labels": labels})
        return
    Console().print(f"{log}\n{labels} (sessions are {dataset.sessions}s)", markup=False)
    Console().print(f"train on it: tocsin train {dataset.preset} --logs {log} --labels {labels}", markup=False)


def _root(given: Path | None) -> Path:
    return (given or Path(os.environ.get("TOCSIN_DATASETS_DIR", DEFAULT))).expanduser()


def _told(name: str) -> dict[str, object]:
    dataset = DATASETS[name]
    return {"url": dataset.url, "size": dataset.size, "md5": dataset.md5, "preset": dataset.preset}
