"""What becomes of clicks in a simulation: the feedback desk of the service, as far as it decides what is silent.

A rule of one author is on trial until a second author says the same: all rules on trial of one author together silence
``alone`` verdicts, and then none until somebody agrees. The service keeps the same account in Redis
(``service.state.trials``); like there it is settled after each batch, so a batch may overshoot.

Owns which rules are in force, and which answers are before a learner: as in the service, what one author alone said is
not, and a rule that a version learned is retired. Does not know who clicks, nor why, nor how anything is learned.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from models.lesson import Lesson
from models.rules import Clause, Rule, Rules
from training.learning.answers import Answer

ALONE = 4
"""Verdicts that one author may silence alone; the service's default (``TOCSIN_FEEDBACK_ALONE``)."""


@dataclass(slots=True)
class _Given:
    rule: Rule
    author: str
    on_trial: bool
    lessons: tuple[Lesson, ...] = ()
    hits: int = 0
    retired: bool = False

    @property
    def answer(self) -> Answer:
        silenced = frozenset(clause.detector for clause in self.rule.clauses)
        return Answer(self.rule.id, "false_positive", self.lessons, silenced)


class Desk:
    """Rules by author. ``alone``: None where nobody needs a second author."""

    def __init__(self, alone: int | None) -> None:
        self.alone = alone
        self._given: dict[str, _Given] = {}
        self._account: Counter[str] = Counter()
        self._unsettled: Counter[str] = Counter()
        self.rules = Rules()
        """Those in force."""
        self.pending = Rules()
        """Those that wait for a second author, and silence nothing meanwhile."""
        self._retired = Rules()

    def give(self, rule: Rule, author: str, lessons: tuple[Lesson, ...] = ()) -> None:
        """One author's answer to an alarm of which the detectors saw ``lessons``."""
        self._given[rule.id] = _Given(rule, author, self.alone is not None, lessons)
        self._sort()

    def second(self, rule_id: str) -> None:
        """Another author's, the same: the rule stands, and what it silenced is no longer held against its author."""
        if self.on_trial(rule_id):
            given = self._given[rule_id]
            given.on_trial = False
            self._account[given.author] -= given.hits
            self._sort()

    def delete(self, author: str) -> None:
        """Take back all that one author gave; what it silenced stays held against him."""
        self._given = {name: given for name, given in self._given.items() if given.author != author}
        self._sort()

    def hit(self, rule_id: str) -> None:
        """A rule silenced a verdict."""
        self._unsettled[rule_id] += 1

    def settle(self) -> None:
        """The batch is over: what it silenced is held against the authors."""
        for name, hits in self._unsettled.items():
            if name in self._given:
                given = self._given[name]
                given.hits += hits
                self._account[given.author] += hits if given.on_trial else 0
        if self._unsettled:
            self._unsettled.clear()
            self._sort()

    def on_trial(self, rule_id: str) -> bool:
        """Whether a rule waits for a second author, in force or not."""
        return rule_id in self._given and self._given[rule_id].on_trial

    def holding(self, alarm: Clause) -> str | None:
        """Id of a rule, in force or pending, that covers one clause of an alarm."""
        return self.rules.silencing([alarm], 0.0) or self.pending.silencing([alarm], 0.0)

    def answered(self, alarm: Clause) -> bool:
        """Whether one clause of an alarm was answered before: a rule covers it, or one did until it was learned."""
        return self.holding(alarm) is not None or self._retired.silencing([alarm], 0.0) is not None

    def lessons(self) -> list[tuple[Answer, Rule | None]]:
        """The false alarms that are before a learner, with their rules (None: retired)."""
        return [
            (given.answer, None if given.retired else given.rule)
            for given in self._given.values()
            if given.lessons and not given.on_trial
        ]

    def retire(self, ids: Collection[str]) -> None:
        """Take rules out of force that a version learned."""
        for name in ids:
            self._given[name].retired = True
        self._sort()

    def _sort(self) -> None:
        good: list[Rule] = []
        waiting: list[Rule] = []
        gone: list[Rule] = []
        for given in self._given.values():
            over = given.on_trial and self.alone is not None and self._account[given.author] >= self.alone
            (gone if given.retired else waiting if over else good).append(given.rule)
        self.rules, self.pending, self._retired = Rules(good), Rules(waiting), Rules(gone)
