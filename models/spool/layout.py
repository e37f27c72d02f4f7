"""How much of an event and of a session a version reads, and a spool holds.

Owns what fits what. Does not know columns nor files.
"""

from dataclasses import dataclass
from typing import Self

from models.judge import Judge
from models.members.event import Observed
from models.notes import NoteSettings
from models.sessions import SessionSettings


@dataclass(frozen=True, slots=True)
class Layout:
    """``width`` keys of history before an event, the ``notes`` beside its keys, whether its masked message (``texts``),
    and the newest ``tail`` keys of a closed session."""

    width: int
    notes: NoteSettings
    texts: bool
    tail: int

    @classmethod
    def of(cls, rows: Observed, texts: bool, tail: int) -> Self:
        """What ``rows`` hold; ``texts`` says whether they bring their messages, ``tail`` how many keys of a session
        are kept."""
        windows = rows.windows
        values, codes = windows.values, windows.codes
        notes = NoteSettings(
            pauses=windows.elapsed is not None,
            values=0 if values is None else values.history.shape[1],
            width=0 if values is None else values.values.shape[1],
            codes=0 if codes is None else codes.earlier.shape[1],
            fields=0 if codes is None else codes.codes.shape[1],
        )
        return cls(windows.history.shape[1], notes, texts, tail)

    @classmethod
    def needed(cls, judge: Judge) -> Self:
        """What ``judge`` reads."""
        settings = judge.needs(SessionSettings(0, 0.0))
        return cls(judge.width, settings.notes, judge.reads_texts, settings.tail)

    def holds(self, need: "Layout") -> bool:
        """Whether events of this layout hold all that ``need`` reads of an event."""
        own, other = self.notes, need.notes
        return (
            self.width >= need.width
            and own.pauses >= other.pauses
            and (not other.values or (own.values >= other.values and own.width == other.width))
            and (not other.codes or (own.codes >= other.codes and own.fields == other.fields))
            and self.texts >= need.texts
        )
