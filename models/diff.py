"""Two versions over the same events and closed sessions: what would ring that was quiet, and the other way round.

Owns what is compared and how alike changes are folded. Each event is judged in its own row and each end by what the
end itself shows: peaks that a session remembers are outputs of the version that judged it then, and speak for neither.
Feedback rules are left out; they would silence both alike. Does not know where events come from, nor templates' texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from models.finding import wording
from models.judge import Judge
from models.judgement import Judgement, end_histories
from models.members.event import Observed
from models.sessions import BEFORE_SESSION, Bool, Closing, Int64
from models.spool.layout import Layout
from models.spool.reader import Spooled
from models.spool.rows import observed
from models.vocabulary import END

Turn = Literal["rings", "quiet"]
"""What the newer version does where the older one does the opposite."""
SHOWN = 100
"""Folded changes that are told of."""


@dataclass(frozen=True, slots=True)
class Change:
    """Events of one template (sessions: ``template_id`` None), or ends of sessions, that change their verdict alike.

    ``detectors`` took part in the alarm of the version that rings, the strongest first; ``distinct`` such events or
    sessions that came ``count`` times. ``window`` holds the template ids before one of them, oldest first, and
    ``session`` the name of one session.
    """

    kind: Literal["line", "session"]
    turn: Turn
    template_id: int | None
    detectors: tuple[str, ...]
    count: int
    distinct: int
    window: tuple[int, ...]
    session: str | None

    def to_dict(self, text_of: Callable[[int], str]) -> dict[str, Any]:
        """Plain JSON with templates' texts."""
        words = wording(text_of)
        return {
            "kind": self.kind,
            "change": self.turn,
            "template_id": self.template_id,
            "template": None if self.template_id is None else words(self.template_id),
            "detectors": list(self.detectors),
            "count": self.count,
            "distinct": self.distinct,
            "session": self.session,
            "window": [{"template_id": key, "template": words(key)} for key in self.window],
        }


@dataclass(frozen=True, slots=True)
class Totals:
    """How often events, or ends of sessions, got which verdicts: ``both`` ring, ``rings`` by the newer version alone,
    ``quiet`` by the newer alone, ``neither``."""

    both: int = 0
    rings: int = 0
    quiet: int = 0
    neither: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        """Of both."""
        return Totals(
            self.both + other.both,
            self.rings + other.rings,
            self.quiet + other.quiet,
            self.neither + other.neither,
        )

    def to_dict(self) -> dict[str, int]:
        """Plain JSON."""
        return {
            "all": self.both + self.rings + self.quiet + self.neither,
            "both": self.both, "rings": self.rings, "quiet": self.quiet, "neither": self.neither,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of ``events`` and of the ``ends`` of sessions; ``changes`` the most frequent first."""

    events: Totals
    ends: Totals
    changes: tuple[Change, ...]

    def to_dict(self, text_of: Callable[[int], str], shown: int = SHOWN) -> dict[str, Any]:
        """Plain JSON with templates' texts, of at most ``shown`` changes."""
        return {
            "events": self.events.to_dict(),
            "sessions": self.ends.to_dict(),
            "changes": [change.to_dict(text_of) for change in self.changes[:shown]],
            "more_changes": max(0, len(self.changes) - shown),
        }


def diff(old: Judge, new: Judge, spooled: Spooled) -> Difference:
    """Judge what is spooled, which was read for both, by both."""
    found: dict[tuple[object, ...], Change] = {}
    needs = Layout.needed(old), Layout.needed(new)
    was: list[Bool] = []
    now: list[Bool] = []
    start = 0
    for frame in spooled.frames:
        sides = old, observed(frame, needs[0]), new, observed(frame, needs[1])
        counts = spooled.counts[start : start + frame.height]
        start += frame.height
        rang, rings = _rows(found, sides, counts)
        was.append(rang)
        now.append(rings)
    closings = without_peaks(spooled.closings)
    before, after = old.closings(closings), new.closings(closings)
    for at in np.flatnonzero(before.anomalous != after.anomalous).tolist():
        judge, judgement, turn = _ringing(old, before, new, after, at)
        reasons = tuple(reason.detector for reason in judge.explainer.closing_reasons(judgement, at, closings[at]))
        window = tuple(k for k in end_histories([closings[at]], judge.width)[0].tolist() if k != BEFORE_SESSION)
        count = int(spooled.end_counts[at])
        _fold(found, Change("session", turn, None, reasons, count, 1, window, closings[at].session))
    events = totals(_joined(was), _joined(now), spooled.counts)
    ends = totals(before.anomalous, after.anomalous, spooled.end_counts)
    order = sorted(found.values(), key=lambda c: (-c.count, c.kind, c.turn, c.template_id or END, c.detectors))
    return Difference(events, ends, tuple(order))


def without_peaks(closings: Sequence[Closing]) -> list[Closing]:
    """Closed sessions as if nothing were remembered of their events' raw outputs."""
    return [replace(closing, peaks={}) for closing in closings]


def totals(was: Bool, now: Bool, counts: Int64 | None = None) -> Totals:
    """Verdicts bool [k] of the older and the newer version, ``counts`` int64 [k] times each (None: once)."""
    times = np.ones(len(was), dtype=np.int64) if counts is None else counts
    both, rings, quiet = (int(times[which].sum()) for which in (was & now, ~was & now, was & ~now))
    return Totals(both, rings, quiet, int(times.sum()) - both - rings - quiet)


def _rows(
    found: dict[tuple[object, ...], Change], sides: tuple[Judge, Observed, Judge, Observed], counts: Int64
) -> tuple[Bool, Bool]:
    """Fold the changes of one part's events; what rang by each version."""
    old, old_rows, new, new_rows = sides
    before, after = old.rows(old_rows), new.rows(new_rows)
    for at in np.flatnonzero(before.anomalous != after.anomalous).tolist():
        judge, judgement, turn = _ringing(old, before, new, after, at)
        rows = new_rows if turn == "rings" else old_rows
        reasons = tuple(reason.detector for reason in judge.explainer.row_reasons(judgement, at, rows))
        window = tuple(k for k in rows.windows.history[at].tolist() if k != BEFORE_SESSION)
        _fold(found, Change("line", turn, int(rows.key[at]), reasons, int(counts[at]), 1, window, None))
    return before.anomalous, after.anomalous


def _ringing(old: Judge, before: Judgement, new: Judge, after: Judgement, at: int) -> tuple[Judge, Judgement, Turn]:
    """Which of the two rings."""
    return (new, after, "rings") if after.anomalous[at] else (old, before, "quiet")


def _fold(found: dict[tuple[object, ...], Change], change: Change) -> None:
    about = change.kind, change.turn, change.template_id, change.detectors
    known = found.get(about)
    found[about] = (
        change
        if known is None
        else replace(known, count=known.count + change.count, distinct=known.distinct + change.distinct)
    )


def _joined(parts: Sequence[Bool]) -> Bool:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.bool_)
