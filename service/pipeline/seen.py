"""A judged batch as those get it who look on: the spool, a shadow.

Owns the shape. Whoever looks on is called once the batch's effects are stored, on the event loop: it keeps references
and returns at once, changes nothing that it is given, and raises nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.judge import Judge
from models.judging import Judged, texts_of
from models.members.event import Observed
from models.parser import Events
from models.record import Records
from models.rules import Rules
from models.windows import Windows


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch of ``source`` (or one sweep of it, then without rows) and what ``judge`` of ``version`` made of it.

    ``rows`` are the events that were judged, in the order of ``judged.rows``; ``tail`` how many keys the source keeps
    of a session; ``rules`` and ``now`` (seconds) what silenced.
    """

    source: str
    version: str
    tree_id: str
    judge: Judge
    tail: int
    rows: Observed
    judged: Judged
    rules: Rules
    now: float


Watch = Callable[[Seen], None]


def observed(judge: Judge, events: Events, windows: Windows, records: Records | None) -> Observed:
    """The events of a batch as ``judge`` read them."""
    return Observed(windows, events.key[windows.row], texts_of(judge, records, events, windows))


def nobody(_: Seen) -> None:
    """Looks away."""


def everybody(watching: Sequence[Watch]) -> Watch:
    """One who passes on what it sees to all of ``watching``."""

    def watch(seen: Seen) -> None:
        for one in watching:
            one(seen)

    return watch
