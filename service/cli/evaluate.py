"""``tocsin evaluate``: what a bundle would have caught in a labelled log."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from models.bundle import Bundle
from models.bundles import BundleStore
from models.errors import ConfigError
from models.verdict import Verdict
from service.cli.redacted import redacted, redacted_labels
from service.cli.show import harmless, lines_of, print_json, progress
from training.desk import ALONE
from training.evaluation import Protocol, stream_verdicts
from training.evaluation import evaluate as run
from training.logs import read_labels, read_lines
from training.metrics import Confusion
from training.prequential import GATHER, Attacked, Replayed, attack, replay
from training.results.protocols import protocol_markdown, protocols_of

if TYPE_CHECKING:
    from training.learning.replayed import Relearned

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
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables as Markdown to this file")] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Also draw densities, precision-recall curves and speeds as SVG in this folder")
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option(
            help="simulated: a team marks each false incident once, by the labels; adversary: an author marks each "
            "true one as false"
        ),
    ] = None,
    delay: Annotated[int, typer.Option(help="Lines after which the simulated team answers")] = 0,
    learn: Annotated[
        bool, typer.Option("--learn", help="Also teach what the simulated team answers, as `tocsin learner` does")
    ] = False,
    gather: Annotated[int, typer.Option(help="Lines that pass from an answer to the version that learned it")] = GATHER,
    clicks: Annotated[int, typer.Option(help="Answers that the adversary gives at most")] = 200,
    alone: Annotated[
        int, typer.Option(help="Verdicts that one author may silence before a second agrees; -1: any number")
    ] = ALONE,
    root: Annotated[str, typer.Option("--bundles", help="Folder or fsspec URL of bundles")] = BUNDLES,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON")] = False,
) -> None:
    """Stream a log through the pipeline that the service runs and compare its verdicts with labels, by session.

    Prints two protocols: whole sessions, and as streamed; simple baselines stand in the same table.
    """
    if labels is None and verdicts is None:
        raise ConfigError("nothing to do: give --labels to measure, or --verdicts to write verdicts")
    if labels is None and (markdown is not None or plots is not None):
        raise ConfigError("--markdown and --plots show what was measured: give --labels")
    if feedback not in (None, "simulated", "adversary"):
        raise ConfigError(f"--feedback {feedback!r} is unknown; it is simulated or adversary, or absent")
    if feedback is not None and labels is None:
        raise ConfigError("simulated answers follow the labels: give --labels")
    if learn and feedback != "simulated":
        raise ConfigError("--learn teaches what a team answers: give --feedback simulated")
    learned = _learning() if learn else None
    draw = _drawing() if plots is not None else None
    opened = open_bundle(bundle, root)
    truth = redacted_labels(opened.source, read_labels(labels) if labels else None)
    lines = redacted(opened.source, read_lines(logs))
    arrival = time.time()
    with progress(json) as shown:
        if verdicts is not None:
            write_verdicts(verdicts, stream_verdicts(opened, lines, arrival, lines_of(shown, "verdicts")))
        if truth is None:
            return
        if feedback is not None:
            told = lines_of(shown, "lines")
            allowed = None if alone < 0 else alone
            if feedback == "adversary":
                attacked = attack(
                    opened, lines, truth, arrival, clicks, train_share=train_share, alone=allowed, progress=told
                )
                _show_attacked(bundle, attacked, json)
                return
            if learned is not None:
                relearned = learned(
                    opened, lines, truth, arrival, delay, gather, train_share=train_share, alone=allowed, progress=told
                )
                _show_relearned(bundle, relearned, json)
                return
            replayed = replay(
                opened, lines, truth, arrival, delay, train_share=train_share, alone=allowed, progress=told
            )
            _show_replayed(bundle, replayed, json)
            return
        protocols = run(opened, lines, truth, arrival, train_share=train_share, progress=lines_of(shown, "lines"))
    found = protocols_of(opened, protocols)
    if markdown is not None:
        write_markdown(markdown, found)
    if draw is not None and plots is not None:
        draw(found, plots)
    if json:
        print_json({"bundle": bundle, "protocols": [protocol.to_dict() for protocol in protocols]})
        return
    console = Console()
    for protocol in protocols:
        console.print(table_of(protocol))
        console.print(said_of(protocol), markup=False, style="dim")
        for kind, (caught, of) in protocol.recall_by_kind.items():
            console.print(f"  {harmless(kind)}: {caught} of {of}", markup=False)


def _show_replayed(bundle: str, replayed: Sequence[Replayed], json: bool) -> None:
    """What a simulated team makes of each protocol."""
    if json:
        print_json({"bundle": bundle, "protocols": [found.to_dict() for found in replayed]})
        return
    for found in replayed:
        title = (
            f"{found.title}; {found.clicks} clicks ({found.seconds} of a second author), {found.delay} lines after "
            f"each false alarm ({found.repeated} for a cause already silenced)"
        )
        _print_counts(title, (("without feedback", found.without), ("with feedback", found.with_feedback)))


def _show_relearned(bundle: str, relearned: "Sequence[Relearned]", json: bool) -> None:
    """What a simulated team and a learner make of each protocol."""
    if json:
        print_json({"bundle": bundle, "protocols": [found.to_dict() for found in relearned]})
        return
    for found in relearned:
        rules, rejected = found.rules, found.of_state("rejected")
        title = (
            f"{rules.title}; {found.clicks} clicks ({found.seconds} of a second author; by rules alone {rules.clicks}, "
            f"{rules.seconds}), {rules.delay} lines after each false alarm ({found.repeated} for what was answered)"
        )
        counts = rules.without, rules.with_feedback, found.counts
        _print_counts(title, list(zip(("without feedback", "rules alone", "rules and learning"), counts, strict=True)))
        published = len(found.of_state("published"))
        said = (
            f"  candidates, {found.gather} lines after an answer: {published + len(rejected)} taught, {published} "
            f"published, {len(rejected)} rejected; {found.retired} rules retired"
        )
        told = [f"  version {one.version} was rejected: {reason}" for one in rejected for reason in one.reasons]
        Console().print("\n".join([said, *told]), markup=False, style="dim")


def _show_attacked(bundle: str, attacked: Sequence[Attacked], json: bool) -> None:
    """What an adversary makes of each protocol."""
    if json:
        print_json({"bundle": bundle, "protocols": [found.to_dict() for found in attacked]})
        return
    for found in attacked:
        title = (
            f"{found.title}; {found.clicks} clicks of an adversary ({found.refused} refused as too many an hour, "
            f"{found.already} for what one said already)"
        )
        rows = (("without him", found.without), ("under him", found.under), ("once he is deleted", found.deleted))
        _print_counts(title, rows)


def _print_counts(title: str, rows: Sequence[tuple[str, Confusion]]) -> None:
    table = Table(title=title, title_justify="left", box=None)
    for column in ("ensemble", "TP", "FP", "FN", "TN", "P", "R", "F1"):
        table.add_column(column, justify="left" if column == "ensemble" else "right")
    for name, c in rows:
        counts = (str(n) for n in (c.tp, c.fp, c.fn, c.tn))
        table.add_row(name, *counts, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}")
    Console().print(table)


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


def write_markdown(path: Path, protocols: Sequence[Mapping[str, Any]]) -> None:
    """The tables of all protocols. Raises ConfigError where the file cannot be written."""
    try:
        path.write_text("\n\n".join(map(protocol_markdown, protocols)) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write tables to {path}: {error.strerror}") from error


def _learning() -> "Callable[..., list[Relearned]]":
    """What replays with a learner; it needs torch, and nothing else here does."""
    try:
        from training.learning.replayed import replay_learned
    except ModuleNotFoundError as error:
        raise ConfigError(f"--learn needs {error.name}: pip install 'tocsin[train]' (see README, Training)") from error
    return replay_learned


def _drawing() -> Callable[[Sequence[Mapping[str, Any]], Path], object]:
    """What draws protocols in a folder; serving does without it."""
    try:
        from training.results.plots import draw_protocols
    except ModuleNotFoundError as error:
        raise ConfigError(f"--plots needs {error.name}: pip install 'tocsin[train]' (see README, Training)") from error
    return draw_protocols


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
    for column in ("detector", "TP", "FP", "FN", "TN", "P", "R", "F1", "FPR", "MCC", "AUC", "ms"):
        table.add_column(column, justify="left" if column == "detector" else "right", no_wrap=True)
    for row in protocol.rows:
        c = row.counts
        table.add_row(
            row.detector, str(c.tp), str(c.fp), str(c.fn), str(c.tn), f"{c.precision:.3f}", f"{c.recall:.3f}",
            f"{c.f1:.3f}", f"{c.fpr:.3f}", f"{c.mcc:.3f}", "" if row.auc is None else f"{row.auc:.3f}",
            "" if row.ms is None else f"{row.ms:.4f}",
        )  # fmt: skip
    return table


def said_of(protocol: Protocol) -> str:
    """What a table does not say of the ensemble: its distance to the best detector alone, and how soon it rings."""
    delay = protocol.row("ensemble").delay
    soon = "" if delay is None else f"; caught sessions ring at their event number {delay:.0f} (median)"
    return f"  ensemble: {protocol.gap:+.3f} F1 behind its best detector{soon}; ms: of scoring one event"
