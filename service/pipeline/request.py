"""What one ``POST /ingest`` asks for, once its body was decoded. Knows no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.parser import End
from service.state.leases import Fence


@dataclass(frozen=True, slots=True)
class LineError:
    """Why one line of a request was rejected; ``index`` is its place in the request."""

    index: int
    error: str


@dataclass(frozen=True, slots=True)
class Queued:
    """What a request that comes out of the durable queue brings besides: one partition's piece of what was accepted.

    ``run`` names the requests that are processed together; ``fence`` is the right to the partition; ``prior`` the
    largest event time before the batch that was accepted and ``arrival`` when that came, seconds; ``secondary`` are
    places of lines that other partitions have as well, one of which counts them.
    """

    run: str
    fence: Fence
    prior: float
    arrival: float
    secondary: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Lines of one source in order.

    All columns have length ``len(lines)``; ``index`` is each line's place in the request, as rejected records and end
    records take places too. ``sessions`` and ``times`` (seconds) override what the line says, ``fields`` adds to its
    header; None throughout where no record gives any. ``batch_id`` is set where the caller sent an Idempotency-Key.
    ``backfill``: the lines are history, of which nobody is told. ``queued``: where it comes out of the durable queue.
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
    queued: Queued | None = None
