"""DeepLog on HDFS log keys, over several seeds, beside the trivial and simple detectors.

    python -m training.benchmarks.hdfs_keys --seeds 5 --json

Protocol: fitted on the 4,855 normal sessions of ``train_normal.txt`` with w and g chosen by cross-fitting on these
alone; judged on the 6,000 normal and 6,000 anomalous sessions of ``labelled.csv``. A session is anomalous iff one
of its events or its end has a rank of g or more. Short sessions are judged like all others; duplicates, also of
training sessions, stay in, as in the published figures. P* and F1* are at the prevalence of the whole HDFS set.
Labels are read only after the choice. Every row ``g`` other than the chosen one is for information.

A minute to two a seed on one core.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.errors import DataError
from models.sessions import Float64, Int64
from training.deeplog import DeepLogSettings, fit_deeplog
from training.deeplog.bar import epoch_bar
from training.deeplog.raws import session_raws
from training.keysets import KeySet, read_labelled, read_sessions
from training.metrics import auc, confusion

PREVALENCE = 16_838 / 570_204
"""Anomalous sessions among those that logdeep's HDFS test sets hold."""
SHOWN = range(4, 11)
"""Values of g that the table shows beside the chosen one."""

Row = dict[str, Any]


def baselines(train: Sequence[Int64], test: KeySet) -> list[Row]:
    """Rows of the detectors that every figure must be compared with."""
    counts = [count_keys(session) for session in test.sessions]
    known = NewEvent.fit(train)
    nothing = np.empty((0, 0), dtype=np.int64)
    new = np.array([known.score(nothing, session).max() for session in test.sessions], dtype=np.float64)
    length = Length.fit(train).score_counts(counts)
    return [
        {"detector": "all positive", **_figures(np.ones(len(new)), test, 1.0)},
        {"detector": "new event", **_figures(new, test, 1.0)},
        {"detector": "new event or length", **_figures(np.maximum(new, length > 0), test, 1.0)},
        {"detector": "count vector > 0", **_figures(CountVector.fit(train).score_counts(counts), test, 1e-12)},
    ]


def one_seed(
    train: Sequence[Int64],
    test: KeySet,
    settings: DeepLogSettings,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> Row:
    """Fit with ``seed`` and judge the labelled sessions as the exported graph judges them."""
    began = time.perf_counter()
    fitted = fit_deeplog(train, settings, seed, progress)
    fit_s = time.perf_counter() - began
    raw = session_raws(fitted.detector(), test.sessions).session
    return {
        "detector": f"DeepLog, seed {seed}",
        "seed": seed,
        "w": fitted.w,
        "g": fitted.g,
        "fit_s": round(fit_s, 1),
        "epochs": len(fitted.curve),
        **_figures(raw, test, fitted.g),
        "f1_star_by_g": {g: _figures(raw, test, g)["f1_star"] for g in SHOWN},
        "trials": [
            {
                "w": trial.w,
                "g": trial.g,
                "heldout_fpr": trial.rates[trial.levels.index(trial.g)],
                "early_end": trial.early_end,
            }
            for trial in fitted.trials
        ],
    }


def run(folder: Path, seeds: int, settings: DeepLogSettings, quiet: bool) -> dict[str, Any]:
    """The whole table. Raises DataError where the data set is missing."""
    train = read_sessions(folder / "train_normal.txt")
    test = read_labelled(folder / "labelled.csv")
    rows = []
    for seed in range(seeds):
        with epoch_bar(quiet) as progress:
            rows.append(one_seed(train, test, settings, seed, progress))
    mean = {
        name: float(np.mean([row[name] for row in rows])) for name in ("precision_star", "recall", "fpr", "f1_star")
    }
    return {
        "train_sessions": len(train),
        "test_anomalous": int(test.anomalous.sum()),
        "test_normal": int((~test.anomalous).sum()),
        "prevalence": PREVALENCE,
        "settings": settings.to_dict(),
        "baselines": baselines(train, test),
        "seeds": rows,
        "mean": mean,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON. Exit code 2 where the data set is missing."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmarks.hdfs_keys", description=__doc__)
    root = os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")
    parser.add_argument(
        "--data", type=Path, default=Path(root).expanduser() / "hdfs_keys", help="the data set's folder"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; more than the free cores slows it down")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    try:
        result = run(chosen.data, chosen.seeds, DeepLogSettings(), quiet=chosen.json)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(_table(result))
    return 0


def _figures(raw: Float64, test: KeySet, threshold: float) -> Row:
    found = confusion(raw >= threshold, test.anomalous)
    return {
        "tp": found.tp,
        "fp": found.fp,
        "precision_star": found.precision_at(PREVALENCE),
        "recall": found.recall,
        "fpr": found.fpr,
        "f1_star": found.f1_at(PREVALENCE),
        "mcc": found.mcc,
        "auc": auc(raw, test.anomalous),
    }


def _table(result: dict[str, Any]) -> Table:
    table = Table(title="HDFS log keys, at a prevalence of 2.95 %")
    for name in ("detector", "w", "g", "P*", "R", "FPR", "F1*", "MCC", "AUC", *(f"g={g}" for g in SHOWN), "fit s"):
        table.add_column(name, justify="left" if name == "detector" else "right")
    for row in [*result["baselines"], *result["seeds"]]:
        table.add_row(
            row["detector"],
            *(f"{row[name]:g}" if name in row else "" for name in ("w", "g")),
            *(f"{row[name]:.4f}" for name in ("precision_star", "recall", "fpr", "f1_star", "mcc", "auc")),
            *(f"{value:.3f}" for value in row.get("f1_star_by_g", dict.fromkeys(SHOWN, float("nan"))).values()),
            f"{row['fit_s']:.0f}" if "fit_s" in row else "",
        )
    mean = result["mean"]
    table.add_row("DeepLog, mean", "", "", *(f"{mean[n]:.4f}" for n in ("precision_star", "recall", "fpr", "f1_star")))
    return table


if __name__ == "__main__":
    sys.exit(main())
