"""``tocsin parse``: what templates a source makes of a log, and how good they are where the truth is known."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.source.config import Source
from models.template.parameters import extract
from service.cli.redacted import redacted
from service.cli.show import harmless, lines_of, print_json, progress
from training.benchmarks import loghub2k
from training.logs import read_lines
from training.mining import Accuracy, Mined, accuracy, mine, read_truth

SHOWN_ERRORS = 5
SHOWN_CHARACTERS = 200
"""Of an example or a value, in the table; JSON has them whole."""
SHOWN_VALUES = 3
"""Different values of a parameter that are shown."""
SAMPLED_RECORDS = 200
"""Records of a template in which values are looked for."""


def parse(
    source: Annotated[str | None, typer.Argument(help="Preset (`tocsin sources` lists them) or YAML file")] = None,
    logs: Annotated[list[Path] | None, typer.Option(help="Log files in order, plain or gzip; may be repeated")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Print only this many templates, the most frequent [default: all]")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="CSV of true templates as Loghub has them, or (alone) a folder of Loghub's 2k samples"),
    ] = None,
    parameters: Annotated[bool, typer.Option("--parameters", help="Also print values of each parameter")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON")] = False,
) -> None:
    """Split and mine a log in a fresh tree, to see whether a source fits it: templates, and lines that were rejected.

    With --truth: grouping accuracy (GA; precision, recall and F1 by groups) and parsing accuracy (PA), as logparser
    defines them. `tocsin parse --truth FOLDER` alone compares eight systems with Drain as published and with drain3.
    """
    if source is None:
        if truth is None or not truth.is_dir():
            raise typer.BadParameter("name a source and --logs, or give --truth a folder of Loghub's samples")
        _compare(truth, json)
        return
    if not logs:
        raise typer.BadParameter("give the log to parse", param_hint="--logs")
    config = Source.load(source)
    known = None if truth is None else read_truth(str(truth))
    lines = redacted(config, read_lines(logs))
    with progress(json) as shown:
        mined = mine(config, lines, time.time(), lines_of(shown, "lines"), lines_of(shown, "templates"))
    found = _templates(mined, limit, parameters)
    measured = None
    if known is not None:
        ids = mined.by_line()
        measured = accuracy(ids, [mined.text(template_id) for template_id in ids.tolist()], known)
    if json:
        print_json(
            {
                "source": config.name,
                "lines": mined.lines,
                "records": len(mined.records),
                "rejected": [asdict(rejection) for rejection in mined.records.rejected],
                "templates": found,
                "templates_in_all": len(mined.tree),
                "accuracy": None if measured is None else asdict(measured),
            }
        )
    else:
        _show(mined, found, measured, Console())


def _templates(mined: Mined, limit: int | None, parameters: bool) -> list[dict[str, Any]]:
    """Templates with their counts, the most frequent first, the older first among equals."""
    ids, first, counts = np.unique(mined.ids, return_index=True, return_counts=True)
    order = np.lexsort((ids, -counts))[:limit]
    found = []
    for template_id, record, count in zip(
        ids[order].tolist(), first[order].tolist(), counts[order].tolist(), strict=True
    ):
        entry = {
            "id": template_id,
            "template": mined.text(template_id),
            "count": count,
            "share": count / len(mined.ids),
            "example": mined.records.message[record],
        }
        if parameters:
            entry["parameters"] = _values(mined, template_id)
        found.append(entry)
    return found


def _values(mined: Mined, template_id: int) -> list[dict[str, Any]]:
    """Each placeholder of a template with the first different values in the log."""
    tokens = mined.tree.template(template_id).tokens
    places: dict[int, dict[str, Any]] = {}
    for record in np.flatnonzero(mined.ids == template_id)[:SAMPLED_RECORDS].tolist():
        for found in extract(tokens, mined.records.message[record]):
            place = places.setdefault(found.position, {"position": found.position, "mask": found.mask, "values": []})
            if found.value not in place["values"] and len(place["values"]) < SHOWN_VALUES:
                place["values"].append(found.value)
    return [places[position] for position in sorted(places)]


def _show(mined: Mined, found: list[dict[str, Any]], measured: Accuracy | None, console: Console) -> None:
    table = Table("id", "template, example", box=None, pad_edge=False)
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    for entry in found:
        shown = Text(harmless(entry["template"]), style="bold")
        shown.append(f"\n{_short(entry['example'])}", style="not bold dim")
        for place in entry.get("parameters", ()):
            values = ", ".join(_short(value) for value in place["values"])
            shown.append(f"\n  <{place['mask']}>: {values}", style="not bold dim")
        table.add_row(str(entry["id"]), shown, f"{entry['count']:,}", f"{entry['share']:.2%}")
    console.print(table)
    rejected = mined.records.rejected
    console.print(
        f"{len(mined.tree):,} templates in {len(mined.records):,} records of {mined.lines:,} lines; "
        f"{len(rejected):,} lines rejected{':' if rejected else ''}",
        highlight=False,
    )
    for rejection in rejected[:SHOWN_ERRORS]:
        console.print(Text(f"  line {rejection.index + 1}: {harmless(rejection.error)}"), soft_wrap=True)
    if measured is not None:
        groups = measured.grouping
        console.print(
            f"of {measured.lines:,} lines with a known template: GA {groups.accuracy:.3f} (groups: precision "
            f"{groups.precision:.3f}, recall {groups.recall:.3f}, F1 {groups.f1:.3f}), PA {measured.parsing:.3f}; "
            f"{measured.templates} templates, {measured.true_templates} true ones",
            highlight=False,
        )


def _compare(folder: Path, json: bool) -> None:
    """The table of Loghub's systems."""
    with progress(json) as shown:
        found = loghub2k.rows(folder, time.time(), lines_of(shown, "systems"))
    if json:
        print_json({"systems": [asdict(row) for row in found]})
        return
    table = Table(
        "system", "read by", "templates", "true", "GA", "F1 of groups", "PA", "GA", "PA", "GA", "PA", "rejected",
        title="Template mining on Loghub's 2k samples: Tocsin | drain3 on the same messages | Drain as published",
        title_justify="left",
        box=None,
        pad_edge=False,
    )  # fmt: skip
    for row in found:
        table.add_row(
            row.system.name,
            f"{row.system.preset}, {'Content column' if row.system.content else 'header'}",
            str(row.ours.templates),
            str(row.ours.true_templates),
            *(f"{figure:.3f}" for figure in row.figures()),
            str(row.rejected),
        )
    means = [sum(column) / len(found) for column in zip(*(row.figures() for row in found), strict=True)]
    table.add_row("mean", "", "", "", *(f"{mean:.3f}" for mean in means), "")
    console = Console()
    console.print(table)
    console.print(
        "Drain as published: GA from Zhu et al. (ICSE-SEIP 2019), with masks and thresholds chosen for each system; PA "
        "from Jiang et al. (ISSTA 2024), whose true templates of the 2k samples are partly corrected.",
        style="dim",
    )


def _short(text: str) -> str:
    shown = harmless(text)
    return shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."
