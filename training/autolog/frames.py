"""A log's timeframes, counted by the rule that they will be served with, and which of them hold an anomaly.

Owns the pass over the records, the choice of the entity's field, and the labels of frames. Does not know the network.
"""

from dataclasses import dataclass

import numpy as np

from models.autolog.entity import EntityRule
from models.autolog.frames import Counting, Frame, FrameCounter, chunk_of
from models.autolog.layout import Layout
from models.errors import DataError
from models.record import Records
from models.sessions import Bool
from training.autolog.settings import ENTITY_FIELDS, AutoLogSettings
from training.progress import Progress, silent

BATCH_RECORDS = 20_000
"""Records counted at a time: progress moves, memory stays small."""


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """Frames in order of time; ``anomalous`` bool [n], whether a record of the frame is."""

    frames: list[Frame]
    anomalous: Bool

    @property
    def normal(self) -> list[Frame]:
        """Those without an anomalous record."""
        return [frame for frame, bad in zip(self.frames, self.anomalous.tolist(), strict=True) if not bad]


def layout_of(records: Records, settings: AutoLogSettings) -> Layout:
    """Frames and entities as the settings say. Raises DataError where the log has no such field."""
    present = records.fields.columns
    field = settings.entity_field
    if field is None:
        field = next((name for name in ENTITY_FIELDS if name in present), None)
    elif field not in present:
        raise DataError(
            f"autolog.entity_field is {field!r}, but the log's header has the fields {', '.join(present) or '(none)'}"
        )
    if field is None and settings.entity_pattern is not None:
        raise DataError("autolog.entity_pattern is set, but the log has no field to look into; set entity_field")
    return Layout(settings.chunk_s, EntityRule(field, settings.entity_pattern))


def frames_of(
    records: Records,
    layout: Layout,
    lateness_s: float,
    anomalous: Bool | None = None,
    progress: Progress = silent,
) -> LabelledFrames:
    """Every frame from the first that holds a record to the last; ``anomalous`` bool [records], None: none is."""
    counter, counting = FrameCounter(layout.chunk_s), Counting(layout)
    frames: list[Frame] = []
    largest = -np.inf
    for start in range(0, len(records), BATCH_RECORDS):
        own = part(records, start, min(start + BATCH_RECORDS, len(records)))
        counter.count(counting.tally(own, largest, lateness_s))
        largest = max(largest, float(own.time.max()))
        frames += counter.close_due(largest - lateness_s)
        progress("timeframes", min(start + BATCH_RECORDS, len(records)), len(records))
    frames += counter.close_all()
    chunks = np.array([frame.chunk for frame in frames], dtype=np.int64)
    bad = np.empty(0, dtype=np.int64) if anomalous is None else chunk_of(records.time[anomalous], layout.chunk_s)
    return LabelledFrames(frames, np.isin(chunks, bad))


def part(records: Records, start: int, stop: int) -> Records:
    """Records ``start`` to ``stop`` without their sessions, which frames do not ask for."""
    return Records(
        index=records.index[start:stop],
        message=records.message[start:stop],
        masked=records.masked[start:stop],
        time=records.time[start:stop],
        fields=records.fields[start:stop],
        session_record=records.session_record[:0],
        session=records.session[:0],
        rejected=[],
    )
