"""Which feedback rules a candidate makes needless.

Owns the test: what the answer was about is quiet by the candidate, and so is all spooled traffic that its rule
silenced. A rule reaches further than the one alarm that it answers; where something in its reach would ring again, it
stays.
"""

from collections.abc import Sequence

from models.bundle import Bundle
from models.rules import Rule, Rules
from models.spool.layout import Layout
from models.spool.reader import Spooled
from training.learning.answers import Answer
from training.learning.candidate import still_rings

Ruled = tuple[Answer, Rule]
"""A false alarm and the rule that it became."""


def covered(live: Bundle, candidate: Bundle, rules: Sequence[Ruled], spooled: Spooled | None = None) -> list[Answer]:
    """The answers whose rules can go. ``live`` is the version by which ``spooled`` traffic was silenced."""
    old, new = live.judge(), candidate.judge()
    quiet = [(answer, rule) for answer, rule in rules if not still_rings(candidate, new, answer)]
    if spooled is None or not len(spooled) or not quiet:
        return [answer for answer, _ in quiet]
    every = Rules([rule for _, rule in quiet])
    loud = new.rows(spooled.rows(Layout.needed(new))).anomalous
    needed = {rule for at, rule in old.rows(spooled.rows(Layout.needed(old)), every).silenced.items() if loud[at]}
    loud = new.closings(spooled.closings).anomalous
    needed |= {rule for at, rule in old.closings(spooled.closings, every).silenced.items() if loud[at]}
    return [answer for answer, rule in quiet if rule.id not in needed]
