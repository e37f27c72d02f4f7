"""Evaluation of a bundle on a labelled log, session by session, in both protocols and beside the trivial baselines.

Every line goes through the pipeline that the service runs (``training.stream``). Baselines are the bundle's own simple
members alone, fitted on the same sessions: raw output above zero. Labels are read after all verdicts are made.

Two protocols (the end of a session decides every session-level figure):

* *whole session*: every session is closed at its last line;
* *as streamed*: sessions close as they would online, after ``idle_s`` of silence or on an end.

A session is anomalous if any verdict of it is. The log is streamed from its first line, so that sessions have their
history; only sessions of the test part are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import DataError
from models.sessions import SessionSettings
from models.verdict import Verdict
from training.corpus import Progress, chunks, silent, split_log, split_sessions
from training.logs import Labels
from training.metrics import Confusion, auc, confusion
from training.stream import Batch, Stream, whole_sessions

BATCH_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One detector's result. ``auc`` is None where it gives no graded score."""

    detector: str
    counts: Confusion
    auc: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, the derived figures included."""
        c = self.counts
        return {
            "detector": self.detector, **asdict(c), "precision": c.precision, "recall": c.recall, "f1": c.f1,
            "fpr": c.fpr, "mcc": c.mcc, "auc": self.auc,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Protocol:
    """Results under one protocol; ``recall_by_kind`` of the ensemble where labels name kinds."""

    title: str
    sessions: int
    anomalous: int
    epochs: int
    rows: list[Row]
    recall_by_kind: dict[str, tuple[int, int]]

    def row(self, detector: str) -> Row:
        """The row of one detector."""
        return next(row for row in self.rows if row.detector == detector)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "protocol": self.title,
            "sessions": self.sessions,
            "anomalous": self.anomalous,
            "epochs": self.epochs,
            "rows": [row.to_dict() for row in self.rows],
            "recall_by_kind": {k: {"caught": c, "of": n} for k, (c, n) in self.recall_by_kind.items()},
        }


@dataclass(slots=True)
class _Outcome:
    """What the stream said of one session: the largest raw output of each member, evidence score, any alarm."""

    raws: dict[str, float]
    score: float = 0.0
    anomalous: bool = False
    epochs: int = 0


def evaluate(
    bundle: Bundle,
    lines: Sequence[str],
    labels: Labels,
    arrival: float,
    *,
    train_share: float | None = None,
    progress: Progress = silent,
) -> list[Protocol]:
    """Both protocols on the sessions after the first ``train_share`` (default: the bundle's; 0 takes the whole log).

    A test part without an anomaly is fine: false alarms can be counted on it. Raises DataError where labels and log do
    not match, or no session is normal.
    """
    share = float(bundle.manifest.provenance["train_share"]) if train_share is None else train_share
    if train_share is None and share >= 1.0:
        share = 0.0
    if not 0.0 <= share < 1.0:
        raise DataError(f"train share {share} must be at least 0 and below 1, so that sessions are left to test on")
    test = _test_sessions(bundle, lines, arrival, share)
    labelled = [session for session in test if session in labels.anomalous]
    if not labelled:
        raise DataError("no session of the test part is in the labels; check labels and session rule")
    actual = np.array([labels.anomalous[session] for session in labelled])
    if actual.all():
        raise DataError("every labelled session of the test part is anomalous; label normal ones too")
    part = f"the last {1 - share:.0%} of the sessions" if share else "all sessions"
    live = bundle.manifest.session
    protocols = []
    for title, settings in (
        ("whole session", whole_sessions(live)),
        (f"as streamed, idle {live.idle_s:.0f} s", live),
    ):
        outcomes, epochs = _stream(bundle, lines, arrival, settings, progress)
        protocols.append(_protocol(bundle, f"{title}; {part}", labelled, actual, outcomes, epochs, labels))
    return protocols


def stream_verdicts(
    bundle: Bundle, lines: Sequence[str], arrival: float, progress: Progress = silent
) -> Iterable[Verdict]:
    """Every verdict of a log, in order, as the service would give them; indexes count from the log's first line."""
    stream = Stream(bundle)
    for start, stop in chunks(bundle.source, lines, BATCH_LINES):
        for verdict in stream.feed(lines[start:stop], arrival).verdicts:
            if verdict["index"] is not None:
                verdict["index"] += start
            yield verdict
        progress(stop, len(lines))


def _test_sessions(bundle: Bundle, lines: Sequence[str], arrival: float, share: float) -> list[str]:
    records = split_log(bundle.source, lines, arrival)
    return split_sessions(records, share).test if share else split_sessions(records, 1.0).train


def _stream(
    bundle: Bundle, lines: Sequence[str], arrival: float, settings: SessionSettings, progress: Progress
) -> tuple[dict[str, _Outcome], int]:
    """Outcome of every session of the log, and how many epochs were closed."""
    stream = Stream(bundle, settings)
    outcomes: dict[str, _Outcome] = {}
    for start, stop in chunks(bundle.source, lines, BATCH_LINES):
        _collect(outcomes, stream.feed(lines[start:stop], arrival))
        progress(stop, len(lines))
    _collect(outcomes, stream.close())
    return outcomes, sum(outcome.epochs for outcome in outcomes.values())


def _collect(outcomes: dict[str, _Outcome], batch: Batch) -> None:
    judged = batch.judged
    sessions = [batch.events.session[row] for row in batch.windows.row.tolist()]
    ended = [closing.session for closing in judged.closings]
    for names, judgement in ((sessions, judged.rows), (ended, judged.closed)):
        if judgement is None:
            continue
        raws = {name: raw.tolist() for name, raw in judgement.raws.items()}
        evidence, anomalous = judgement.evidence.tolist(), judgement.anomalous.tolist()
        for at, session in enumerate(names):
            outcome = outcomes.setdefault(session, _Outcome({}))
            for name, raw in raws.items():
                outcome.raws[name] = max(outcome.raws.get(name, -np.inf), raw[at])
            outcome.score = max(outcome.score, evidence[at])
            outcome.anomalous |= anomalous[at]
    for session in ended:
        outcomes[session].epochs += 1


def _protocol(
    bundle: Bundle,
    title: str,
    sessions: list[str],
    actual: np.ndarray[Any, np.dtype[np.bool_]],
    outcomes: dict[str, _Outcome],
    epochs: int,
    labels: Labels,
) -> Protocol:
    silent_one = _Outcome({})
    found = [outcomes.get(session, silent_one) for session in sessions]
    both = bool(actual.any())

    def graded(name: str, threshold: float) -> Row:
        raw = np.array([outcome.raws.get(name, 0.0) for outcome in found])
        return Row(name, confusion(raw >= threshold, actual), auc(np.nan_to_num(raw), actual) if both else None)

    smallest = float(np.nextafter(0.0, 1.0))
    rows = [Row("all positive", confusion(np.ones(len(actual), dtype=np.bool_), actual))]
    rows += [
        graded(name, smallest) for name in ("new_event", "length", "count_vector") if name in bundle.manifest.detectors
    ]
    if "length" in bundle.manifest.detectors:
        union = np.array([o.raws.get("new_event", 0.0) > 0 or o.raws.get("length", 0.0) > 0 for o in found])
        rows.insert(-1, Row("new_event or length", confusion(union, actual)))
    if "deeplog" in bundle.manifest.detectors:
        rows.append(graded("deeplog", float(bundle.manifest.detectors["deeplog"]["g"])))
    alarms = np.array([outcome.anomalous for outcome in found])
    score = np.array([outcome.score for outcome in found])
    rows.append(Row("ensemble", confusion(alarms, actual), auc(score, actual) if both else None))
    return Protocol(title, len(sessions), int(actual.sum()), epochs, rows, _by_kind(sessions, alarms.tolist(), labels))


def _by_kind(sessions: list[str], alarms: list[bool], labels: Labels) -> dict[str, tuple[int, int]]:
    kinds: dict[str, tuple[int, int]] = {}
    for session, alarm in zip(sessions, alarms, strict=True):
        if labels.anomalous[session] and session in labels.kind:
            caught, of = kinds.get(labels.kind[session], (0, 0))
            kinds[labels.kind[session]] = (caught + alarm, of + 1)
    return dict(sorted(kinds.items()))
