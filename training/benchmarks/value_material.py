"""Sessions whose numbers are judged (made-up series, and the recorded sample), and how a detector reads the numbers.

Owns where they come from. Does not know faults, nor who judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import training.sample
from models.deeplog_values.detector import DeepLogValues
from models.deeplog_values.layout import ELAPSED, Position
from models.parser import Parser
from models.record import Records
from models.sessions import Bool, Float64, Int64
from models.source.config import DrainSettings, Source
from models.template.tree import TemplateTree
from training.corpus import CutSession, cut_sessions, split_log
from training.deeplog_values.occurrences import Occurrences, histories, occurrences, parameters
from training.logs import read_labels, read_lines
from training.member import Corpus
from training.train import Input, prepare

ARRIVAL = 2e9
"""When the sample is read: after it was recorded."""


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


def vectors(detector: DeepLogValues, sessions: Sequence[CutSession], material: Material) -> Vectors:
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
