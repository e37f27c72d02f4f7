"""From a log to a bundle: split by time, mine templates, fit every member, calibrate on held-out normals, refit, seal.

Labels only exclude anomalous sessions from training; no threshold ever sees one. Owns the order of the steps and what
is written down about them; each step is somebody else's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from models.bundle import CARD, TEMPLATES, Bundle, Manifest
from models.deeplog.prefixes import network_of
from models.drift.reference import Reference
from models.ensemble import BUDGET, Ensemble
from models.errors import DataError
from models.graph import Graph
from models.normals import NORMALS, Normals
from models.parser import Parser
from models.record import Records
from models.registry import DEFAULT, DETECTORS, ENSEMBLE, RATE, TIMEFRAME, load_judge
from models.sample import REPLAY
from models.sessions import Float64, SessionSettings
from models.source.config import Source
from models.template.tree import TemplateTree
from models.vocabulary import Vocabulary
from models.workflow.graph import WORKFLOW
from training.autolog import AutoLogSettings, FittedTimeframe, fit_autolog
from training.card import write_card
from training.corpus import (
    CutSession,
    Split,
    cut_sessions,
    measured_idle_s,
    silent,
    split_log,
    split_sessions,
    upto,
)
from training.corpus import Progress as Lines
from training.fitters import fit_members, settings_of
from training.logs import Labels
from training.member import Corpus, FittedMember
from training.progress import Progress
from training.progress import silent as quiet
from training.rate import FittedRate, RateSettings, fit_rate
from training.rate.fit import RHYTHM_DAYS, days_of
from training.rehearsal import sample_windows
from training.workflow import DeepLogProbabilities, WorkflowSettings, build_workflow

SHOWN = 10
"""Keys before an event that incidents show even where no member needs them."""
MINIMUM_SESSIONS = 50
"""Fewer normal sessions cannot hold anything out."""

Say = Callable[[str], None]
"""Told of each step as it begins."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What a training may choose. ``train_share`` of the sessions, the oldest; ``budget`` false alarms as a share of
    normal sessions; ``detectors`` members wanted (``new_event`` is always one); ``witnesses`` detectors that are
    fitted, scored and reported but have no say; ``members`` settings by detector and name. Raises DataError or
    ConfigError for what cannot be."""

    train_share: float = 1.0
    budget: float = BUDGET
    seed: int = 0
    detectors: tuple[str, ...] = DEFAULT
    witnesses: tuple[str, ...] = ()
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted({*self.detectors, *self.witnesses} - set(DETECTORS))
        if unknown:
            raise DataError(f"no detector {unknown[0]!r}; there are {', '.join(DETECTORS)}")
        if not 0.0 < self.train_share <= 1.0:
            raise DataError(f"train share {self.train_share} must be above 0 and at most 1")
        if not 0.0 < self.budget < 1.0:
            raise DataError(f"alert budget {self.budget} must be a share of sessions between 0 and 1")
        for name, own in self.members.items():
            if name == TIMEFRAME:
                AutoLogSettings.from_dict(own)
            elif name == RATE:
                RateSettings.from_dict(own)
            else:
                settings_of(name, own)

    @property
    def fitted(self) -> tuple[str, ...]:
        """Every detector to fit, in the order of the registry."""
        wanted = {"new_event", *self.detectors, *self.witnesses}
        return tuple(name for name in DETECTORS if name in wanted)


@dataclass(frozen=True, slots=True)
class Input:
    """A log to train on: its lines, names and hashes of its files, labels where there are any, when it was read."""

    lines: Sequence[str]
    files: dict[str, str]
    labels: Labels | None
    arrival: float


@dataclass(frozen=True, slots=True)
class Material:
    """What training sees of a log: the mined tree, the ``records`` before the test part, and their sessions that closed
    there, normal ones and those that labels call ``anomalous``."""

    tree: TemplateTree
    records: Records
    split: Split
    sessions: list[CutSession]
    anomalous: list[CutSession]
    idle_s: float
    excluded_open: int
    rejected: int

    @property
    def corpus(self) -> Corpus:
        """As detectors are fitted on it."""
        return Corpus(self.sessions, self.anomalous, self.records, self.tree)


def prepare(source: Source, given: Input, train_share: float, tree_id: str, progress: Lines = silent) -> Material:
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
    labels = given.labels.anomalous if given.labels else {}
    normal = [session for session in closed if not labels.get(session.session, False)]
    anomalous = [session for session in closed if labels.get(session.session, False)]
    if len(normal) < MINIMUM_SESSIONS:
        raise DataError(
            f"{len(normal)} normal sessions closed before the test part are too few; Tocsin needs {MINIMUM_SESSIONS} "
            "(a longer log, a larger train share or another session rule)"
        )
    return Material(tree, earlier, split, normal, anomalous, idle_s, len(cut) - len(closed), len(records.rejected))


def train(
    source: Source,
    given: Input,
    settings: TrainSettings,
    *,
    version: str,
    tree_id: str,
    created: float,
    say: Say = lambda _text: None,
    parsing: Lines = silent,
    fitting: Progress = quiet,
) -> Bundle:
    """Train every member on the log's normal sessions and seal a bundle. ``created`` in seconds since the epoch.

    Raises DataError where the log is too little or does not fit the source.
    """
    say("parse and mine")
    material = prepare(source, given, settings.train_share, tree_id, parsing)
    return fit_and_seal(source, given, settings, material, version=version, created=created, say=say, fitting=fitting)


def fit_and_seal(
    source: Source,
    given: Input,
    settings: TrainSettings,
    material: Material,
    *,
    version: str,
    created: float,
    say: Say = lambda _text: None,
    fitting: Progress = quiet,
) -> Bundle:
    """Train every member on what was prepared and seal a bundle. Raises DataError where it is too little."""
    say(f"fit on {len(material.sessions)} normal sessions, {len(material.tree)} templates")
    names = [name for name in settings.fitted if name not in (TIMEFRAME, RATE)]
    members = fit_members(names, material.corpus, settings.members, settings.seed, fitting)
    frames = None
    if TIMEFRAME in settings.fitted:
        own = AutoLogSettings.from_dict(settings.members.get(TIMEFRAME, {}))
        frames = fit_autolog(material.corpus, own, settings.seed, fitting)
    rates = _rates(settings, material, say)
    say("calibrate")
    return assemble(source, given, settings, material, members, frames, rates, version=version, created=created)


def _rates(settings: TrainSettings, material: Material, say: Say) -> FittedRate | None:
    """Rates where they are asked for, or where nothing else is and the log shows a rhythm of the day; None, and said
    why, where it is too short."""
    own = RateSettings.from_dict(settings.members.get(RATE, {}))
    if RATE not in settings.fitted:
        others = settings.detectors != DEFAULT
        if others or days_of(material.records, own) < RHYTHM_DAYS:
            return None
    try:
        return fit_rate(material.records, material.tree, own)
    except DataError as error:
        say(f"left out: {error}")
        return None


def _workflow(material: Material, members: Sequence[FittedMember], seed: int) -> tuple[bytes, dict[str, Any]]:
    """The workflow of the normal sessions as a bundle keeps it, and how it came about."""
    deeplog = next((member for member in members if member.name == "deeplog"), None)
    probabilities = None
    if deeplog is not None:
        vocabulary = Vocabulary.from_dict(deeplog.settings["vocabulary"])
        graph = network_of(Graph(deeplog.files["deeplog.onnx"], provider="cpu"))
        probabilities = DeepLogProbabilities(vocabulary, int(deeplog.settings["h"]), graph)
    workflow, report = build_workflow(material.corpus, probabilities, WorkflowSettings(), seed)
    return workflow.to_json(), report


def assemble(
    source: Source,
    given: Input,
    settings: TrainSettings,
    material: Material,
    members: Sequence[FittedMember],
    frames: FittedTimeframe | None = None,
    rates: FittedRate | None = None,
    *,
    version: str,
    created: float,
) -> Bundle:
    """Calibrate fitted members and seal them, and what judges timeframes and rates, into a bundle."""
    raws = {member.name: member.raws for member in members if member.name not in settings.witnesses}
    ensemble = Ensemble.fit(raws, settings.budget)
    files = {name: content for member in members for name, content in member.files.items()}
    detectors = {member.name: member.settings for member in members}
    files[ENSEMBLE] = orjson.dumps(ensemble.to_dict())
    files[TEMPLATES] = orjson.dumps(material.tree.snapshot())
    judge = load_judge(detectors, files, "cpu", 1, lambda key: material.tree.template(key).exemplar)
    session = judge.needs(SessionSettings(SHOWN, material.idle_s, source.lateness_s))
    for beside in (frames, rates):
        if beside is not None:
            files |= beside.files
            detectors[beside.name] = beside.settings
    files[WORKFLOW], built = _workflow(material, members, settings.seed)
    files[REPLAY] = sample_windows(material.corpus.keys, session.width, settings.seed)
    normals = Normals.fit(material.corpus.keys, settings.seed)
    files[NORMALS] = normals.to_json()
    times = [session.times for session in material.sessions]
    reference = Reference.fit(material.corpus.keys, times, ensemble.evidence(raws))
    manifest = Manifest(
        source=source.to_dict(),
        version=version,
        created=created,
        parent=None,
        tree_id=material.tree.tree_id,
        tree_version=material.tree.version,
        session=session,
        detectors=detectors,
        ensemble={"weights": ensemble.weights, "threshold": ensemble.threshold, "budget": settings.budget},
        provenance=_provenance(given, settings, material),
        metrics={
            **_metrics(members, raws, ensemble),
            "workflow": built,
            "normals": {"kept": len(normals), "sessions": normals.sessions},
            "reference": reference.to_dict(),
        },
    )
    files[CARD] = write_card(manifest).encode()
    return Bundle.seal(manifest, files)


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
        "sessions_left_out_anomalous": len(material.anomalous),
        "sessions_left_out_open": material.excluded_open,
        "first_session": material.sessions[0].started,
        "last_session": material.sessions[-1].started,
    }


def _metrics(members: Sequence[FittedMember], raws: dict[str, Float64], ensemble: Ensemble) -> dict[str, Any]:
    """By member alone, the raw output from which on it rings and false alarms as a share of held-out normal sessions;
    false alarms of all together."""
    rates = {member.name: float((member.raws[~np.isnan(member.raws)] >= member.threshold).mean()) for member in members}
    together = float((ensemble.evidence(raws) >= ensemble.threshold).mean())
    return {
        "held_out_false_alarm_rate": {**rates, "ensemble": together},
        "thresholds": {member.name: member.threshold for member in members},
        "curves": {member.name: member.curves for member in members if member.curves},
    }
