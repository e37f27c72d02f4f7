"""Who wrote a record: a header field or a part of it, and a name for those that lack it."""

import polars as pl
import pytest

from models.autolog.entity import LONGEST, MISSING, EntityRule
from models.errors import ConfigError

FIELDS = pl.DataFrame(
    {"node": ["R00-M0-N0", "R00-M1", "NULL", "", None, "-x"], "level": ["a"] * 6}, schema_overrides={"node": pl.String}
)


def test_field_or_the_part_of_it_that_the_pattern_finds() -> None:
    assert EntityRule("node").entity(FIELDS).to_list() == ["R00-M0-N0", "R00-M1", "NULL", MISSING, MISSING, "-x"]
    racks = EntityRule("node", "^([^-]+)").entity(FIELDS).to_list()
    assert racks == ["R00", "R00", "NULL", MISSING, MISSING, "-x"]


def test_log_without_the_field_is_one_entity() -> None:
    for rule in (EntityRule(None), EntityRule("rack")):
        assert rule.entity(FIELDS).to_list() == [MISSING] * 6
        assert rule.entity(FIELDS.clear()).to_list() == []
    assert EntityRule(None).entity(pl.DataFrame()).to_list() == []


def test_long_names_are_cut() -> None:
    named = EntityRule("node").entity(pl.DataFrame({"node": ["ü" * 1000]})).to_list()
    assert named == ["ü" * LONGEST]


@pytest.mark.parametrize(("field", "pattern"), [("node", "("), ("node", "^[^-]+"), ("node", "(?=a)"), (None, "(a)")])
def test_pattern_that_cannot_work_is_refused(field: str | None, pattern: str) -> None:
    with pytest.raises(ConfigError, match="entity_pattern"):
        EntityRule(field, pattern)
