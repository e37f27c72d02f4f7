"""Smoke test of line and text detectors on BGL_2k, beside the trivial ones.

    python -m training.benchmarks.lines --json

Protocol: Loghub's 2,000 sampled lines of BGL in time order; a line is anomalous where its first field is no "-". The
earlier share (60 %) trains, the rest tests; thresholds come from the training part alone. The sample is sparse, holds
143 anomalies in bursts, and in the test part none whose text was seen before: the figures show that the parts work
together, and say little of BGL. ``CLDTLog`` judges each masked line by itself, as the service does, at the threshold
that held-out normals give; ``at 0.5`` is the paper's decision. ``--windows`` adds the paper's input, five lines of a
rack joined with stride two, cut after the split; its rows count windows, not lines.

Some five minutes on a busy core; ``--windows`` takes longer, as its texts are longer and hardly any two are equal.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from models.cldtlog.detector import CLDTLog
from models.errors import TocsinError
from models.graph import Graph
from models.record import Records
from models.sessions import Bool, Float64
from models.source.config import Source
from models.template.tree import TemplateTree
from training.bar import epoch_bar
from training.cldtlog import CLDTLogSettings, fit_lines
from training.cldtlog.fitted import ONNX, PAPER_THRESHOLD, STATE, TOKENIZER
from training.cldtlog.windows import line_windows
from training.corpus import split_log
from training.logs import read_lines
from training.member import FittedMember
from training.metrics import auc, confusion
from training.progress import Progress

TITLE = "BGL_2k, by line: a smoke test, not a benchmark"
SHARE = 0.6
"""Of the lines, the earlier ones, that train. BGL_2k has 97 of its 143 anomalies there."""
# Of a text detector that gave no judgement: it does not ring, and ranks below every other line.
_SILENT = -1e9

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """A log of n labelled lines in time order: ``records``, ``anomalous`` bool [n], and how many of the first train."""

    source: Source
    records: Records
    anomalous: Bool
    train: int

    @property
    def masked(self) -> list[str]:
        """Masked messages, n of them."""
        masked: list[str] = self.records.masked.to_list()
        return masked

    @property
    def actual(self) -> Bool:
        """Labels of the test part."""
        return self.anomalous[self.train :]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller chose: the seed, CLDTLog's settings, and where progress goes."""

    seed: int
    settings: CLDTLogSettings
    progress: Progress


def read(path: Path, share: float = SHARE) -> Lines:
    """BGL_2k as labelled lines. Raises DataError where it is missing."""
    source = Source.load("bgl")
    # Every line has its own time: when they arrive decides nothing.
    records = split_log(source, read_lines([path]), arrival=4e9)
    anomalous = (records.fields["label"] != "-").to_numpy()
    return Lines(source, records, anomalous, int(len(records) * share))


def all_positive(lines: Lines, _asked: Asked) -> list[Row]:
    """What ringing on every line scores."""
    return [_row("all positive", np.ones(len(lines.actual)), lines.actual, 1.0)]


def new_template(lines: Lines, _asked: Asked) -> list[Row]:
    """Rings on a line of a template that the training part's normal lines do not hold."""
    tree = TemplateTree(lines.source.drain, tree_id="lines")
    masked = lines.records.masked
    known = tree.assign(masked[: lines.train].filter(pl.Series(~lines.anomalous[: lines.train]))).ids
    new = ~np.isin(tree.assign(masked[lines.train :]).ids, known)
    return [_row("new template", new.astype(np.float64), lines.actual, 1.0)]


def cldtlog(lines: Lines, asked: Asked) -> list[Row]:
    """CLDTLog on single masked lines."""
    began = time.perf_counter()
    masked, train = lines.masked, lines.train
    fitted = fit_lines(masked[:train], lines.anomalous[:train], asked.settings, asked.seed, asked.progress)
    return _judged("CLDTLog", fitted, masked[train:], lines.actual, time.perf_counter() - began)


def cldtlog_windows(lines: Lines, asked: Asked) -> list[Row]:
    """CLDTLog on the paper's windows, cut apart at the split; an entity is a rack."""
    began = time.perf_counter()
    racks = [location.split("-")[0] for location in lines.records.fields["location"].to_list()]
    parts = [
        line_windows(lines.masked[part], racks[part], lines.anomalous[part])
        for part in (slice(0, lines.train), slice(lines.train, None))
    ]
    fitted = fit_lines(parts[0].texts, parts[0].anomalous, asked.settings, asked.seed, asked.progress)
    fit_s = time.perf_counter() - began
    return [
        _row("all windows positive", np.ones(len(parts[1].texts)), parts[1].anomalous, 1.0),
        *_judged("CLDTLog, 5/2 windows", fitted, parts[1].texts, parts[1].anomalous, fit_s),
    ]


ROWS: dict[str, Callable[[Lines, Asked], list[Row]]] = {
    "all_positive": all_positive,
    "new_template": new_template,
    "cldtlog": cldtlog,
}
"""Name -> what makes its rows. A new detector adds one line."""
OFFLINE: dict[str, Callable[[Lines, Asked], list[Row]]] = {"cldtlog_windows": cldtlog_windows}
"""Comparisons that nothing online corresponds to."""


def run(path: Path, names: Sequence[str], asked: Asked, share: float = SHARE) -> dict[str, Any]:
    """The whole table. Raises DataError where the data set is missing, ConfigError where the encoder is."""
    lines = read(path, share)
    makers = {**ROWS, **OFFLINE}
    return {
        "title": TITLE,
        "lines": len(lines.records),
        "train": lines.train,
        "train_anomalous": int(lines.anomalous[: lines.train].sum()),
        "test_anomalous": int(lines.actual.sum()),
        "seed": asked.seed,
        "encoder": asked.settings.encoder,
        "settings": asked.settings.to_dict(),
        "rows": [row for name in names for row in makers[name](lines, asked)],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON. Exit code 2 where the data set or the encoder is missing."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmarks.lines", description=__doc__)
    root = Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser()
    parser.add_argument("--data", type=Path, default=root / "loghub2k" / "BGL_2k.log", help="the log")
    parser.add_argument("--rows", nargs="*", choices=[*ROWS, *OFFLINE], default=list(ROWS))
    parser.add_argument("--windows", action="store_true", help="also the paper's windows of five lines")
    parser.add_argument("--encoder", default=CLDTLogSettings().encoder, help="packaged name, directory or hub name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    names = [*chosen.rows, *(name for name in OFFLINE if chosen.windows and name not in chosen.rows)]
    try:
        with epoch_bar(quiet=chosen.json) as progress:
            asked = Asked(chosen.seed, CLDTLogSettings(encoder=chosen.encoder), progress)
            result = run(chosen.data, names, asked)
    except TocsinError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(_table(result))
    return 0


def _judged(name: str, fitted: FittedMember, masked: Sequence[str], actual: Bool, fit_s: float) -> list[Row]:
    detector = CLDTLog.from_graph(Graph(fitted.files[ONNX], "cpu"), fitted.files[TOKENIZER], fitted.files[STATE])
    raw = np.nan_to_num(detector.score_texts(detector.prepare(masked)), nan=_SILENT)
    more = {"fit_s": round(fit_s, 1), "encoder": fitted.settings["encoder"]["name"]}
    return [
        {**_row(name, raw, actual, fitted.threshold), **more},
        {**_row(f"{name}, at 0.5", raw, actual, PAPER_THRESHOLD), **more},
    ]


def _row(name: str, raw: Float64, actual: Bool, threshold: float) -> Row:
    found = confusion(raw >= threshold, actual)
    return {
        "detector": name,
        "tp": found.tp,
        "fp": found.fp,
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
        "mcc": found.mcc,
        "auc": auc(raw, actual),
        "fpr": found.fpr,
    }


def _table(result: dict[str, Any]) -> Table:
    about = f"{result['train']} lines train ({result['train_anomalous']} anomalous), {result['test_anomalous']} of "
    about += f"{result['lines'] - result['train']} test lines are anomalous; encoder {result['encoder']}"
    table = Table(title=result["title"], caption=about)
    for name in ("detector", "TP", "FP", "P", "R", "F1", "MCC", "AUC", "FPR", "fit s"):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for row in result["rows"]:
        table.add_row(
            row["detector"],
            str(row["tp"]),
            str(row["fp"]),
            *(f"{row[name]:.3f}" for name in ("precision", "recall", "f1", "mcc", "auc", "fpr")),
            f"{row['fit_s']:.0f}" if "fit_s" in row else "",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
