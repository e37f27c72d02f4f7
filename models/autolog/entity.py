"""Which logging entity a record belongs to.

Owns the rule alone: a header field, or a part of it. Does not know what an entity wrote.
"""

from dataclasses import dataclass

import polars as pl

from models.errors import ConfigError
from models.source import regex

MISSING = "NULL"
"""Entity of a record whose field is absent or empty."""
LONGEST = 128
"""Characters of an entity's name; what follows is cut off, as names come from anybody."""


@dataclass(frozen=True, slots=True)
class EntityRule:
    """``field`` names the header field; None makes the whole log one entity, ``MISSING``. ``pattern`` (optional) finds
    the part of its value that names the entity: the first group of the match, or the value where nothing matches.

    BGL's racks are ``EntityRule("node", "^([^-]+)")``. Raises ConfigError for a pattern that does not compile, has no
    group, or stands without a field.
    """

    field: str | None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.pattern is None:
            return
        if self.field is None:
            raise ConfigError("autolog.entity_pattern needs autolog.entity_field, the header field that it looks into")
        regex.check(self.pattern, "autolog.entity_pattern")
        if not regex.groups(self.pattern):
            raise ConfigError(f"autolog.entity_pattern {self.pattern!r} has no group: put (...) around the entity")

    def entity(self, fields: pl.DataFrame) -> pl.Series:
        """Entity of each record, String [n], none null or empty; ``fields`` has n rows of String columns."""
        if self.field is None or self.field not in fields.columns:
            return pl.Series("entity", [MISSING], dtype=pl.String).new_from_index(0, fields.height)
        value = pl.col(self.field)
        if self.pattern is not None:
            part = value.str.extract(self.pattern, 1)
            value = pl.when(part.is_null() | (part == "")).then(value).otherwise(part)
        whole = pl.when(value.is_null() | (value == "")).then(pl.lit(MISSING)).otherwise(value)
        return fields.select(whole.str.slice(0, LONGEST).alias("entity")).to_series()
