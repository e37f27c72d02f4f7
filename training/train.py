"""From a log to a bundle: split by time, mine templates, fit every member, calibrate on held-out normals, refit, seal.

Labels only exclude anomalous sessions from training; no threshold ever sees one. Owns the order of the steps and what
is written down about them; each step is somebody else's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.bundle import CARD, TEMPLATES, Bundle, Manifest
from models.ensemble import BUDGET, Ensemble
from models.errors import DataError
from models.parser import Parser
from models.registry import DETECTORS, ENSEMBLE, graph_file, state_file
from models.sessions import Float64, Int64, SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree
from training.card import write_card
from training.corpus import (
    CutSession,
    Progress,
    Split,
    cut_sessions,
    measured_idle_s,
    silent,
    split_log,
    split_sessions,
    upto,
)
from training.deeplog import DeepLogSettings, FittedDeepLog, fit_deeplog
from training.logs import Labels
from training.rehearsal import sample_windows

FOLDS = 5
MINIMUM_SESSIONS = 50
"""Fewer normal sessions cannot hold anything out."""

Say = Callable[[str], None]
"""Told of each step as it begins."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a training may choose. ``train_share`` of the sessions, the oldest; ``budget`` false alarms as a share of
    normal sessions; ``detectors`` members wanted (``new_event`` is always one). Raises DataError for what cannot be."""

    train_share: float = 1.0
    budget: float = BUDGET
    seed: int = 0
    detectors: tuple[str, ...] = DETECTORS
    deeplog: DeepLogSettings = field(default_factory=DeepLogSettings)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.detectors) - set(DETECTORS))
        if unknown:
            raise DataError(f"no detector {unknown[0]!r}; there are {', '.join(DETECTORS)}")
        if not 0.0 < self.train_share <= 1.0:
            raise DataError(f"train share {self.train_share} must be above 0 and at most 1")
        if not 0.0 < self.budget < 1.0:
            raise DataError(f"alert budget {self.budget} must be a share of sessions between 0 and 1")


@dataclass(frozen=True, slots=True)
class Input:
    """A log to train on: its lines, names and hashes of its files, labels where there are any, when it was read."""

    lines: Sequence[str]
    files: dict[str, str]
    labels: Labels | None
    arrival: float


@dataclass(frozen=True, slots=True)
class Material:
    """What training sees of a log: the mined tree, and normal sessions closed before the test part."""

    tree: TemplateTree
    split: Split
    sessions: list[CutSession]
    idle_s: float
    excluded_anomalous: int
    excluded_open: int
    rejected: int


def prepare(source: Source, given: Input, train_share: float, tree_id: str, progress: Progress = silent) -> Material:
    """Split a log by time, mine the earlier part, and cut its normal sessions.

    Raises DataError where labels do not match the log's sessions or too few normal sessions are left.
    """
    records = split_log(source, given.lines, given.arrival, progress)
    split = split_sessions(records, train_share)
    if given.labels is not None:
        named = set(split.train) | set(split.test)
        if not named & given.labels.anomalous.keys():
            raise DataError(
                f"no session of the log is in the labels (log: {split.train[0]!r}, labels: "
                f"{next(iter(given.labels.anomalous))!r}); check the session rule of source {source.name!r}"
            )
    tree = TemplateTree(source.drain, tree_id)
    earlier = upto(records, split.first_test_record)
    ids = tree.assign(earlier.masked).ids
    events = Parser(source, tree).events(earlier, ids)
    idle_s = measured_idle_s(events) if source.idle_s is None else source.idle_s
    cut = cut_sessions(events, idle_s, source.lateness_s)
    still_open = set(records.session[len(earlier.session) :].to_list())
    closed = [session for session in cut if session.session not in still_open]
    anomalous = given.labels.anomalous if given.labels else {}
    normal = [session for session in closed if not anomalous.get(session.session, False)]
    if len(normal) < MINIMUM_SESSIONS:
        raise DataError(
            f"{len(normal)} normal sessions closed before the test part are too few; Tocsin needs {MINIMUM_SESSIONS} "
            "(a longer log, a larger train share or another session rule)"
        )
    return Material(
        tree, split, normal, idle_s, len(closed) - len(normal), len(cut) - len(closed), len(records.rejected)
    )


def train(
    source: Source,
    given: Input,
    settings: TrainSettings,
    *,
    version: str,
    tree_id: str,
    created: float,
    say: Say = lambda _text: None,
    parsing: Progress = silent,
    fitting: Callable[[str, int, int], None] | None = None,
) -> Bundle:
    """Train every member on the log's normal sessions and seal a bundle. ``created`` in seconds since the epoch.

    Raises DataError where the log is too little or does not fit the source.
    """
    say("parse and mine")
    material = prepare(source, given, settings.train_share, tree_id, parsing)
    sessions = [session.keys for session in material.sessions]
    say(f"fit on {len(sessions)} normal sessions, {len(material.tree)} templates")
    deeplog = None
    raws: dict[str, Float64] = {}
    if "deeplog" in settings.detectors:
        deeplog = fit_deeplog(sessions, settings.deeplog, settings.seed, fitting)
    raws["new_event"] = _held_out(sessions, settings.seed, _new_event_raws)
    if deeplog is not None:
        raws["deeplog"] = deeplog.heldout["session"]
    if "length" in settings.detectors:
        raws["length"] = _held_out(sessions, settings.seed, lambda fit, test: _counted(Length.fit(fit), test))
    if "count_vector" in settings.detectors:
        raws["count_vector"] = _held_out(
            sessions, settings.seed, lambda fit, test: _counted(CountVector.fit(fit), test)
        )
    say("calibrate")
    ensemble = Ensemble.fit(raws, settings.budget)
    files, detectors = _members(sessions, set(raws), deeplog)
    files[ENSEMBLE] = orjson.dumps(ensemble.to_dict())
    files[TEMPLATES] = orjson.dumps(material.tree.snapshot())
    # Incidents show a window even where no member needs one.
    tail = settings.deeplog.h
    files["replay.npz"] = sample_windows(sessions, tail, settings.seed)
    manifest = Manifest(
        source=source.to_dict(),
        version=version,
        created=created,
        parent=None,
        tree_id=material.tree.tree_id,
        tree_version=material.tree.version,
        session=SessionSettings(tail, material.idle_s, source.lateness_s),
        detectors=detectors,
        ensemble={"weights": ensemble.weights, "threshold": ensemble.threshold, "budget": settings.budget},
        provenance=_provenance(given, settings, material),
        metrics=_metrics(raws, ensemble, deeplog),
    )
    files[CARD] = write_card(manifest).encode()
    return Bundle.seal(manifest, files)


def _members(
    sessions: Sequence[Int64], names: set[str], deeplog: FittedDeepLog | None
) -> tuple[dict[str, bytes], dict[str, dict[str, Any]]]:
    """Every member refitted on all normals: bundle files, and settings by member."""
    fitted: dict[str, NewEvent | Length | CountVector] = {"new_event": NewEvent.fit(sessions)}
    if "length" in names:
        fitted["length"] = Length.fit(sessions)
    if "count_vector" in names:
        fitted["count_vector"] = CountVector.fit(sessions)
    files = {state_file(name): orjson.dumps(member.to_dict()) for name, member in fitted.items()}
    detectors: dict[str, dict[str, Any]] = {name: {} for name in fitted}
    if deeplog is not None:
        files[graph_file("deeplog")] = deeplog.onnx
        files["deeplog.safetensors"] = deeplog.safetensors()
        detectors["deeplog"] = {
            "vocabulary": deeplog.vocabulary.to_dict(),
            "h": deeplog.settings.h,
            "g": deeplog.g,
            "w": deeplog.w,
            "training": deeplog.settings.to_dict(),
        }
    return files, detectors


def _held_out(sessions: Sequence[Int64], seed: int, raws_of: Callable[[list[Int64], list[Int64]], Float64]) -> Float64:
    """Raw output of each session by members fitted on the other folds, float64 [n]. Folds are random whole sessions."""
    fold = np.random.default_rng(seed).permutation(len(sessions)) % FOLDS
    raw = np.empty(len(sessions), dtype=np.float64)
    for number in range(FOLDS):
        test = np.flatnonzero(fold == number)
        fit = [sessions[i] for i in np.flatnonzero(fold != number).tolist()]
        raw[test] = raws_of(fit, [sessions[i] for i in test.tolist()])
    return raw


def _counted(member: Length | CountVector, test: list[Int64]) -> Float64:
    return member.score_counts([count_keys(session) for session in test])


def _new_event_raws(fit: list[Int64], test: list[Int64]) -> Float64:
    member = NewEvent.fit(fit)
    nothing = np.empty((0, 0), dtype=np.int64)
    return np.array([float(member.score(nothing, session).max()) for session in test], dtype=np.float64)


def _provenance(given: Input, settings: TrainSettings, material: Material) -> dict[str, Any]:
    return {
        "files": given.files,
        "lines": len(given.lines),
        "lines_rejected": material.rejected,
        "labels": given.labels is not None,
        "seed": settings.seed,
        "train_share": settings.train_share,
        "sessions_in_log": len(material.split.train) + len(material.split.test),
        "sessions_trained": len(material.sessions),
        "sessions_left_out_anomalous": material.excluded_anomalous,
        "sessions_left_out_open": material.excluded_open,
        "first_session": material.sessions[0].started,
        "last_session": material.sessions[-1].started,
    }


def _metrics(raws: dict[str, Float64], ensemble: Ensemble, deeplog: FittedDeepLog | None) -> dict[str, Any]:
    """False alarms as a share of held-out normal sessions, by member alone and together."""
    alone = {name: float((raw > 0).mean()) for name, raw in raws.items() if name != "deeplog"}
    if deeplog is not None:
        alone["deeplog"] = float((raws["deeplog"] >= deeplog.g).mean())
    together = float((ensemble.evidence(raws) >= ensemble.threshold).mean())
    return {"held_out_false_alarm_rate": {**alone, "ensemble": together}}
