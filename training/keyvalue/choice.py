"""Which header fields are read, and which of their values are known.

Owns the choice. Does not know what is made of it (``models.keyvalue.places``).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from models.errors import DataError
from models.keyvalue.places import Value
from training.corpus import CutSession
from training.keyvalue.settings import KeyValueSettings


def choose_fields(
    fields: pl.DataFrame, sessions: Sequence[CutSession], settings: KeyValueSettings
) -> dict[str, list[Value]]:
    """Known values by field, the one in most sessions first, from the records of training ``sessions`` alone.

    A value is known where it comes in at least ``settings.value_sessions`` sessions; parts of one session count as one.
    A field is read where it has at most ``settings.max_values`` known values and tells at least two values apart, or
    where ``settings.fields`` names it. Raises DataError where none is left, or one that is named cannot be read.
    """
    record = np.concatenate([session.records for session in sessions])
    names = pl.Series([session.session for session in sessions], dtype=pl.String)
    own = names[np.repeat(np.arange(len(sessions)), [len(session.keys) for session in sessions])]
    found: dict[str, list[Value]] = {}
    for name in fields.columns if settings.fields is None else settings.fields:
        if name not in fields.columns:
            raise DataError(f"keyvalue: this source has no header field {name!r}; it has {', '.join(fields.columns)}")
        if settings.fields is None and name in settings.excluded:
            continue
        seen = pl.DataFrame({"value": fields[name][record].cast(pl.String), "session": own}).unique()
        counted = seen.group_by("value").len().sort("len", "value", descending=[True, False])
        known: list[Value] = counted.filter(pl.col("len") >= settings.value_sessions)["value"].to_list()
        if settings.fields is not None:
            if not known:
                raise DataError(f"keyvalue: no value of field {name!r} comes in {settings.value_sessions} sessions")
            found[name] = known[: settings.max_values]
        elif 1 <= len(known) <= settings.max_values and len(counted) > 1:
            found[name] = known
    if not found:
        raise DataError(
            f"keyvalue finds no header field with 2 to {settings.max_values} values among "
            f"{', '.join(fields.columns) or 'none'}; leave keyvalue out of the detectors"
        )
    return found
