"""Which header fields are read: those that describe, not those that name a run; by training records alone."""

import numpy as np
import polars as pl
import pytest

from models.errors import DataError
from training.corpus import CutSession
from training.keyvalue import KeyValueSettings
from training.keyvalue.choice import choose_fields

SETTINGS = KeyValueSettings(max_values=3, value_sessions=4)


def session(name: str, *records: int) -> CutSession:
    zeros = np.zeros(len(records))
    return CutSession(name, np.ones(len(records), np.int64), 0.0, 0.0, zeros, np.array(records, dtype=np.int64))


SESSIONS = [session(f"s{at}", 2 * at, 2 * at + 1) for at in range(12)]
FIELDS = pl.DataFrame(
    {
        # 24 records of the sessions, and one that belongs to none of them.
        "level": ["INFO", "WARN"] * 12 + ["FATAL"],
        "constant": ["a"] * 24 + ["b"],
        "session": [f"s{at // 2}" for at in range(25)],
        "user": [*[None, "x"] * 3, *[None, "y"] * 9, "z"],
        "thread": [str(at % 4) for at in range(24)] + ["9"],
        "label": ["-", "-"] * 11 + ["BAD", "BAD", "-"],
    }
)


def test_fields_that_describe_are_read_with_the_values_of_training_records() -> None:
    assert choose_fields(FIELDS, SESSIONS, SETTINGS) == {"level": ["INFO", "WARN"], "user": [None, "y"]}


def test_parts_of_one_session_count_as_one() -> None:
    epochs = [session("s", 2 * at, 2 * at + 1) for at in range(12)]
    with pytest.raises(DataError, match="no header field"):
        choose_fields(FIELDS, epochs, SETTINGS)


def test_a_named_field_keeps_its_commonest_values() -> None:
    settings = KeyValueSettings(max_values=2, value_sessions=1, fields=("thread", "user"))
    fields = FIELDS.with_columns(thread=pl.Series(["7"] * 4 + FIELDS["thread"].to_list()[4:]))
    assert choose_fields(fields, SESSIONS, settings) == {"thread": ["0", "1"], "user": [None, "y"]}


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(DataError, match="no header field 'pid'; it has level"):
        choose_fields(FIELDS, SESSIONS, KeyValueSettings(fields=("pid",)))
    with pytest.raises(DataError, match="no value of field 'session' comes in 5 sessions"):
        choose_fields(FIELDS, SESSIONS, KeyValueSettings(fields=("session",)))
    with pytest.raises(DataError, match="among session, label; leave keyvalue out"):
        choose_fields(FIELDS.select("session", "label"), SESSIONS, SETTINGS)
    with pytest.raises(DataError, match="among none"):
        choose_fields(FIELDS.select([]), SESSIONS, SETTINGS)
