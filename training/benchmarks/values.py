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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

import training.sample
from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.layout import ELAPSED, Position, transformed
from models.graph import Graph
from models.parser import Parser
from models.record import Records
from models.sessions import Bool, Float64, Int64
from models.source.config import DrainSettings, Source
from models.template.tree import TemplateTree
from training.corpus import CutSession, cut_sessions, split_log
from training.deeplog_values import DeepLogValuesSettings, fit_deeplog_values
from training.deeplog_values.occurrences import Occurrences, histories, occurrences, parameters
from training.deeplog_values.planted import SPAN
from training.logs import read_labels, read_lines
from training.member import Corpus, FittedMember
from training.train import Input, prepare

SIGMAS = (3.0, 4.0, 6.0)
RATE = 0.01
PLANTS = 2_000
"""Faults of each kind and size, at most."""
ANY = "any number"
OWN = "any number, own scale"
DRAWN = "any number, 3 to 30 sigma"
BOUND = "limits, best possible"
RAMP = 5
"""Lines in which a drift grows."""
DRIFTS = {"drift": RAMP, "drift, held": 2 * RAMP}
"""Lines of a drift that is seen while it grows, and of one that then stays."""
ARRIVAL = 2e9
"""When the sample is read: after it was recorded."""

Row = dict[str, Any]
Scorer = Callable[[Int64, Float64, Float64], Float64]
"""Raw outputs of keys, histories and values, as ``ValueDetector.score_values``."""


@dataclass(frozen=True, slots=True)
class Material:
    """Sessions to fit on and to judge; ``kinds`` tells what a position of a template is called in the table."""

    name: str
    corpus: Corpus
    later: Sequence[CutSession]
    kinds: Callable[[int, Position], str]


@dataclass(frozen=True, slots=True)
class Vectors:
    """Events whose template has a model: ``key``, and their place ``at`` among the ``occurrences``, int64 [m]; all
    ``values`` float64 [n, width]."""

    occurrences: Occurrences
    values: Float64
    at: Int64

    @property
    def key(self) -> Int64:
        return self.occurrences.key[self.at]

    def history(self, chosen: Int64, h: int) -> Float64:
        return histories(self.occurrences, self.values, self.at[chosen], h)


def series(seed: int, sessions: int = 600) -> Material:
    """Made-up sessions, three quarters of them to fit on."""
    random = np.random.default_rng(seed)
    messages: list[str] = []
    cuts: list[CutSession] = []
    names = ("queue length", "page took", "cache")
    now = 1e9
    for number in range(sessions):
        length = int(random.integers(6, 30))
        made = _lines(random, length)
        order = random.permutation(np.repeat(np.arange(len(names)), length))
        taken = [0] * len(names)
        first = len(messages)
        for template in order.tolist():
            messages.append(f"{names[template]} {made[template][taken[template]]}")
            taken[template] += 1
        times = now + np.cumsum(random.normal(0.5, 0.05, len(order)))
        now = float(times[-1])
        rows = np.arange(first, len(messages))
        cuts.append(CutSession(str(number), order + 1, float(times[0]), now, times, rows))
    tree = TemplateTree(DrainSettings(), "series")
    column = pl.Series(messages, dtype=pl.String)
    ids = tree.assign(column.str.replace_all(r"-?[0-9]+(?:\.[0-9]+)?", "<NUM>")).ids
    cuts = [replace(cut, keys=ids[cut.records]) for cut in cuts]
    records = _records(column)
    split = sessions * 3 // 4
    return Material(
        "series",
        Corpus(cuts[:split], records=records, tree=tree),
        cuts[split:],
        lambda _key, position: "" if position.mask == ELAPSED else "spike",
    )


def sample(train_share: float) -> Material:
    """The recorded PostgreSQL log."""
    folder = Path(training.sample.__file__).parent
    source = Source.load("postgres")
    lines = read_lines([folder / "postgres.log.gz"])
    labels = read_labels(folder / "labels.csv")
    material = prepare(source, Input(lines, {}, labels, ARRIVAL), train_share, "sample")
    records = split_log(source, lines, ARRIVAL)
    events = Parser(source, material.tree).events(records, material.tree.match(records.masked))
    test = set(material.split.test)
    later = [
        session
        for session in cut_sessions(events, material.idle_s, source.lateness_s)
        if session.session in test and not labels.anomalous.get(session.session, False)
    ]
    tree = material.tree

    def kind(key: int, position: Position) -> str:
        if position.mask == ELAPSED:
            return "elapsed"
        tokens = tree.template(key).tokens
        after = tokens[position.token + 1] if position.token + 1 < len(tokens) else ""
        return "duration" if position.mask == "TIME" or after.strip(",;") in ("ms", "s") else "number"

    return Material("sample", Corpus(material.sessions, records=records, tree=tree), later, kind)


def figures(material: Material, seed: int) -> list[Row]:
    """Recall of every detector by kind and size of fault."""
    settings = DeepLogValuesSettings()
    fitted = fit_deeplog_values(material.corpus, settings, seed)
    ours = _detector(fitted, "quantile")
    fitted_on = _vectors(ours, material.corpus.sessions, material)
    judged = _vectors(ours, material.later, material)
    mean, std = _moments(ours, fitted_on)
    scorers: dict[str, Scorer] = {
        "LSTM, quantile": ours.score_values,
        "LSTM, paper's interval": _detector(fitted, "gaussian").score_values,
        "z-score": _z_score(ours, mean, std),
        "last value": _last_value(ours, fitted_on, mean, std),
    }
    random = np.random.default_rng(seed)
    everything = np.arange(len(judged.at))
    history, values = judged.history(everything, ours.window), judged.values[judged.at]
    plants = _plants(material, ours, judged, std, random)
    rows: list[Row] = []
    for name, score in scorers.items():
        raw = score(judged.key, history, values)
        threshold = float(np.nanquantile(raw, 1.0 - RATE, method="higher"))
        threshold = float(np.nextafter(threshold, np.inf))
        for fault in plants:
            kind, sigma = fault.kind, fault.sigma
            reached = [score(judged.key[step.event], step.history, step.values) >= threshold for step in fault.steps]
            caught = np.logical_or.reduce(reached)
            row = {"material": material.name, "detector": name, "fault": kind, "sigma": sigma, "faults": len(caught)}
            row |= {"recall": float(caught.mean()), "fpr": float((raw >= threshold).mean())}
            row |= {"own_fpr": float((raw >= 1.0).mean())} if name.startswith("LSTM") else {}
            rows.append(row)
            if len(reached) > 1:
                rows.append({**row, "fault": f"{kind}, each line", "recall": float(np.mean(reached))})
    for fault in plants:
        if fault.kind in (ANY, DRAWN, OWN):
            row = {"material": material.name, "detector": BOUND, "fault": fault.kind, "sigma": fault.sigma}
            rows.append({**row, "faults": len(fault.column), "recall": _bound(judged, fault), "fpr": RATE})
    return rows


@dataclass(frozen=True, slots=True)
class Step:
    """One line of each of c faults: ``event`` int64 [c], which of the judged; ``values`` float64 [c, width] as the
    fault has them, ``history`` float64 [c, h, width] as it is by then."""

    event: Int64
    values: Float64
    history: Float64


@dataclass(frozen=True, slots=True)
class Fault:
    """c faults of a kind and size; ``column`` int64 [c]: which cell is raised; ``steps``: their lines."""

    kind: str
    sigma: float | None
    column: Int64
    steps: list[Step]


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


def _lines(random: np.random.Generator, length: int) -> list[list[str]]:
    """Numbers of ``length`` lines of three templates, as text; a tenth of them missing."""
    scales = (
        [(40.0, 10.0)],
        [(500.0, 100.0), (5.0, 0.5), (0.2, 0.01), (9e3, 1e3), (80.0, 5.0)],
        [(1e6, 1e4), (3.0, 0.4)],
    )
    memories = ([0.9], [0.8, 0.9, -0.9, 0.95, 0.9], [0.95, 0.9])
    tables = [
        [mean + spread * _autoregressive(random, length, m) for (mean, spread), m in zip(own, memory, strict=True)]
        for own, memory in zip(scales, memories, strict=True)
    ]
    tables[2][1] = np.exp(tables[2][1])
    return [_lines_of(random, columns) for columns in tables]


def _lines_of(random: np.random.Generator, columns: Sequence[Float64]) -> list[str]:
    missing = random.random((len(columns), len(columns[0]))) < 0.1
    return [
        " ".join(
            f"{'abcde'[number]} {'-' if missing[number, line] else format(column[line], '.4f')}"
            for number, column in enumerate(columns)
        )
        for line in range(len(columns[0]))
    ]


def _autoregressive(random: np.random.Generator, length: int, memory: float) -> Float64:
    """A stationary series of unit variance, each value ``memory`` times the one before plus noise."""
    noise = random.normal(size=length)
    found = np.empty(length)
    found[0] = noise[0]
    for at in range(1, length):
        found[at] = memory * found[at - 1] + np.sqrt(1.0 - memory**2) * noise[at]
    return found


def _records(messages: pl.Series) -> Records:
    number = len(messages)
    nothing = pl.Series([""] * number, dtype=pl.String)
    at = np.arange(number)
    return Records(at, messages, messages, np.zeros(number), pl.DataFrame(), at, nothing, [])


def _detector(fitted: FittedMember, rule: str) -> DeepLogValues:
    """The same training under another rule."""
    state = {**orjson.loads(fitted.files[f"{fitted.name}.json"]), "rule": rule}
    return DeepLogValues.from_dict(state, Graph(fitted.files[f"{fitted.name}.onnx"], "cpu"))


def _vectors(detector: DeepLogValues, sessions: Sequence[CutSession], material: Material) -> Vectors:
    """What the service would store of ``sessions``: read by the detector's own layout."""
    known = [replace(one, **_kept(one, one.keys >= 0)) for one in sessions if (one.keys >= 0).any()]
    given = occurrences(known)
    values = np.full((len(given), detector.width), np.nan)
    values[:, 0] = given.elapsed
    records, tree = material.corpus.lines(detector.name)
    for key, read in parameters(given, records, tree).items():
        if key in detector.templates:
            columns = {place: at for at, place in enumerate(read.places)}
            for column, position in enumerate(detector.templates[key].positions[1:], start=1):
                values[read.events, column] = read.values[:, columns[position.place]]
    return Vectors(given, values, np.flatnonzero(detector.reads(given.key)))


def _kept(session: CutSession, rows: Bool) -> dict[str, Any]:
    return {"keys": session.keys[rows], "times": session.times[rows], "records": session.records[rows]}


def _moments(detector: DeepLogValues, given: Vectors) -> tuple[dict[int, Float64], dict[int, Float64]]:
    """Mean and standard deviation of each number in training, float64 [width] by template."""
    mean, std = {}, {}
    for key in detector.templates:
        own = given.values[given.at[given.key == key]]
        there = ~np.isnan(own)
        count = np.maximum(there.sum(axis=0), 1)
        mean[key] = np.where(there, own, 0.0).sum(axis=0) / count
        std[key] = np.sqrt(np.where(there, np.square(own - mean[key]), 0.0).sum(axis=0) / count)
    return mean, std


def _stacked(keys: Int64, by_key: Mapping[int, Float64]) -> Float64:
    table = np.zeros((max(by_key) + 1, len(next(iter(by_key.values())))))
    table[list(by_key)] = list(by_key.values())
    return table[keys]


def _largest(off: Float64, scale: Float64) -> Float64:
    """Largest of the deviations in their scales, float64 [k]; of a number without spread, infinity where it
    differs."""
    found = np.where(scale > 0.0, np.abs(off) / np.where(scale > 0.0, scale, 1.0), np.where(off != 0.0, np.inf, 0.0))
    return np.asarray(np.nan_to_num(np.where(np.isnan(off), 0.0, found), posinf=1e9).max(axis=1))


def _z_score(detector: DeepLogValues, mean: Mapping[int, Float64], std: Mapping[int, Float64]) -> Scorer:
    def score(keys: Int64, _history: Float64, values: Float64) -> Float64:
        off = np.where(_used(detector, keys), values - _stacked(keys, mean), np.nan)
        return _largest(off, _stacked(keys, std))

    return score


def _last_value(
    detector: DeepLogValues, given: Vectors, mean: Mapping[int, Float64], std: Mapping[int, Float64]
) -> Scorer:
    """The difference to the value before, in standard deviations of such differences; a z-score where there is
    none."""
    before = given.history(np.arange(len(given.at)), 1)[:, -1]
    steps = given.values[given.at] - before
    spread = {
        key: np.array([_std(own[~np.isnan(own)]) for own in steps[given.key == key].T]) for key in detector.templates
    }

    def score(keys: Int64, history: Float64, values: Float64) -> Float64:
        last = history[:, -1]
        there = ~np.isnan(last) & (_stacked(keys, spread) > 0.0)
        off = values - np.where(there, last, _stacked(keys, mean))
        scale = np.where(there, _stacked(keys, spread), _stacked(keys, std))
        return _largest(np.where(_used(detector, keys), off, np.nan), scale)

    return score


def _std(values: Float64) -> float:
    return float(values.std()) if len(values) else 0.0


def _used(detector: DeepLogValues, keys: Int64) -> Bool:
    """Cells that the detector judges too, bool [k, width]."""
    table = np.zeros((max(detector.templates) + 1, detector.width), dtype=np.bool_)
    for key, template in detector.templates.items():
        table[key, : len(template.positions)] = [p.samples > 0 for p in template.positions]
    return np.asarray(table[keys])


def _plants(
    material: Material,
    detector: DeepLogValues,
    judged: Vectors,
    std: Mapping[int, Float64],
    random: np.random.Generator,
) -> list[Fault]:
    """Kind, size and lines of every batch of faults."""
    candidates: dict[str, list[tuple[int, int]]] = {}
    values = judged.values[judged.at]
    key = judged.key
    ahead = {kind: _follows(judged, lines) for kind, lines in DRIFTS.items()}
    for template, known in detector.templates.items():
        events = np.flatnonzero(key == template)
        for column, position in enumerate(known.positions):
            own = events[~np.isnan(values[events, column])]
            if position.constant is not None:
                kind = "constant"
            elif not position.samples or not std[template][column] > 0.0:
                continue
            else:
                kind = material.kinds(template, position)
            candidates.setdefault(kind, []).extend((event, column) for event in own.tolist())
            if kind not in ("", "constant"):
                for every in (ANY, OWN):
                    candidates.setdefault(every, []).extend((event, column) for event in own.tolist())
                for drift, enough in ahead.items():
                    candidates.setdefault(drift, []).extend((event, column) for event in own[enough[own]].tolist())
    found: list[Fault] = []
    candidates.pop("", None)
    for kind, places in sorted(candidates.items()):
        if not places:
            continue
        picked = random.permutation(len(places))[:PLANTS]
        event, column = np.array(places, dtype=np.int64)[picked].T
        for sigma in (None,) if kind == "constant" else SIGMAS:
            if sigma is None:
                rise = np.ones(len(event))
            elif kind == OWN:
                rise = _own_rise(detector, judged, event, column, sigma)
            else:
                rise = sigma * _stacked(key[event], std)[range(len(event)), column]
            steps = _steps(judged, detector.window, event, column, rise, DRIFTS.get(kind, 1))
            found.append(Fault(kind, sigma, column, steps))
    # Last, so that the draws of the others stay what they are.
    picked = random.permutation(len(candidates[ANY]))[:PLANTS]
    event, column = np.array(candidates[ANY], dtype=np.int64)[picked].T
    size = np.exp(random.uniform(np.log(SPAN[0]), np.log(SPAN[1]), len(event)))
    rise = size * _stacked(key[event], std)[range(len(event)), column]
    return [*found, Fault(DRAWN, None, column, _steps(judged, detector.window, event, column, rise, 1))]


def _own_rise(detector: DeepLogValues, judged: Vectors, event: Int64, column: Int64, sigma: float) -> Float64:
    """What makes so many standard deviations on each number's own scale, float64 [c], in original units."""
    rise = np.empty(len(event))
    for at, (one, cell) in enumerate(zip(event.tolist(), column.tolist(), strict=True)):
        position = detector.templates[int(judged.key[one])].positions[cell]
        value = judged.values[judged.at[one], cell]
        rise[at] = position.original((float(transformed(value, position.unit)) - position.mean) / position.std + sigma)
        rise[at] -= value
    return rise


def _bound(judged: Vectors, fault: Fault) -> float:
    """What upper limits of each number, one for all its lines, can catch at most: those limits chosen on the very
    faults and unchanged lines that they are then measured on."""
    last = fault.steps[-1]
    unchanged, values = judged.values[judged.at], last.values[np.arange(len(last.event)), fault.column]
    places = np.column_stack([judged.key[last.event], fault.column])
    best = 0
    curves = []
    for key, column in np.unique(places, axis=0).tolist():
        own = unchanged[judged.key == key, column]
        normal = np.sort(own[~np.isnan(own)])
        faulty = np.sort(values[(places == (key, column)).all(axis=1)])
        limits = np.append(np.unique(normal), np.inf)
        curves.append((_above(faulty, limits), _above(normal, limits)))
    for price in np.geomspace(1e-2, 1e3, 101).tolist():
        chosen = [int(np.argmax(caught - price * false)) for caught, false in curves]
        if sum(false[at] for (_, false), at in zip(curves, chosen, strict=True)) <= RATE * len(judged.at):
            best = max(best, int(sum(caught[at] for (caught, _), at in zip(curves, chosen, strict=True))))
    return best / len(values)


def _above(ordered: Float64, limits: Float64) -> Int64:
    """How many exceed each limit, int64."""
    return np.asarray(len(ordered) - np.searchsorted(ordered, limits, side="right"))


def _follows(judged: Vectors, lines: int) -> Bool:
    """Which events are the first of so many lines of their template in their session, bool [m]."""
    earlier = judged.occurrences.earlier
    last = np.minimum(judged.at + lines - 1, len(earlier) - 1)
    return np.asarray(earlier[last] == earlier[judged.at] + lines - 1)


def _steps(judged: Vectors, h: int, event: Int64, column: Int64, rise: Float64, lines: int) -> list[Step]:
    """A fault of so many ``lines``, from the fifth on (or the only one) raised by all of ``rise`` float64 [c]."""
    rows = np.arange(len(event))
    steps = []
    for line in range(lines):
        values = judged.values[judged.at[event] + line].copy()
        values[rows, column] += rise * min(1.0, (line + 1) / min(lines, RAMP))
        history = histories(judged.occurrences, judged.values, judged.at[event] + line, h)
        for past in range(line):
            history[rows, h - line + past, column] += rise * min(1.0, (past + 1) / min(lines, RAMP))
        steps.append(Step(event, values, history))
    return steps


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
