"""A source's first version, from records that nothing judged: they are taken for normal, as no one has said otherwise.

Owns which sessions have closed, and the gate that a first version has to pass: trained on the older nine tenths, it has
to be quiet about the newest tenth. Only then it is trained on all of them. Does not know where records come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import DataError
from models.parser import Events, Parser
from models.sessions import NO_KEY, Bool, watermarks
from models.source.config import Source
from models.spool.records import Unjudged
from models.template.tree import TemplateTree
from training.corpus import CutSession, Split, cut_sessions, measured_idle_s
from training.stream import Stream
from training.train import MINIMUM_SESSIONS, Input, Material, TrainSettings, fit_and_seal

HELD = 0.1
"""Share of the closed sessions, the newest, that the gate judges by a version that has not seen them."""
MOST_ALARMS = 0.05
"""Share of those that may ring: with more, what is normal has not been seen yet."""
FEW_ALARMS = 2
"""So many may ring however few there are."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the gate saw: ``alarms`` among ``held`` sessions."""

    held: int
    alarms: int

    @property
    def passed(self) -> bool:
        """Whether a version trained likewise may go live."""
        return self.alarms <= max(FEW_ALARMS, MOST_ALARMS * self.held)

    @property
    def reason(self) -> str:
        """Why not."""
        return (
            f"of the newest {self.held:,} sessions {self.alarms:,} ring by what the older ones show, at most "
            f"{max(FEW_ALARMS, int(MOST_ALARMS * self.held)):,} may: normal behaviour has not all been seen yet"
        )

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        reasons = [] if self.passed else [self.reason]
        return {"passed": self.passed, "reasons": reasons, "held_sessions": self.held, "held_alarms": self.alarms}


def first_version(
    source: Source,
    tree: TemplateTree,
    given: Unjudged,
    settings: TrainSettings,
    *,
    sessions: int,
    version: str,
    created: float,
) -> Bundle:
    """Train, prove and seal. ``tree`` names the ids of ``given``; ``sessions`` must have closed at least.

    Raises DataError where it is too little, or the gate is not passed; the text says which.
    """
    events = Parser(source, tree).events(given.records, given.ids, given.ends)
    idle_s = measured_idle_s(events) if source.idle_s is None else source.idle_s
    cut = cut_sessions(events, idle_s, source.lateness_s)
    closed = _closed(cut, events, idle_s, source.lateness_s)
    if len(closed) < max(sessions, MINIMUM_SESSIONS):
        raise DataError(
            f"{len(closed):,} of {len(cut):,} sessions have closed, and {max(sessions, MINIMUM_SESSIONS):,} are wanted "
            f"(a session closes after {idle_s:,.0f} s of silence); wait, or choose another session rule"
        )
    whole = Input(given.records.message.to_list(), {}, None, created)

    def fitted(some: Sequence[CutSession]) -> Bundle:
        names = list(dict.fromkeys(session.session for session in cut))
        split = Split(names, [], len(given.records))
        material = Material(
            tree, given.records, split, list(some), [], idle_s, excluded_open=len(cut) - len(closed), rejected=0
        )
        return fit_and_seal(source, whole, settings, material, version=version, created=created)

    held = max(1, int(HELD * len(closed)))
    proof = _prove(fitted(closed[:-held]), given, events, closed[-held:])
    if not proof.passed:
        raise DataError(proof.reason)
    bundle = fitted(closed)
    manifest = bundle.manifest
    manifest = replace(
        manifest,
        metrics={**manifest.metrics, "gate": proof.to_dict()},
        provenance={**manifest.provenance, "traffic": "the source's first lines, taken for normal"},
    )
    return Bundle.seal(manifest, bundle.files)


def _closed(cut: Sequence[CutSession], events: Events, idle_s: float, lateness_s: float) -> list[CutSession]:
    """Sessions that are over: a later epoch began, an end came, or they were silent for long enough."""
    marks = watermarks(events.time, -np.inf, lateness_s)
    mark = float(marks[-1]) if len(marks) else -np.inf
    newest = {session.session: at for at, session in enumerate(cut)}
    over = dict(zip(events.session, events.ends.tolist(), strict=True))
    return [
        session
        for at, session in enumerate(cut)
        if at < newest[session.session] or over[session.session] or session.last + idle_s < mark
    ]


def _prove(bundle: Bundle, given: Unjudged, events: Events, held: Sequence[CutSession]) -> Proof:
    """Judge the held sessions by the bundle as it would be served."""
    stream = Stream(bundle)
    names: set[str] = set()
    for batch in (stream.take(given.records, _of(events, held)), stream.close()):
        names |= {verdict["session"] for verdict in batch.verdicts if verdict["anomalous"] and verdict["session"]}
    return Proof(len({session.session for session in held}), len(names))


def _of(events: Events, held: Sequence[CutSession]) -> Events:
    """The rows of some sessions, without their ends."""
    wanted = {(session.session, record) for session in held for record in session.records.tolist()}
    pairs = zip(events.session, events.record.tolist(), strict=True)
    rows: Bool = np.array([pair in wanted for pair in pairs], dtype=np.bool_) & (events.key != NO_KEY)
    at = np.flatnonzero(rows)
    return Events(
        events.index[at], events.record[at], [events.session[row] for row in at.tolist()], events.key[at],
        events.time[at], events.ends[at],
    )  # fmt: skip
