"""Evaluation of a bundle on a labelled log, session by session, in both protocols and beside the trivial baselines.

Every line goes through the pipeline that the service runs (``training.stream``). Each detector of the bundle has a row
of its own, ringing alone at the threshold that training chose on held-out normals, beside the ensemble and the
baselines that every result must be compared with. Labels are read after all verdicts are made.

Two protocols (the end of a session decides every session-level figure):

* *whole session*: every session is closed at its last line;
* *as streamed*: sessions close as they would online, after ``idle_s`` of silence or on an end.

A session is anomalous if any verdict of it is. The log is streamed from its first line, so that sessions have their
history; only sessions of the test part are counted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import BundleError, DataError
from models.judge import Judge
from models.members.ended import EndMember
from models.members.event import EventMember
from models.registry import PLACES
from models.sessions import Bool, Float64, SessionSettings
from models.verdict import Verdict
from training.corpus import Progress, chunks, silent, split_log, split_sessions
from training.logs import Labels
from training.metrics import Confusion, auc, confusion
from training.stream import Batch, Stream, whole_sessions

BATCH_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One detector's result. ``auc`` is None where it gives no graded score; ``ms`` milliseconds of scoring an event,
    caches included, None for baselines; ``delay`` the median number of events from a caught session's first to the one
    that rang, its last where its end did (None where it is not known)."""

    detector: str
    counts: Confusion
    auc: float | None = None
    ms: float | None = None
    delay: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, the derived figures included."""
        c = self.counts
        return {
            "detector": self.detector, **asdict(c), "precision": c.precision, "recall": c.recall, "f1": c.f1,
            "fpr": c.fpr, "mcc": c.mcc, "auc": self.auc, "ms_per_event": self.ms, "delay_events": self.delay,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Protocol:
    """Results under one protocol; ``recall_by_kind`` of the ensemble where labels name kinds; ``scores`` for pictures:
    by detector, raw outputs (of the ensemble: evidence) of the sessions, float64 [sessions], and ``actual`` bool
    [sessions] what labels say of them; ``members``: the detectors that have a say."""

    title: str
    sessions: int
    anomalous: int
    epochs: int
    rows: list[Row]
    recall_by_kind: dict[str, tuple[int, int]]
    scores: dict[str, Float64]
    actual: Bool
    members: frozenset[str]

    @property
    def gap(self) -> float:
        """F1 of the ensemble's best member alone less that of the ensemble."""
        alone = [row.counts.f1 for row in self.rows if row.detector in self.members]
        return max(alone, default=0.0) - self.row("ensemble").counts.f1

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
            "gap_to_best_member": self.gap,
            "recall_by_kind": {k: {"caught": c, "of": n} for k, (c, n) in self.recall_by_kind.items()},
        }


@dataclass(slots=True)
class _Outcome:
    """What the stream said of one session: the largest raw output of each member, the largest evidence, how many
    events it had up to its first alarm (0: none rang), how many it had in earlier epochs."""

    raws: dict[str, float]
    evidence: float = -np.inf
    alarm: int = 0
    epochs: int = 0
    events: int = 0


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
        outcomes, ms = _stream(bundle, lines, arrival, settings, progress)
        protocols.append(_protocol(bundle, f"{title}; {part}", labelled, actual, outcomes, ms, labels))
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
) -> tuple[dict[str, _Outcome], dict[str, float]]:
    """Outcome of every session of the log, and each member's milliseconds of scoring an event."""
    stream = Stream(bundle, settings)
    spent = _clocked(stream.judge)
    outcomes: dict[str, _Outcome] = {}
    events = 0
    for start, stop in chunks(bundle.source, lines, BATCH_LINES):
        batch = stream.feed(lines[start:stop], arrival)
        events += len(batch.windows.row)
        _collect(outcomes, batch)
        progress(stop, len(lines))
    _collect(outcomes, stream.close())
    return outcomes, {name: 1e3 * seconds / max(1, events) for name, seconds in spent.items()}


def _clocked(judge: Judge) -> dict[str, float]:
    """Seconds that each member of a judge will have spent on scoring, by name."""
    spent: dict[str, float] = {}

    def clock(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*given: Any) -> Any:
            began = perf_counter()
            found = work(*given)
            spent[name] = spent.get(name, 0.0) + perf_counter() - began
            return found

        return clocked

    members: tuple[EventMember | EndMember, ...] = (*judge.events, *judge.sessions)
    for member in members:
        for method in ("score", "score_ends", "score_segments"):
            if hasattr(member, method):
                setattr(member, method, clock(member.name, getattr(member, method)))
    return spent


def _collect(outcomes: dict[str, _Outcome], batch: Batch) -> None:
    judged = batch.judged
    sessions = [batch.events.session[row] for row in batch.windows.row.tolist()]
    ended = [closing.session for closing in judged.closings]
    # Lines first, then ends: an earlier epoch's events are added where its end is seen.
    lengths = ((batch.windows.position + 1).tolist(), [closing.state.n for closing in judged.closings])
    for names, judgement, length in zip((sessions, ended), (judged.rows, judged.closed), lengths, strict=True):
        if judgement is None:
            continue
        raws = {name: raw.tolist() for name, raw in judgement.raws.items()}
        evidence, anomalous = judgement.evidence.tolist(), judgement.anomalous.tolist()
        for at, session in enumerate(names):
            outcome = outcomes.setdefault(session, _Outcome({}))
            for name, raw in raws.items():
                outcome.raws[name] = max(outcome.raws.get(name, -np.inf), raw[at])
            outcome.evidence = max(outcome.evidence, evidence[at])
            if anomalous[at] and not outcome.alarm:
                outcome.alarm = outcome.events + length[at]
    for closing in judged.closings:
        outcomes[closing.session].epochs += 1
        outcomes[closing.session].events += closing.state.n


def _protocol(
    bundle: Bundle,
    title: str,
    sessions: list[str],
    actual: Bool,
    outcomes: dict[str, _Outcome],
    ms: Mapping[str, float],
    labels: Labels,
) -> Protocol:
    silent_one = _Outcome({})
    found = [outcomes.get(session, silent_one) for session in sessions]
    both = bool(actual.any())
    names = [name for name in PLACES if name in bundle.manifest.detectors]
    scores = {name: np.array([outcome.raws.get(name, -np.inf) for outcome in found]) for name in names}
    scores["ensemble"] = np.array([outcome.evidence for outcome in found])

    def row(name: str, alarms: Bool, delay: float | None = None) -> Row:
        graded = auc(np.nan_to_num(scores[name]), actual) if both else None
        return Row(name, confusion(alarms, actual), graded, ms.get(name, 0.0), delay)

    rows = _baselines(scores, actual)
    thresholds = bundle.manifest.metrics.get("thresholds")
    if thresholds is None:
        raise BundleError("the bundle does not say when its detectors ring alone; train it again with this Tocsin")
    rows += [row(name, scores[name] >= thresholds[name]) for name in names]
    alarms = np.array([outcome.alarm > 0 for outcome in found])
    caught = [outcome.alarm for outcome, bad in zip(found, actual.tolist(), strict=True) if bad and outcome.alarm]
    ensemble = row("ensemble", alarms, float(np.median(caught)) if caught else None)
    rows.append(replace(ensemble, ms=sum(ms.get(name, 0.0) for name in names)))
    epochs = sum(outcome.epochs for outcome in outcomes.values())
    kinds = _by_kind(sessions, alarms.tolist(), labels)
    members = frozenset(bundle.manifest.ensemble["weights"])
    return Protocol(title, len(sessions), int(actual.sum()), epochs, rows, kinds, scores, actual, members)


def _baselines(scores: Mapping[str, Float64], actual: Bool) -> list[Row]:
    """What every result must be compared with: no threshold is chosen for any of these."""
    rows = [Row("all positive", confusion(np.ones(len(actual), dtype=np.bool_), actual))]
    rows.append(Row("new_event > 0", confusion(scores["new_event"] > 0, actual)))
    if "length" in scores:
        union = (scores["new_event"] > 0) | (scores["length"] > 0)
        rows.append(Row("new_event or length > 0", confusion(union, actual)))
    if "count_vector" in scores:
        rows.append(Row("count_vector > 0", confusion(scores["count_vector"] > 0, actual)))
    return rows


def _by_kind(sessions: list[str], alarms: list[bool], labels: Labels) -> dict[str, tuple[int, int]]:
    kinds: dict[str, tuple[int, int]] = {}
    for session, alarm in zip(sessions, alarms, strict=True):
        if labels.anomalous[session] and session in labels.kind:
            caught, of = kinds.get(labels.kind[session], (0, 0))
            kinds[labels.kind[session]] = (caught + alarm, of + 1)
    return dict(sorted(kinds.items()))
