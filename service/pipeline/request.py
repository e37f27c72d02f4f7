"""What one ``POST /ingest`` asks for, once its body was decoded. Knows no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.parser import End


@dataclass(frozen=True, slots=True)
class LineError:
    """Why one line of a request was rejected; ``index`` is its place in the request."""

    index: int
    error: str


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Lines of one source in order.

    All columns have length ``len(lines)``; ``index`` is each line's place in the request, as rejected records and end
    records take places too. ``sessions`` and ``times`` (seconds) override what the line says, ``fields`` adds to its
    header; None throughout where no record gives any. ``batch_id`` is set where the caller sent an Idempotency-Key.
    ``backfill``: the lines are history, of which nobody is told.
    """

    source: str
    received: int
    lines: list[str]
    index: list[int]
    sessions: list[str | None] | None = None
    times: list[float | None] | None = None
    fields: list[Mapping[str, str] | None] | None = None
    ends: list[End] = field(default_factory=list)
    rejected: list[LineError] = field(default_factory=list)
    batch_id: str | None = None
    backfill: bool = False
