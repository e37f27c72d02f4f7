"""DeepLog's online update: little to train on, the rest streamed, with and without what the operator's answers teach.

    python -m training.benchmarks.online --share 0.01 0.1

Protocol: sessions of the HDFS sample whole, in order of their last line. DeepLog alone is fitted on the first share of
the normal ones; all others are judged in order. Where a normal session rings, the operator says so: what rang in it
is quiet from the next session on, and the network takes gradient steps on it after every few answers
(``training.deeplog.teach``), as the learner does; where an anomalous one rings, it is confirmed, which bounds those
steps. Prequential: a session is judged once, by what was known before it, and labels are read only to answer what rang.
Rows: without update, with what rang silenced alone, and with learning.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from models.deeplog.detector import DeepLog
from models.errors import TocsinError
from models.graph import Graph
from models.parser import Parser
from models.rows import unique_rows
from models.sample import REPLAY
from models.sessions import Bool, Float64, Int64
from models.source.config import Source
from models.template.tree import TemplateTree
from models.vocabulary import Vocabulary
from training.bar import epoch_bar
from training.corpus import cut_sessions, split_log
from training.deeplog import DeepLogSettings
from training.deeplog.member import fit_deeplog_member
from training.deeplog.teach import teach_deeplog
from training.learning.teaching import Part, Taught
from training.logs import Labels, read_labels, read_lines
from training.member import Corpus
from training.metrics import confusion
from training.progress import Progress
from training.rehearsal import sample_windows
from training.windows import windows

EVERY = 10
"""Answers that are learned together."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Sessions to judge, in order: distinct windows ``history`` int64 [u, h] and ``key`` int64 [u]; ``rows``: of each
    session, which of them it holds; ``actual`` bool [n]."""

    history: Int64
    key: Int64
    rows: list[Int64]
    actual: Bool

    @classmethod
    def of(cls, sessions: Sequence[Int64], actual: Bool, h: int) -> "Flow":
        """From keys of whole sessions."""
        every = windows(sessions, h)
        cells = np.column_stack([every.history, every.key])
        first, inverse = unique_rows(cells - cells.min())
        bounds = np.flatnonzero(np.diff(every.session)) + 1
        return cls(every.history[first], every.key[first], np.split(inverse, bounds), actual)


@dataclass(slots=True)
class Model:
    """DeepLog as it is now, and all that it was taught."""

    settings: dict[str, Any]
    files: dict[str, bytes]
    taught: list[Taught] = field(default_factory=list)

    @property
    def detector(self) -> DeepLog:
        """To judge by."""
        vocabulary = Vocabulary.from_dict(self.settings["vocabulary"])
        return DeepLog.from_graph(vocabulary, Graph(self.files["deeplog.onnx"], "cpu"))

    def teach(self, lessons: Sequence[Taught], seed: int, progress: Progress) -> None:
        """Go on from the current weights with these lessons and the earlier ones."""
        self.taught += lessons
        part = Part("deeplog", self.settings, self.files, float(self.settings["g"]))
        learned = teach_deeplog(part, self.taught, seed, progress)
        if learned is not None:
            self.settings, self.files = learned.settings, self.files | learned.files


def judged(flow: Flow, model: Model, *, rules: bool, every: int = 0, seed: int = 0, progress: Progress) -> Bool:
    """Which sessions rang, bool [n]; ``rules``: what was answered is quiet at once; ``every``: answers after which the
    network learns, 0 never."""
    rang = np.zeros(len(flow.rows), dtype=np.bool_)
    quiet = np.zeros(len(flow.key), dtype=np.bool_)
    answered: list[Taught] = []
    raws = _raws(flow, model)
    clicks = 0
    for at, rows in enumerate(flow.rows):
        loud = rows[(raws[rows] >= model.settings["g"]) & ~quiet[rows]]
        rang[at] = len(loud) > 0
        if not len(loud) or not rules:
            continue
        normal = not flow.actual[at]
        # A confirmed anomaly has to keep ringing where it is strangest, not in every window that it passed through.
        chosen = np.unique(loud) if normal else loud[[np.argmax(raws[loud])]]
        answered += [_seen(flow, row, normal) for row in chosen.tolist()]
        if normal:
            quiet[loud] = True
            clicks += 1
            if every and clicks % every == 0:
                model.teach(answered, seed, progress)
                answered = []
                raws = _raws(flow, model)
    return rang


def run(
    sessions: Sequence[Int64], actual: Bool, share: float, settings: DeepLogSettings, seed: int, progress: Progress
) -> dict[str, Any]:
    """Fit on the first ``share`` of the normal ``sessions``, judge the others in order."""
    normal = np.flatnonzero(~actual)
    train = normal[: int(share * len(normal))]
    chosen = [sessions[i] for i in train.tolist()]
    member = fit_deeplog_member(Corpus.of_keys(chosen), settings, seed, progress)
    files = {**member.files, REPLAY: sample_windows(chosen, settings.h, seed)}
    rest = np.setdiff1d(np.arange(len(sessions)), train)
    flow = Flow.of([sessions[i] for i in rest.tolist()], actual[rest], settings.h)
    rows = []
    for name, how in (
        ("no update", {"rules": False}),
        ("what rang is silenced", {"rules": True}),
        (f"silenced, and learned {EVERY} answers at a time", {"rules": True, "every": EVERY}),
    ):
        model = Model(dict(member.settings), dict(files))
        found = confusion(judged(flow, model, seed=seed, progress=progress, **how), flow.actual)
        rows.append(
            {
                "update": name,
                "tp": found.tp,
                "fp": found.fp,
                "precision": found.precision,
                "recall": found.recall,
                "f1": found.f1,
            }
        )
    about = {"share": share, "trained": len(train), "judged": len(rest), "anomalous": int(flow.actual.sum())}
    return {**about, "g": member.settings["g"], "rows": rows}


def load(log: Path, labels: Labels, arrival: float) -> tuple[list[Int64], Bool]:
    """Keys of the whole sessions of an HDFS log, read at ``arrival`` (seconds since the epoch), in order of their last
    line, and which are anomalous, bool [n]."""
    source = Source.load("hdfs")
    records = split_log(source, read_lines([log]), arrival)
    tree = TemplateTree(source.drain, "benchmark")
    events = Parser(source, tree).events(records, tree.assign(records.masked).ids)
    cut = sorted(cut_sessions(events, np.inf, source.lateness_s), key=lambda session: session.last)
    known = [session for session in cut if session.session in labels.anomalous]
    return [session.keys for session in known], np.array([labels.anomalous[session.session] for session in known])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or JSON. Exit code 2 where the data set is missing."""
    parser = argparse.ArgumentParser(prog="python -m training.benchmarks.online", description=__doc__)
    root = Path(os.environ.get("TOCSIN_DATASETS_DIR", "~/.cache/tocsin/datasets")).expanduser() / "hdfs"
    parser.add_argument("--logs", type=Path, default=root / "hdfs.log.gz")
    parser.add_argument("--labels", type=Path, default=root / "labels.csv")
    parser.add_argument("--share", type=float, nargs="*", default=[0.01, 0.1], help="of the normal sessions, to train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        sessions, actual = load(chosen.logs, read_labels(chosen.labels), time.time())
        with epoch_bar(quiet=chosen.json) as progress:
            found = [run(sessions, actual, share, DeepLogSettings(), chosen.seed, progress) for share in chosen.share]
    except TocsinError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(found, indent=2))
        return 0
    for result in found:
        Console().print(_table(result))
    return 0


def _raws(flow: Flow, model: Model) -> Float64:
    return model.detector.score(flow.history, flow.key)


def _seen(flow: Flow, row: int, normal: bool) -> Taught:
    return Taught({"history": flow.history[row].tolist(), "key": int(flow.key[row])}, normal)


def _table(result: dict[str, Any]) -> Table:
    table = Table(
        title=f"DeepLog online on HDFS: {result['share']:.0%} of the normal sessions train ({result['trained']})",
        caption=f"{result['judged']} sessions judged, {result['anomalous']} of them anomalous; g = {result['g']:g}",
    )
    for name in ("update", "TP", "FP", "P", "R", "F1"):
        table.add_column(name, justify="left" if name == "update" else "right")
    for row in result["rows"]:
        figures = (f"{row[name]:.3f}" for name in ("precision", "recall", "f1"))
        table.add_row(row["update"], str(row["tp"]), str(row["fp"]), *figures)
    return table


if __name__ == "__main__":
    sys.exit(main())
