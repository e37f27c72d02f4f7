"""Every detector that reads keys, on published sets of key sequences, over several seeds, beside the trivial ones.

    python -m training.benchmarks.keys --set hdfs_keys --seeds 5 --jobs 2

Protocol: detectors are fitted on the normal training sessions alone (HDFS 4,855, Hadoop 17), every threshold is chosen
on held-out normals among these, and the labelled sessions (HDFS 6,000 normal and 6,000 anomalous; Hadoop 150 and 811)
are judged as the exported graphs judge them. Labels are read after all is chosen. Short sessions are judged like all
others; duplicates, also of training sessions, stay in, as in the published figures. The ensemble is the default one
(new event, length, count vector and DeepLog) under the rate of false alarms that every row is held to, 0.2 % of the
held-out normals, and once more under the default alert budget. P* and F1* are at the prevalence of the whole HDFS set.
Neither set has template texts, so LogAnomaly reads ids and counts. On Hadoop to flag everything has F1 .915, and 17
sessions are too few for any network and too few to hold any out.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from models.baselines.count_vector import count_keys
from models.baselines.ngram import Ngram
from models.ensemble import BUDGET, Ensemble
from models.errors import DataError
from models.registry import DEFAULT, DETECTORS, ENSEMBLE, load_judge
from models.sessions import Bool, Float64, Int64
from training.classical import CLASSICAL, fit_classical
from training.classical.robustlog import RobustLog
from training.fitters import FITTERS, fit_members
from training.keysets import KeySet, read_hadoop, read_labelled, read_sessions
from training.member import FALSE_ALARM_RATE, Corpus, folds
from training.metrics import auc, confusion
from training.scoring import session_raws
from training.simple import SIMPLE
from training.windows import distinct

PREVALENCE = 16_838 / 570_204
"""Anomalous sessions among those that logdeep's HDFS test sets hold."""
ABOVE_ZERO = float(np.nextafter(0.0, 1.0))
FIGURES = {
    "precision": "P", "recall": "R", "f1": "F1", "fpr": "FPR", "mcc": "MCC", "auc": "AUC",
    "precision_star": "P*", "f1_star": "F1*",
}  # fmt: skip
"""Figure -> head of its column."""

ENSEMBLES = {FALSE_ALARM_RATE: "ensemble", BUDGET: f"ensemble, budget {BUDGET:.0%}"}
"""Alert budget -> row: the rate that every other row is held to, and the default of `tocsin train`."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """``train``: normal sessions, each int64 [length]; ``prevalence``: share of anomalous sessions in the set that
    ``test`` is drawn from, None where it is the set itself."""

    train: Sequence[Int64]
    test: KeySet
    prevalence: float | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """Of detectors fitted together by one ``seed``: by name, held-out raw outputs of the training sessions float64
    [train], raw outputs of the test sessions float64 [test], the raw output from which on it rings alone, and losses by
    epoch; seconds that fitting took and microseconds that scoring an event took."""

    seed: int
    heldout: dict[str, Float64]
    raws: dict[str, Float64]
    thresholds: dict[str, float]
    curves: dict[str, dict[str, list[float]]]
    fit_s: float
    score_us: float


def _hdfs(root: Path) -> Problem:
    folder = root / "hdfs_keys"
    return Problem(read_sessions(folder / "train_normal.txt"), read_labelled(folder / "labelled.csv"), PREVALENCE)


def _hadoop(root: Path) -> Problem:
    train, test = read_hadoop(root / "hadoop")
    return Problem(train.sessions, test, None)


PROBLEMS: dict[str, Callable[[Path], Problem]] = {"hdfs_keys": _hdfs, "hadoop": _hadoop}

SLOW = frozenset({"loganomaly", "logbert", "loglstm"})
"""Detectors whose fit takes minutes: they may be given fewer seeds."""

READS_LINES = frozenset({"cldtlog", "keyvalue", "deeplog_values", "timing", "autolog", "rate"})
"""Detectors that need more of a session than its keys."""


def outputs_of(problem: Problem, names: tuple[str, ...], seed: int) -> Outputs:
    """Fit the detectors ``names`` together and judge the test sessions. Raises DataError where one cannot learn."""
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    members = fit_members(names, Corpus.of_keys(problem.train), {}, seed)
    fitted = time.perf_counter()
    # The judge takes from new events which templates are known; the ensemble plays no part here.
    (new_event,) = fit_members(("new_event",), Corpus.of_keys(problem.train), {}, seed)
    everyone = {member.name: member for member in (new_event, *members)}
    files = {name: content for member in everyone.values() for name, content in member.files.items()}
    files[ENSEMBLE] = orjson.dumps(Ensemble.fit({"new_event": np.zeros(100)}).to_dict())
    judge = load_judge({name: member.settings for name, member in everyone.items()}, files, "cpu", 1, str)
    loaded = time.perf_counter()
    raws = session_raws(judge, problem.test.sessions)
    events = sum(len(session) for session in problem.test.sessions)
    return Outputs(
        seed,
        {member.name: member.raws for member in members},
        {member.name: raws[member.name] for member in members},
        {member.name: member.threshold for member in members},
        {member.name: member.curves for member in members},
        fitted - began,
        1e6 * (time.perf_counter() - loaded) / events,
    )


def trivial_rows(problem: Problem) -> list[Row]:
    """To flag everything, and the simple detectors at the threshold that nobody had to choose."""
    sessions = problem.test.sessions
    fitted = {name: SIMPLE[name].fit(problem.train, 0) for name in ("new_event", "length", "count_vector", "ngram")}
    raws = {f"{name} > 0": SIMPLE[name].raws(member, sessions) for name, member in fitted.items()}
    raws["new_event or length > 0"] = np.maximum(raws["new_event > 0"], raws["length > 0"])
    raws["3-gram > 0"] = Ngram.fit(problem.train, 3).score_sequences(sessions)
    rows = [row_of("all positive", np.ones(len(sessions)), 1.0, problem)]
    return rows + [row_of(name, raw, ABOVE_ZERO, problem) for name, raw in raws.items()]


def classical_rows(problem: Problem, seed: int) -> list[Row]:
    """The classical detectors, at the threshold from held-out normals and at the published one."""
    train = [count_keys(session) for session in problem.train]
    test = [count_keys(session) for session in problem.test.sessions]
    rows = []
    for name in CLASSICAL:
        began = time.perf_counter()
        member = fit_classical(name, train, seed)
        raw = member.detector.score(test)
        row = row_of(name, raw, member.threshold, problem)
        rows.append({**row, "fit_s": time.perf_counter() - began})
        if np.isfinite(member.detector.published):
            rows.append(row_of(f"{name}, as published", raw, member.detector.published, problem))
    return rows


def supervised_row(problem: Problem, seed: int) -> Row:
    """RobustLog, which learns from labels: cross-fitted on halves of the distinct test sessions, no session in both. It
    compares with no other row."""
    began = time.perf_counter()
    sessions, anomalous = problem.test.sessions, problem.test.anomalous
    once = distinct(sessions)
    raw = np.empty(len(sessions), dtype=np.float64)
    threshold = np.nan
    for fit, test in folds(len(once.sessions), 2, seed):
        known = np.isin(once.index, fit)
        normal = [sessions[i] for i in np.flatnonzero(known & ~anomalous).tolist()]
        ill = [sessions[i] for i in np.flatnonzero(known & anomalous).tolist()]
        member = RobustLog.fit(normal, ill, seed)
        threshold = member.published
        judged = np.flatnonzero(np.isin(once.index, test))
        raw[judged] = member.score([sessions[i] for i in judged.tolist()])
    row = row_of("robustlog, with labels", raw, threshold, problem)
    return {**row, "fit_s": time.perf_counter() - began}


def row_of(name: str, raw: Float64, threshold: float, problem: Problem) -> Row:
    """Figures of raw outputs float64 [n] by a threshold."""
    finite = np.nan_to_num(raw)
    return _figures(name, finite >= threshold, finite, problem)


def ensemble_row(parts: Sequence[Outputs], problem: Problem, budget: float) -> tuple[Row, Float64]:
    """The default ensemble of detectors fitted by the same seed, and its evidence float64 [test]."""
    heldout = {name: raw for part in parts for name, raw in part.heldout.items() if name in DEFAULT}
    raws = {name: raw for part in parts for name, raw in part.raws.items() if name in DEFAULT}
    ensemble = Ensemble.fit(heldout, budget)
    evidence = ensemble.evidence(raws)
    return _figures(ENSEMBLES[budget], evidence >= ensemble.threshold, evidence, problem), evidence


def run(
    problem: Problem,
    names: Sequence[str],
    seeds: int,
    slow_seeds: int,
    jobs: int,
    report: Callable[[int, int], None],
) -> tuple[dict[str, Any], dict[str, Float64], dict[str, dict[str, list[float]]]]:
    """All rows as JSON; scores of the test sessions by detector for the first seed; its training curves."""
    groups = [tuple(name for name in fitter.names if name in names) for fitter in FITTERS]
    repeated = [group for group in groups if group and group[0] not in SIMPLE]
    once = tuple(name for name in names if name in SIMPLE)
    tasks = [(once, 0)]
    tasks += [(group, seed) for seed in range(seeds) for group in repeated if seed < slow_seeds or group[0] not in SLOW]
    found: list[tuple[tuple[str, ...], Outputs]] = []
    skipped: dict[str, str] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = {pool.submit(outputs_of, problem, group, seed): group for group, seed in tasks if group}
        for done, future in enumerate(as_completed(futures)):
            try:
                found.append((futures[future], future.result()))
            except DataError as error:
                skipped[", ".join(futures[future])] = str(error)
            report(done + 1, len(futures))
    by_seed = {seed: [part for _, part in found if part.seed == seed] for seed in range(seeds)}
    simple = [part for group, part in found if group == once]
    rows = trivial_rows(problem)
    for name in names:
        rows += [
            {**row_of(name, part.raws[name], part.thresholds[name], problem), "seed": part.seed,
             "threshold": part.thresholds[name], "fit_s": part.fit_s, "us_per_event": part.score_us}
            for part in sorted((part for _, part in found if name in part.raws), key=lambda part: part.seed)
        ]  # fmt: skip
    scores = {name: part.raws[name] for part in (*by_seed.get(0, ()), *simple) for name in part.raws}
    if set(DEFAULT) <= set(names) and not skipped.keys() & set(DEFAULT):
        for seed, parts in by_seed.items():
            for budget in ENSEMBLES:
                row, evidence = ensemble_row([*parts, *simple], problem, budget)
                rows.append({**row, "seed": seed})
                scores.setdefault("ensemble", evidence)
    rows += classical_rows(problem, 0)
    curves = {name: curve for part in by_seed.get(0, ()) for name, curve in part.curves.items() if curve}
    result = {
        "train_sessions": len(problem.train),
        "test_anomalous": int(problem.test.anomalous.sum()),
        "test_normal": int((~problem.test.anomalous).sum()),
        "prevalence": problem.prevalence,
        "seeds": seeds,
        "slow_seeds": slow_seeds,
        "rows": rows,
        "means": means(rows),
        "skipped": skipped,
    }
    return result, scores, curves


def means(rows: Sequence[Row]) -> list[Row]:
    """Mean over the seeds of each detector that has several, with the smallest and largest of its main figure."""
    found = []
    for name in dict.fromkeys(row["detector"] for row in rows):
        own = [row for row in rows if row["detector"] == name]
        if len(own) > 1:
            main = "f1_star" if "f1_star" in own[0] else "f1"
            mean = {figure: float(np.mean([row[figure] for row in own])) for figure in FIGURES if figure in own[0]}
            values = [row[main] for row in own]
            found.append({"detector": name, "seeds": len(own), **mean, "least": min(values), "most": max(values)})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON. Exit code 2 where the data set is missing or a detector is not known."""
    parser = argparse.ArgumentParser(
        prog="python -m training.benchmarks.keys", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    root = Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser()
    parser.add_argument("--data", type=Path, default=root, help="the folder of data sets")
    parser.add_argument("--set", choices=tuple(PROBLEMS), default="hdfs_keys")
    parser.add_argument("--detectors", help="comma-separated; all that read keys if absent")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--slow-seeds", type=int, default=5, help=f"of {', '.join(sorted(SLOW))}, which take minutes")
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time; no more than free cores")
    parser.add_argument("--supervised", action="store_true", help="RobustLog too, which learns from labels")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    every = tuple(name for name in DETECTORS if name not in READS_LINES)
    names = tuple(chosen.detectors.split(",")) if chosen.detectors else every
    console = Console(stderr=True)
    unknown = sorted(set(names) - set(every))
    if unknown:
        console.print(f"no detector {unknown[0]!r} reads keys; there are {', '.join(every)}", markup=False)
        return 2
    try:
        problem = PROBLEMS[chosen.set](chosen.data)
    except DataError as error:
        console.print(str(error), markup=False)
        return 2
    with Bar(console=console, disable=chosen.json) as bar:
        task = bar.add_task("fits", total=None)
        result, _, _ = run(
            problem,
            names,
            chosen.seeds,
            chosen.slow_seeds,
            chosen.jobs,
            lambda d, t: bar.update(task, completed=d, total=t),
        )
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        Console(width=max(150, Console().width)).print(_table(chosen.set, result))
    return 0


def _figures(name: str, alarms: Bool, scores: Float64, problem: Problem) -> Row:
    actual = problem.test.anomalous
    c = confusion(alarms, actual)
    row: Row = {
        "detector": name, "tp": c.tp, "fp": c.fp, "fn": c.fn, "tn": c.tn, "precision": c.precision, "recall": c.recall,
        "f1": c.f1, "fpr": c.fpr, "mcc": c.mcc, "auc": auc(scores, actual),
    }  # fmt: skip
    if problem.prevalence is not None:
        row["precision_star"] = c.precision_at(problem.prevalence)
        row["f1_star"] = c.f1_at(problem.prevalence)
    return row


def _table(name: str, result: dict[str, Any]) -> Table:
    table = Table(
        title=f"{name}: {result['train_sessions']} sessions to train on, {result['test_anomalous']} anomalous and "
        f"{result['test_normal']} normal to judge"
    )
    figures = [figure for figure in FIGURES if figure in result["rows"][0]]
    table.add_column("detector", no_wrap=True)
    for head in ("seed", "TP", "FP", *(FIGURES[figure] for figure in figures), "fit s", "us/event"):
        table.add_column(head, justify="right")
    for row in [*result["rows"], *({**row, "seed": "mean"} for row in result["means"])]:
        table.add_row(
            row["detector"], str(row.get("seed", "")), *(f"{row[c]:,}" if c in row else "" for c in ("tp", "fp")),
            *(f"{row[figure]:.4f}" for figure in figures),
            *(f"{row[c]:.1f}" if c in row else "" for c in ("fit_s", "us_per_event")),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
