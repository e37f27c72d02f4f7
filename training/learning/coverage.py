"""Which feedback rules a candidate makes needless.

Owns the test: what the answer was about is quiet by the candidate, and so is all spooled traffic that its rule
silenced. A rule reaches further than the one alarm that it answers; where something in its reach would ring again, it
stays. What came so far does not show all of its reach: a rule about a window covers the same keys in any order, and
about a new template whatever came before it, where a network learns the order that it was shown. So the window of the
alarm is asked about with any two of its keys exchanged as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from models.bundle import Bundle
from models.judge import Judge
from models.rules import Rule, Rules
from models.sessions import BEFORE_SESSION
from models.spool.layout import Layout
from models.spool.reader import Spooled
from training.learning.answers import Answer
from training.learning.candidate import still_rings

Ruled = tuple[Answer, Rule]
"""A false alarm and the rule that it became."""


def covered(live: Bundle, candidate: Bundle, rules: Sequence[Ruled], spooled: Spooled | None = None) -> list[Answer]:
    """The answers whose rules can go. ``live`` is the version by which ``spooled`` traffic was silenced."""
    old, new = live.judge(), candidate.judge()
    quiet = [
        (answer, rule)
        for answer, rule in rules
        if not still_rings(candidate, new, answer) and not _rings_exchanged(new, answer, rule)
    ]
    if spooled is None or not len(spooled) or not quiet:
        return [answer for answer, _ in quiet]
    every = Rules([rule for _, rule in quiet])
    loud = new.rows(spooled.rows(Layout.needed(new))).anomalous
    needed = {rule for at, rule in old.rows(spooled.rows(Layout.needed(old)), every).silenced.items() if loud[at]}
    loud = new.closings(spooled.closings).anomalous
    needed |= {rule for at, rule in old.closings(spooled.closings, every).silenced.items() if loud[at]}
    return [answer for answer, rule in quiet if rule.id not in needed]


def _rings_exchanged(judge: Judge, answer: Answer, rule: Rule) -> bool:
    """Whether an alarm would ring with two keys of a window that it shows exchanged."""
    ordered = {clause.detector for clause in rule.clauses if clause.scope in ("window", "template")}
    for at, lesson in enumerate(answer.wrong):
        if lesson.detector not in ordered or "key" not in lesson.seen:
            continue
        rest = answer.wrong[:at] + answer.wrong[at + 1 :]
        for history in _exchanged(lesson.seen.get("history", ())):
            other = replace(lesson, seen={**lesson.seen, "history": history})
            if judge.lesson_evidence([*rest, other]) >= judge.ensemble.threshold:
                return True
    return False


def _exchanged(history: Sequence[object]) -> Iterator[list[object]]:
    """Histories that differ from one of keys in the places of two; none where it holds anything but keys."""
    keys = list(history)
    if not all(isinstance(key, int) for key in keys):
        return
    for first in range(len(keys)):
        for second in range(first + 1, len(keys)):
            if BEFORE_SESSION not in (keys[first], keys[second]) and keys[first] != keys[second]:
                other = list(keys)
                other[first], other[second] = other[second], other[first]
                yield other
