"""A batch: requests that are judged together, and whose is what of that.

Owns the contract between a batch's way (``process``) and the three kinds of batch: of callers who wait, with an
Idempotency-Key (``keyed``) or without (``waiting``), and out of the durable queue (``queued``). Does not know the
steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.judging import Judged
from models.parser import Events, Parser
from models.record import Records
from models.sessions import Float64, Int64, Rows
from service.pipeline.merge import Merged
from service.pipeline.report import Own
from service.pipeline.worker import Job
from service.state.watermark import Began, Beginning
from service.state.windows import Appended, Part

AT_ONCE = 8
"""Lines that are read, counted and judged without a worker thread, which takes about as long to wake as their work
takes. A network that reads texts takes far longer, and has its thread."""


@dataclass(frozen=True, slots=True)
class Count:
    """Records that timeframes and rates count once for their ``batch_id``, with template ``ids`` int64 [n];
    ``prior_max`` is the largest event time before them, seconds (-inf: none)."""

    records: Records
    ids: Int64
    prior_max: float
    batch_id: str | None


class Batch(Protocol):
    """Requests of one source that are judged together. Keeps nothing between the steps of its way."""

    @property
    def jobs(self) -> Sequence[Job]:
        """The requests, in order."""

    @property
    def merged(self) -> Merged:
        """Their lines."""

    @property
    def secondary(self) -> Int64:
        """Places of lines that are counted with another batch, int64 [k]."""

    @property
    def gone_after(self) -> bool:
        """Whether nobody could tell after this process how far its rows are stored."""

    def split(self, parser: Parser) -> Records:
        """Its records by place, with those of their sessions that are this batch's."""

    def begins(self, records: Records) -> list[Beginning]:
        """What it is noted as before it is judged: by each the clock moves on, and the versions and rules are fixed."""

    def is_one(self, begun: Sequence[Began]) -> bool:
        """Whether its requests may be judged together, given what came of ``begins``; if not, each is a batch."""

    def marks(self, events: Events, begun: Sequence[Began], lateness_s: float) -> Float64:
        """Watermark at each row, float64 [m]; ``begun`` is what came of ``begins``."""

    def parts(self, events: Events, rows: Rows) -> list[Part]:
        """What is appended, each part once for its batch id."""

    def joined(self, events: Events, found: Sequence[Appended]) -> tuple[Appended, list[int]]:
        """What the appends of ``parts`` found and ended, as one; and whose each closing is, a number of a job."""

    def counts(self, records: Records, ids: Int64, begun: Sequence[Began]) -> list[Count]:
        """What timeframes and rates count."""

    def own(self, events: Events, judged: Judged, owners: Sequence[int]) -> list[Own]:
        """What the batch leaves behind under each batch id; ``owners`` as ``joined`` told."""
