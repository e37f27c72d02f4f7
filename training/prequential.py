"""Simulated answers: what is left of a bundle's alarms when a team marks the false ones, some lines after they rang,
and what is left of the true ones when an author marks those.

Prequential: every event is judged by the rules in force when it came, and never judged again. Labels of sessions are
looked at only to answer an incident that rang; the rules are those that ``POST /feedback`` writes. A session that rang
stays counted as an alarm, however it is answered.

Owns the protocols and their figures. Does not know in which order events and answers come (``player``).
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import DataError
from models.parser import End
from training.corpus import Progress, chunks, silent, split_log, split_sessions
from training.desk import ALONE, Desk
from training.evaluation import Row
from training.logs import Labels
from training.metrics import Confusion, confusion
from training.operators import Adversary, Operator, Team
from training.player import Player
from training.stream import Batch, Stream, whole_sessions

BATCH_LINES = 1_000
STREAMED_LINES = 100
"""As streamed, sessions that end by silence are judged after the batch in which the watermark passed them: shorter ones
are nearer to the moment."""
GATHER = 1_000
"""Lines that pass from an answer to the version that learned it, in a simulation: what the learner's wait for further
answers and its time to teach are online."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one protocol: the ensemble ``without`` feedback and ``with_feedback`` on the test sessions, how
    many ``clicks`` the team made, how many of these were a second author's (``seconds``), and how many were for a cause
    that a click had already silenced (``repeated``)."""

    title: str
    delay: int
    without: Confusion
    with_feedback: Confusion
    clicks: int
    seconds: int
    repeated: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "protocol": self.title,
            "delay_lines": self.delay,
            "clicks": self.clicks,
            "second_author": self.seconds,
            "repeated_causes": self.repeated,
            "rows": [Row("ensemble", self.without).to_dict(), Row("ensemble, feedback", self.with_feedback).to_dict()],
        }


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one author who marks every true anomaly as false leaves of them in one protocol: the ensemble ``without``
    him, ``under`` him, and on the same lines once all that he gave is ``deleted``. Of his ``clicks``, ``refused`` were
    too many rules an hour, and ``already`` were for what an earlier one says."""

    title: str
    without: Confusion
    under: Confusion
    deleted: Confusion
    clicks: int
    refused: int
    already: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        named = (
            ("ensemble", self.without), ("ensemble, attacked", self.under), ("ensemble, deleted", self.deleted),
        )  # fmt: skip
        return {
            "protocol": self.title,
            "clicks": self.clicks,
            "refused": self.refused,
            "already": self.already,
            "rows": [Row(name, counts).to_dict() for name, counts in named],
        }


def replay(
    bundle: Bundle,
    lines: Sequence[str],
    labels: Labels,
    arrival: float,
    delay: int,
    *,
    train_share: float | None = None,
    alone: int | None = ALONE,
    progress: Progress = silent,
) -> list[Replayed]:
    """Whole sessions (each closed at its last line) and as streamed, on the sessions after ``train_share`` (None: the
    bundle's); ``alone``: verdicts that one author may silence alone. Raises DataError where the test part has no
    labelled session or ``delay`` is negative."""
    return [by_rules(way, delay, alone) for way in ways(bundle, lines, labels, arrival, train_share, progress)]


def by_rules(way: "Way", delay: int, alone: int | None) -> Replayed:
    """One way of it. Raises DataError where ``delay`` is negative."""
    if delay < 0:
        raise DataError(f"a delay of {delay} lines: the operator cannot answer before the alarm")
    team = way.team(delay, alone)
    quiet, loud = way.play(Operator(0, Desk(None)), team)
    return Replayed(way.title, delay, quiet, loud, team.clicks, team.seconds, team.repeated)


def attack(
    bundle: Bundle,
    lines: Sequence[str],
    labels: Labels,
    arrival: float,
    clicks: int,
    *,
    train_share: float | None = None,
    alone: int | None = ALONE,
    progress: Progress = silent,
) -> list[Attacked]:
    """Both protocols under an author who answers up to ``clicks`` true anomalies as false, each at once. Raises
    DataError where the test part has no labelled session or there are no clicks."""
    if clicks < 1:
        raise DataError(f"{clicks} clicks: an adversary makes at least one")
    found = []
    for way in ways(bundle, lines, labels, arrival, train_share, progress):
        adversary = Adversary(labels, frozenset(way.labelled), clicks, Desk(alone))
        without, under = way.play(Operator(0, Desk(None)), adversary)
        adversary.desk.delete(Adversary.NAME)
        (deleted,) = way.play(Operator(0, adversary.desk))
        told = (adversary.clicks, adversary.refused, adversary.repeated)
        found.append(Attacked(way.title, without, under, deleted, *told))
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """One way to close sessions, ``title`` in words, and what it needs to run a log."""

    title: str
    whole: bool
    bundle: Bundle
    lines: Sequence[str]
    labels: Labels
    labelled: list[str]
    last: dict[str, int]
    arrival: float
    progress: Progress

    def play(self, *operators: Operator) -> list[Confusion]:
        """The log, answered by each of some operators on their own; counts of the labelled sessions for each."""
        stream = self.stream()
        rang: list[set[str]] = [set() for _ in operators]
        players = [Player(stream.judge, alarms) for alarms in rang]
        for batch, start, stop in self.batches(stream):
            for player, operator in zip(players, operators, strict=True):
                player.play(batch, operator, start, stop)
            self.progress(stop, len(self.lines))
        return [self.counts(alarms) for alarms in rang]

    def team(self, delay: int, alone: int | None) -> Team:
        """Who answers what rings in the test part, ``delay`` lines later."""
        return Team(self.labels, frozenset(self.labelled), delay, Desk(alone))

    def stream(self) -> Stream:
        """The log's pipeline before its first line."""
        live = self.bundle.manifest.session
        return Stream(self.bundle, whole_sessions(live) if self.whole else live)

    def counts(self, alarms: Container[str]) -> Confusion:
        """What the sessions that rang come to among the labelled ones."""
        actual = np.array([self.labels.anomalous[session] for session in self.labelled])
        return confusion(np.array([session in alarms for session in self.labelled]), actual)

    def batches(self, stream: Stream) -> Iterator[tuple[Batch, int, int]]:
        """Batches of the log with their first line and the one after their last; in the end a batch without lines, of
        the sessions that are left. Each is made when it is asked for, by what ``stream`` judges by then."""
        for start, stop in chunks(self.bundle.source, self.lines, BATCH_LINES if self.whole else STREAMED_LINES):
            ends = [End(line - start, name) for name, line in self.last.items() if self.whole and start <= line < stop]
            ends.sort(key=lambda end: end.index)
            yield stream.feed(self.lines[start:stop], self.arrival, ends=ends), start, stop
        yield stream.close(), len(self.lines), len(self.lines)


def ways(
    bundle: Bundle,
    lines: Sequence[str],
    labels: Labels,
    arrival: float,
    train_share: float | None,
    progress: Progress,
) -> list[Way]:
    """Whole sessions, and as streamed. Raises DataError where the test part has no labelled session."""
    share = float(bundle.manifest.provenance["train_share"]) if train_share is None else train_share
    share = 0.0 if share >= 1.0 else share
    records = split_log(bundle.source, lines, arrival)
    test = split_sessions(records, share).test if share else split_sessions(records, 1.0).train
    labelled = [session for session in test if session in labels.anomalous]
    if not labelled:
        raise DataError("no session of the test part is in the labels; check labels and session rule")
    rows = records.index[records.session_record]
    last = {session: int(line) for session, line in zip(records.session.to_list(), rows.tolist(), strict=True)}
    titles = (
        ("whole session, each closed at its last line", True),
        (f"as streamed, idle {bundle.manifest.session.idle_s:.0f} s", False),
    )
    return [Way(title, whole, bundle, lines, labels, labelled, last, arrival, progress) for title, whole in titles]
