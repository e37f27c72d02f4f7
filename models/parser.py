"""From lines to events: the splitter's records joined with the template tree's ids.

Owns the order of the two and what ends a session. Does not know where sessions are kept, nor who else holds the tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.record import Records
from models.sessions import NO_KEY, Bool, Float64, Int64
from models.source.config import Source
from models.splitter import Splitter
from models.template.tree import TemplateTree


@dataclass(frozen=True, slots=True)
class End:
    """An end record: session ``session`` is over. ``index`` is its place in the batch."""

    index: int
    session: str


@dataclass(frozen=True, slots=True)
class Events:
    """One row per (record, session), and one per end record, in line order; all columns of length m.

    ``index`` is the place of the line in its batch; ``record`` the position in ``Records``, -1 for an end record;
    ``key`` the template id, ``NO_KEY`` for an end record; ``time`` seconds, -inf for an end record, which moves no
    watermark; ``ends`` marks rows after which the session closes.
    """

    index: Int64
    record: Int64
    session: list[str]
    key: Int64
    time: Float64
    ends: Bool

    def __len__(self) -> int:
        return len(self.session)

    @classmethod
    def none(cls) -> "Events":
        """No rows."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, [], nothing, np.empty(0, dtype=np.float64), np.empty(0, dtype=np.bool_))


class Parser:
    """Splits lines and names their templates by one tree. Not safe for concurrent use, as the tree is not."""

    def __init__(self, source: Source, tree: TemplateTree) -> None:
        self.source = source
        self.tree = tree
        self._splitter = Splitter(source)

    def split(
        self,
        lines: Sequence[str],
        arrival: float | Sequence[float],
        sessions: Sequence[str | None] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Records:
        """Header, session ids, time and masks of each line, which came at ``arrival`` (one time for all, or each its
        own); bad lines are in ``rejected``."""
        return self._splitter.split(lines, arrival, sessions, times)

    def match(self, records: Records) -> Int64:
        """Template id of each record, int64 [n]; -1 where no template of the tree matches. Changes nothing."""
        return self.tree.match(records.masked, records.distinct)

    def events(self, records: Records, ids: Int64, ends: Sequence[End] = ()) -> Events:
        """Rows of a split batch whose records have the template ids ``ids`` int64 [n], end records merged by index."""
        at = records.session_record
        key = ids[at]
        session = records.session.to_list()
        index = records.index[at]
        record = at
        time = records.time[at]
        ending = self._endings(records)[at]
        if ends:
            index = np.concatenate([index, np.array([end.index for end in ends], dtype=np.int64)])
            order = np.argsort(index, kind="stable")
            everyone = session + [end.session for end in ends]
            session = [everyone[i] for i in order.tolist()]
            extra = len(ends)
            record = np.concatenate([record, np.full(extra, -1)])[order]
            key = np.concatenate([key, np.full(extra, NO_KEY)])[order]
            time = np.concatenate([time, np.full(extra, -np.inf)])[order]
            ending = np.concatenate([ending, np.ones(extra, dtype=np.bool_)])[order]
            index = index[order]
        return Events(index, record, session, key, time, ending)

    def _endings(self, records: Records) -> Bool:
        """Whether each record ends its sessions, bool [n].

        Told by the masked message and not by its template's text, which widens as the tree learns and is another one
        past the tree's cap: the same lines end the same sessions however they are cut into batches.
        """
        distinct = records.distinct
        masked = records.masked if distinct is None else distinct.messages
        ending = np.zeros(len(masked), dtype=np.bool_)
        for pattern in self.source.ends_on:
            # Polars' regexes take linear time: messages come from anybody.
            ending |= masked.str.contains(pattern).to_numpy()
        return ending if distinct is None else ending[distinct.code]
