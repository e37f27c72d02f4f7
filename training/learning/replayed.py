"""Simulated answers that are learned: what is left of a bundle's alarms when a team marks the false ones and a learner
teaches them, beside rules alone and no answers at all.

Prequential: every event is judged by the version that is live and the rules in force when it came, and never judged
again. Owns the figures and when what is learned takes effect: between two batches. Does not know how anything is
learned (``simulated``), nor how a log is run (``training.prequential``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.bundle import Bundle
from training.corpus import Progress, silent
from training.desk import ALONE
from training.evaluation import Row
from training.learning.simulated import Round, SimulatedLearner
from training.learning.spooling import ReplayedTraffic
from training.logs import Labels
from training.metrics import Confusion
from training.operators import Team
from training.player import Player
from training.prequential import GATHER, Replayed, Way, by_rules, ways

SPOOLED = 50_000
"""Distinct events, and as many sessions, that teaching may rehearse and the gate judges: the service's."""


@dataclass(frozen=True, slots=True)
class Relearned:
    """What came of one protocol: by ``rules`` alone, and with a learner beside them the ensemble's ``counts``, the
    team's ``clicks``, how many of these were a second author's (``seconds``) and for a cause answered before
    (``repeated``), and the learner's ``rounds``, each ``gather`` lines after something new was answered."""

    rules: Replayed
    gather: int
    counts: Confusion
    clicks: int
    seconds: int
    repeated: int
    rounds: tuple[Round, ...]

    def of_state(self, state: str) -> list[Round]:
        """Rounds that came to it."""
        return [one for one in self.rounds if one.state == state]

    @property
    def retired(self) -> int:
        """Rules that went because a version covers them."""
        return sum(len(one.retired) for one in self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: that of rules alone with another row, and what the learner did."""
        told = self.rules.to_dict()
        published, rejected = self.of_state("published"), self.of_state("rejected")
        return {
            **told,
            "rows": [*told["rows"], Row("ensemble, feedback learned", self.counts).to_dict()],
            "learning": {
                "gather_lines": self.gather,
                "clicks": self.clicks,
                "second_author": self.seconds,
                "repeated_causes": self.repeated,
                "candidates": len(published) + len(rejected),
                "published": len(published),
                "rejected": len(rejected),
                "reasons": [reason for one in rejected for reason in one.reasons],
                "rules_retired": self.retired,
                "rounds": [one.to_dict() for one in self.rounds],
            },
        }


def replay_learned(
    bundle: Bundle,
    lines: Sequence[str],
    labels: Labels,
    arrival: float,
    delay: int,
    gather: int = GATHER,
    *,
    train_share: float | None = None,
    alone: int | None = ALONE,
    streamed: bool = True,
    progress: Progress = silent,
) -> list[Relearned]:
    """As ``prequential.replay``, with a learner; ``streamed`` False: whole sessions only. Raises as it does, and where
    ``gather`` is negative."""
    found = []
    for way in ways(bundle, lines, labels, arrival, train_share, progress)[: 2 if streamed else 1]:
        learner = SimulatedLearner(bundle, gather)
        rules, team = by_rules(way, delay, alone), way.team(delay, alone)
        counts = play(way, team, learner)
        told = team.clicks, team.seconds, team.repeated, tuple(learner.rounds)
        found.append(Relearned(rules, gather, counts, *told))
    return found


def play(way: Way, team: Team, learner: SimulatedLearner) -> Confusion:
    """The log by whatever version of ``learner`` is live, answered by ``team``; counts of the labelled sessions."""
    stream, rang = way.stream(), set[str]()
    player, traffic = Player(stream.judge, rang), ReplayedTraffic(stream.tail, SPOOLED)
    for batch, start, stop in way.batches(stream):
        traffic.add(batch, player.play(batch, team, start, stop))
        way.progress(stop, len(way.lines))
        if stop == len(way.lines):
            continue
        team.read(stop)
        if learner.due(team.desk, stop) and learner.round(team.desk, stream.tree, traffic.read(), stop):
            stream.activate(learner.live)
            player.follow(stream.judge)
    return way.counts(rang)
