"""``tocsin train``: from a log to a bundle."""

import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
import yaml
from rich.console import Console

from models.bundles import BundleStore, next_version
from models.errors import ConfigError
from models.registry import DEFAULT, DETECTORS
from models.source.config import Source
from service.cli.evaluate import BUNDLES
from service.cli.redacted import redacted, redacted_labels
from service.cli.show import lines_of, print_json, progress
from training.logs import digest, read_labels, read_lines


def train(
    source: Annotated[str, typer.Argument(help="Preset (`tocsin sources` lists them) or YAML file of the source")],
    logs: Annotated[list[Path], typer.Option(help="Log files in time order, plain or gzip; may be repeated")],
    out: Annotated[str, typer.Option(help="Folder or fsspec URL to write SOURCE/VERSION/ to")] = BUNDLES,
    labels: Annotated[Path | None, typer.Option(help="CSV session,anomalous: excludes anomalous sessions")] = None,
    train_share: Annotated[float, typer.Option(help="Share of the sessions, the oldest, to train on")] = 1.0,
    detectors: Annotated[
        str, typer.Option(help=f"Members, comma-separated, or all: {', '.join(DETECTORS)}")
    ] = ",".join(DEFAULT),
    witnesses: Annotated[
        str, typer.Option(help="Detectors that are scored and reported but have no say, comma-separated, or all")
    ] = "",
    budget: Annotated[float, typer.Option(help="Alert budget: false alarms as a share of normal sessions")] = 0.01,
    seed: Annotated[int, typer.Option(help="Seed of everything random")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A member's setting, e.g. deeplog.rule=surprisal; may be repeated")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source in the bundle [default: the preset's]")] = None,
    version: Annotated[str | None, typer.Option(help="Version [default: one more than the newest]")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON")] = False,
) -> None:
    """Train on the normal sessions of a log and write a bundle. Labels never set a threshold."""
    try:
        from training.train import Input, TrainSettings
        from training.train import train as fit
    except ModuleNotFoundError as error:
        raise ConfigError(f"training needs {error.name}: pip install 'tocsin[train]' (see README, Training)") from error
    loaded = Source.load(source)
    if name is not None:
        loaded = Source.from_dict({**loaded.to_dict(), "name": name})
    store = BundleStore(out, shipped=None)
    version = version or next_version(store.versions(loaded.name))
    store.free(loaded.name, version)
    truth = redacted_labels(loaded, read_labels(labels) if labels else None)
    given = Input(redacted(loaded, read_lines(logs)), digest(logs), truth, time.time())
    members = _names(detectors)
    others = tuple(name for name in _names(witnesses) if name not in members)
    settings = TrainSettings(train_share, budget, seed, members, others, _member_settings(set_ or []))
    console = Console(stderr=True)
    with progress(json) as shown:
        tasks: dict[str, int] = {}

        def fitting(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done)  # type: ignore[arg-type]

        bundle = fit(
            loaded,
            given,
            settings,
            version=version,
            tree_id=uuid4().hex,
            created=time.time(),
            say=lambda text: console.print(text, style="dim", markup=False) if not json else None,
            parsing=lines_of(shown, "lines"),
            fitting=fitting,
        )
    folder = store.save(loaded.name, bundle)
    if json:
        print_json({"bundle": folder, "manifest": bundle.manifest})
        return
    rates = bundle.manifest.metrics["held_out_false_alarm_rate"]
    console.print(f"wrote {folder}", markup=False)
    for member, rate in rates.items():
        console.print(f"  {member}: {rate:.2%} of held-out normal sessions ring", markup=False)


def _names(given: str) -> tuple[str, ...]:
    """Detectors of a comma-separated list, or all of them."""
    if given.strip() == "all":
        return DETECTORS
    return tuple(part.strip() for part in given.split(",") if part.strip())


def _member_settings(given: list[str]) -> dict[str, dict[str, object]]:
    """Settings by detector from ``DETECTOR.SETTING=VALUE``; values as YAML reads them."""
    settings: dict[str, dict[str, object]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        owner, dot, setting = name.partition(".")
        if not equals or not dot or not owner or not setting:
            raise ConfigError(f"--set {text!r}: write it as DETECTOR.SETTING=VALUE")
        try:
            settings.setdefault(owner, {})[setting] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text!r}: {value!r} cannot be read ({error})") from error
    return settings
