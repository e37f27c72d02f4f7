"""Requests that are judged together and yet each by itself: every effect of one happens once for its own batch id.

Owns whose is what of that, and how the appends of several become one. Does not know where the requests come from:
from callers who brought an Idempotency-Key (``keyed``), or out of the durable queue (``queued``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.groups import Groups
from models.judging import Judged
from models.notes import Notes, SessionNotes
from models.parser import Events
from models.record import Records
from models.sessions import NO_KEY, Bool, Closing, Int64, Rows
from models.windows import Priors
from service.pipeline.batch import Count
from service.pipeline.report import Own
from service.pipeline.worker import Job
from service.state.windows import Appended


@dataclass(frozen=True, slots=True)
class Apart:
    """Whose is what; ``batch_ids`` of the requests, ``offsets`` int64 [requests] the first place of each."""

    batch_ids: list[str | None]
    offsets: Int64

    @classmethod
    def of(cls, jobs: Sequence[Job], offsets: Sequence[int]) -> "Apart":
        """Those of ``jobs``, whose first places are ``offsets``."""
        return cls([job.request.batch_id for job in jobs], np.array(offsets, dtype=np.int64))

    def jobs_of(self, places: Int64) -> Int64:
        """Which request each place belongs to, int64 [n]."""
        found: Int64 = np.searchsorted(self.offsets, places, side="right") - 1
        return found

    def rows_of(self, events: Events) -> list[tuple[int, slice]]:
        """Number and rows of each request that has any: they are in order of their places."""
        stops = np.searchsorted(events.index, [*self.offsets[1:].tolist(), np.iinfo(np.int64).max]).tolist()
        starts = [0, *stops[:-1]]
        return [
            (n, slice(start, stop)) for n, (start, stop) in enumerate(zip(starts, stops, strict=True)) if start < stop
        ]

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the requests' appends found, as if their rows had been appended at once; an end is the request's whose
        append ended it. What a sweep after one's rows closed, the next one's first row closed."""
        rows = self.rows_of(events)
        if len(found) == 1:
            return found[0], [rows[0][0]] * len(found[0].closings)
        notes: dict[str, SessionNotes] = {}
        closings: list[Closing] = []
        owners: list[int] = []
        starts = [own.start for _, own in rows]
        for at, ((number, _), own) in enumerate(zip(rows, found, strict=True)):
            notes = {**own.notes, **notes}
            swept = starts[at + 1] if at + 1 < len(rows) else None
            for closing in own.closings:
                closings.append(replace(closing, row=swept if closing.row is None else starts[at] + closing.row))
                owners.append(number)
        groups = Groups.by(events.session)
        # Of a session that several have, the first one's: the others' rows follow on it.
        names = [name for own in found for name in own.groups.names]
        place = {name: at for at, name in reversed(list(enumerate(names)))}
        first = np.array([place[name] for name in groups.names], dtype=np.int64)
        priors = Priors.joined([own.priors for own in found]).chosen(first) if found else Priors.of([])
        return Appended(groups, priors, closings, notes), owners

    def counts(self, records: Records, ids: Int64, priors: Sequence[float], counted: Bool) -> list[Count]:
        """Of each request what is ``counted`` bool [n], if anything is; ``priors`` [requests] the largest event time
        before each, seconds."""
        job_of = self.jobs_of(records.index)
        counts = []
        for number, (batch_id, prior) in enumerate(zip(self.batch_ids, priors, strict=True)):
            own = counted & (job_of == number)
            if own.any():
                counts.append(Count(records.only(own), ids[own], prior, batch_id))
        return counts

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """What each request leaves behind of what all came to."""
        if len(self.batch_ids) == 1:
            return [Own.whole(self.batch_ids[0], judged)]
        own = [Own(batch_id) for batch_id in self.batch_ids]
        for closing, owner in enumerate(owners):
            own[owner].ends.append(closing)
        if judged.rows is None or judged.closed is None:
            return own
        rows = self.jobs_of(events.index)
        # Findings are in this order: of the rows that rang, then of the sessions.
        rang = iter(judged.closed.anomalous.nonzero()[0].tolist())
        for finding in judged.findings:
            of_line = finding.verdict["kind"] == "line" and finding.row is not None
            own[rows[finding.row] if of_line else owners[next(rang)]].findings.append(finding)
        keyed = np.flatnonzero(events.key != NO_KEY)
        for at, rule in judged.rows.silenced.items():
            own[rows[keyed[at]]].silenced[rule] += 1
        for at, rule in judged.closed.silenced.items():
            own[owners[at]].silenced[rule] += 1
        return own


def piece(rows: Rows, own: slice) -> Rows:
    """A run of rows."""
    notes = rows.notes
    if notes is not None:
        notes = Notes(notes.values[own], notes.valued[own], notes.codes[own])
    return Rows(rows.session[own], rows.key[own], rows.time[own], rows.watermark[own], rows.ends[own], notes)
