"""Who answers alarms in a simulation: a team that marks what is false, or an author who marks what is true.

Owns which alarm is answered, by whom and when. Does not know how alarms come about (``prequential``), nor what becomes
of an answer (``desk``).
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from models.lesson import Lesson
from models.rules import Clause, Rule, Rules
from training.desk import Desk
from training.logs import Labels

HOUR_S = 3600.0
RULES_AN_HOUR = 20
"""Rules of one author within an hour; the service's default (``TOCSIN_FEEDBACK_RULES_PER_AUTHOR``)."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An incident of a session that rang at line ``line``, at ``time`` in seconds: ``causes``, a clause for each
    detector that took part; ``rule``, what silences the same; ``lessons``, what those detectors saw."""

    session: str
    incident: str
    causes: tuple[Clause, ...]
    rule: tuple[Clause, ...]
    lessons: tuple[Lesson, ...]
    line: int
    time: float


@dataclass(frozen=True, slots=True)
class _Click:
    """A rule that is given at line ``at``, with what the detectors saw that it silences, or with ``rule`` None the
    second author's answer to ``name``."""

    at: int
    name: str
    rule: Rule | None = None
    lessons: tuple[Lesson, ...] = ()


class Operator:
    """Nobody: sees alarms and answers none. The base of those who do."""

    NAME = "first"
    """Author of the rules."""

    def __init__(self, delay: int, desk: Desk) -> None:
        self.desk = desk
        self.clicks = 0
        """Answers given, by whomever."""
        self.seconds = 0
        """How many of these were a second author's."""
        self.repeated = 0
        """How many of these were for a cause that was silent already, by a rule or by a version that learned it."""
        self._delay = delay
        self._due: deque[_Click] = deque()
        self._answered: set[str] = set()
        self._asked: set[str] = set()

    @property
    def rules(self) -> Rules:
        """Those in force."""
        return self.desk.rules

    def read(self, line: int) -> None:
        """Bring the rules to those in force when line ``line`` comes."""
        while self._due and self._due[0].at <= line:
            click = self._due.popleft()
            if click.rule is not None:
                self.desk.give(click.rule, self.NAME, click.lessons)
            else:
                self.desk.second(click.name)

    def see(self, alarm: Alarm) -> None:
        """An incident rang."""

    def silenced(self, rule_id: str, line: int) -> None:
        """A rule silenced a verdict at line ``line``."""
        self.desk.hit(rule_id)

    def _give(self, alarm: Alarm) -> None:
        self.clicks += 1
        name = f"click {self.clicks}"
        self._due.append(_Click(alarm.line + self._delay + 1, name, Rule(name, alarm.rule), alarm.lessons))

    def _holding(self, causes: Sequence[Clause]) -> set[str] | None:
        """Rules that cover each clause of an alarm, those that are about to be given too; None where one lacks."""
        coming = Rules(click.rule for click in self._due if click.rule is not None)
        found = [coming.silencing([clause], 0.0) or self.desk.holding(clause) for clause in causes]
        return None if None in found else {name for name in found if name is not None}


class Team(Operator):
    """Two people who look at labels of sessions only to answer what rang, each cause once, ``delay`` lines after it
    rang. The second is asked once a rule silenced half of what its author may alone, and where its cause rings while it
    is pending; that takes ``delay`` lines too."""

    def __init__(self, labels: Labels, watched: frozenset[str], delay: int, desk: Desk) -> None:
        super().__init__(delay, desk)
        self._hits: Counter[str] = Counter()
        self._labels = labels
        self._watched = watched

    def see(self, alarm: Alarm) -> None:
        if alarm.session not in self._watched or self._labels.anomalous[alarm.session]:
            return
        if alarm.incident in self._answered:
            return
        self._answered.add(alarm.incident)
        held = self._holding(alarm.causes)
        if held is None or all(self.rules.silencing([clause], 0.0) is not None for clause in alarm.causes):
            self.repeated += held is not None or all(map(self.desk.answered, alarm.causes))
            self._give(alarm)
            return
        # While a click waits for its delay the same cause may ring in other sessions: one person answers it once.
        for name in sorted(held):
            self._ask(name, alarm.line)

    def silenced(self, rule_id: str, line: int) -> None:
        super().silenced(rule_id, line)
        self._hits[rule_id] += 1
        if 2 * self._hits[rule_id] >= (self.desk.alone or 0):
            self._ask(rule_id, line)

    def _ask(self, name: str, line: int) -> None:
        if name not in self._asked and self.desk.on_trial(name):
            self._asked.add(name)
            self.clicks += 1
            self.seconds += 1
            self._due.append(_Click(line + self._delay + 1, name))


class Adversary(Operator):
    """One author who calls every true anomaly false as it rings, up to ``most`` clicks, as fast as the service takes
    rules; nobody agrees."""

    NAME = "adversary"

    def __init__(self, labels: Labels, watched: frozenset[str], most: int, desk: Desk) -> None:
        super().__init__(0, desk)
        self._labels = labels
        self._watched = watched
        self._most = most
        self._times: list[float] = []
        self.refused = 0
        """Clicks that were refused: so many rules an hour are one author's."""

    def see(self, alarm: Alarm) -> None:
        if alarm.session not in self._watched or not self._labels.anomalous[alarm.session]:
            return
        if alarm.incident in self._answered or self.clicks >= self._most:
            return
        self._answered.add(alarm.incident)
        if self._holding(alarm.causes) is not None:  # "silences this already"
            self.clicks += 1
            self.repeated += 1
            return
        self._times = [other for other in self._times if other > alarm.time - HOUR_S]
        if len(self._times) >= RULES_AN_HOUR:
            self.clicks += 1
            self.refused += 1
            return
        self._times.append(alarm.time)
        self._give(alarm)
