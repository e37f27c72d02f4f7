"""What of AutoLog is known before anything is learned: how long a frame is, who writes a record, and its terms."""

from dataclasses import dataclass

import polars as pl

from models.autolog.entity import EntityRule
from models.autolog.scoring import terms_of


@dataclass(frozen=True, slots=True)
class Layout:
    """``chunk_s`` is the length of a frame in seconds; ``rule`` finds a record's entity."""

    chunk_s: float
    rule: EntityRule

    def entity(self, fields: pl.DataFrame) -> pl.Series:
        """Each record's logging entity, String [n]."""
        return self.rule.entity(fields)

    def terms(self, masked: str) -> dict[str, int]:
        """Terms of one masked message and how often each comes in it."""
        return terms_of(masked)
