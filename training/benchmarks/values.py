"""The parameter-value model on planted faults, beside a z-score and the last value.

    python -m training.benchmarks.values --json

Two materials, each split by time. *Series*: made-up sessions of three templates whose numbers follow autoregressive
series (one of them in logarithms), with a tenth of the numbers missing. *Sample*: the recorded PostgreSQL log; the
detectors are fitted on its normal sessions up to ``--train-share``, faults are planted in normal sessions after it.

Protocol: a fault adds s standard deviations (of that number in the training sessions, in original units) to what was
logged. ``spike``, ``duration``, ``number`` and ``elapsed`` change one number of one line; ``any number`` draws from all
numbers that are predicted. ``any number, own scale`` does the same with deviations of the scale on which the detector
takes the number: the logarithm, where it is never below zero and has a long tail. The sizes are exactly 3, 4 and 6. Of
``any number, 3 to 30 sigma`` each fault draws its own, on a logarithm, so that there are as many between 3 and 6 as
between 6 and 12; training chooses limits by such faults, planted in lines of its own. ``drift`` raises one number over
five lines in a row, s reached at the last; ``drift, held`` stays there for five more. A drift is caught where one of
its lines is; ``each line`` is the share of its lines. ``constant`` changes a number that training saw with one value
only. The threshold is that which 1 % of the unchanged lines reach: ``recall`` is the share of faults that reach it too.
``own_fpr``: unchanged lines at a raw output of 1, which is where training puts 1 %. ``limits, best possible`` is no
detector: it is the most that a fixed upper limit for each number could catch, chosen on these very lines and faults,
anew for each size.

A minute on one core.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import torch
from rich.console import Console
from rich.table import Table

from models.deeplog_values.detector import DeepLogValues
from models.graph import Graph
from training.benchmarks.value_faults import ANY, DRAWN, OWN, RATE, bound, plants
from training.benchmarks.value_material import Material, sample, series, vectors
from training.benchmarks.value_rivals import Scorer, last_value, moments, z_score
from training.deeplog_values import DeepLogValuesSettings, fit_deeplog_values
from training.member import FittedMember

BOUND = "limits, best possible"

Row = dict[str, Any]


def figures(material: Material, seed: int) -> list[Row]:
    """Recall of every detector by kind and size of fault."""
    settings = DeepLogValuesSettings()
    fitted = fit_deeplog_values(material.corpus, settings, seed)
    ours = _detector(fitted, "quantile")
    fitted_on = vectors(ours, material.corpus.sessions, material)
    judged = vectors(ours, material.later, material)
    mean, std = moments(ours, fitted_on)
    scorers: dict[str, Scorer] = {
        "LSTM, quantile": ours.score_values,
        "LSTM, paper's interval": _detector(fitted, "gaussian").score_values,
        "z-score": z_score(ours, mean, std),
        "last value": last_value(ours, fitted_on, mean, std),
    }
    random = np.random.default_rng(seed)
    everything = np.arange(len(judged.at))
    history, values = judged.history(everything, ours.window), judged.values[judged.at]
    planted = plants(material, ours, judged, std, random)
    rows: list[Row] = []
    for name, score in scorers.items():
        raw = score(judged.key, history, values)
        threshold = float(np.nanquantile(raw, 1.0 - RATE, method="higher"))
        threshold = float(np.nextafter(threshold, np.inf))
        for fault in planted:
            kind, sigma = fault.kind, fault.sigma
            reached = [score(judged.key[step.event], step.history, step.values) >= threshold for step in fault.steps]
            caught = np.logical_or.reduce(reached)
            row = {"material": material.name, "detector": name, "fault": kind, "sigma": sigma, "faults": len(caught)}
            row |= {"recall": float(caught.mean()), "fpr": float((raw >= threshold).mean())}
            row |= {"own_fpr": float((raw >= 1.0).mean())} if name.startswith("LSTM") else {}
            rows.append(row)
            if len(reached) > 1:
                rows.append({**row, "fault": f"{kind}, each line", "recall": float(np.mean(reached))})
    for fault in planted:
        if fault.kind in (ANY, DRAWN, OWN):
            row = {"material": material.name, "detector": BOUND, "fault": fault.kind, "sigma": fault.sigma}
            rows.append({**row, "faults": len(fault.column), "recall": bound(judged, fault), "fpr": RATE})
    return rows


def run(train_share: float, seed: int) -> dict[str, Any]:
    """The whole table."""
    materials = [series(seed), sample(train_share)]
    rows = [row for material in materials for row in figures(material, seed)]
    return {"rate": RATE, "settings": DeepLogValuesSettings().to_dict(), "seed": seed, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmarks.values", description=__doc__)
    parser.add_argument("--train-share", type=float, default=0.6, help="of the recorded sample's sessions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    result = run(chosen.train_share, chosen.seed)
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        Console().print(_table(result["rows"]))
    return 0


def _detector(fitted: FittedMember, rule: str) -> DeepLogValues:
    """The same training under another rule."""
    state = {**orjson.loads(fitted.files[f"{fitted.name}.json"]), "rule": rule}
    return DeepLogValues.from_dict(state, Graph(fitted.files[f"{fitted.name}.onnx"], "cpu"))


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title=f"Recall of planted faults at {RATE:.0%} false positives of lines")
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    for name in ("material", "fault", "sigma", "faults", *detectors):
        table.add_column(name, justify="left" if name in ("material", "fault") else "right")
    cases = list(dict.fromkeys((row["material"], row["fault"], row["sigma"], row["faults"]) for row in rows))
    for case in cases:
        by = {row["detector"]: row["recall"] for row in rows if _case(row) == case}
        material, fault, sigma, faults = case
        table.add_row(
            material,
            fault,
            "" if sigma is None else f"{sigma:g}",
            str(faults),
            *(f"{by[d]:.3f}" if d in by else "" for d in detectors),
        )
    for material in dict.fromkeys(row["material"] for row in rows):
        own = {row["detector"]: row.get("own_fpr") for row in rows if row["material"] == material}
        shown = ["" if own[d] is None else f"{own[d]:.4f}" for d in detectors]
        table.add_row(material, "false positives at raw 1", "", "", *shown)
    return table


def _case(row: Row) -> tuple[Any, ...]:
    return row["material"], row["fault"], row["sigma"], row["faults"]


if __name__ == "__main__":
    sys.exit(main())
