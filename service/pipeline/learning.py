"""A source that no version judges yet: what comes in is counted and put by, and how far it is can be told.

Owns what a batch leaves behind while a source learns, and the progress in words. Does not train (``service/learner``).
"""

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from models.parser import End
from models.record import Records
from models.sessions import Int64
from service.pipeline.live import LiveSource
from service.spool.unjudged import Taught
from service.state import learning
from service.state.learning import Learned


class Learning:
    """Notes batches of learning sources: ``teach`` puts them by; ``lines`` are enough for a first training."""

    def __init__(self, redis: Redis, teach: Callable[[Taught], None], lines: int) -> None:
        self._redis = redis
        self._teach = teach
        self._lines = lines

    async def take(
        self, live: LiveSource, records: Records, ids: Int64, ends: Sequence[End], lines: int, new: bool, arrival: float
    ) -> None:
        """A batch of ``lines`` lines that nothing judged; ``new``: whether it brought a template. Raises StateError."""
        self._teach(Taught(live.name, live.tree.tree_id, records, ids, tuple(ends), arrival))
        await learning.note(self._redis, live.name, max(0, lines), arrival if new else None)

    async def progress(self, live: LiveSource, now: float) -> dict[str, Any]:
        """How far a source is at wall clock ``now``, plain JSON. Raises StateError."""
        told = await learning.read(self._redis, live.name)
        templates = len(live.tree)
        return {
            "lines": told.lines,
            "wanted": max(self._lines, told.again_at),
            "templates": templates,
            "last_new_template_s": None if told.new_at is None else max(0.0, now - told.new_at),
            "training": told.training,
            "refused": told.refused,
            "text": in_words(told, max(self._lines, told.again_at), templates, now),
        }


def in_words(told: Learned, wanted: int, templates: int, now: float) -> str:
    """Progress as people read it: "12,400 of 50,000 lines; 38 templates; last new one 4 min ago"."""
    parts = [f"{told.lines:,} of {wanted:,} lines", f"{templates:,} template{'' if templates == 1 else 's'}"]
    if told.new_at is not None:
        parts.append(f"last new one {_ago(max(0.0, now - told.new_at))} ago")
    if told.training:
        parts.append("the first version is in training")
    elif told.lines >= wanted:
        parts.append("the first version waits for `tocsin learner`")
    if told.refused is not None and not told.training:
        parts.append(f"no version yet: {told.refused}")
    return "; ".join(parts)


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
