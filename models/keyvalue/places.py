"""Keys and header fields as numbers: which value of which field has which place in the network's input.

Owns the mapping both ways and the shape of an input window. Does not know which fields are worth reading (``training``)
nor what the network makes of them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl

from models.errors import DataError
from models.notes import NO_CODE
from models.sessions import Int64
from models.vocabulary import BOS, UNK, Vocabulary

LARGEST_CODE = 65_534
"""Largest code of a value that can be stored of a live session."""
UNKNOWN_CODE = 0
"""Of a value that training did not see, or too seldom."""

BEFORE, UNKNOWN, FIRST = 0, 1, 2
"""Places of a field: before the session, an unknown value, the first known value. A code stands at its place less
one."""

Value = str | None
"""None: the line has no such field."""


class Places:
    """A vocabulary of keys and one of values for each field, in a fixed order."""

    def __init__(self, vocabulary: Vocabulary, fields: Mapping[str, Sequence[Value]]) -> None:
        """``fields``: known values of each field by its name, distinct. Raises DataError where they are not."""
        self.vocabulary = vocabulary
        self.names = tuple(fields)
        self._values = tuple(tuple(values) for values in fields.values())
        for name, values in zip(self.names, self._values, strict=True):
            if not 0 < len(values) <= LARGEST_CODE:
                raise DataError(f"field {name!r} has {len(values)} values; it must have 1..{LARGEST_CODE}")
            if len(set(values)) != len(values) or not all(value is None or isinstance(value, str) for value in values):
                raise DataError(f"field {name!r}: values must be text or null, each once")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Places of the key, then of each field."""
        return (self.vocabulary.size, *(FIRST + len(values) for values in self._values))

    def codes(self, fields: pl.DataFrame) -> Int64:
        """Codes int64 [n, fields] of n records' header fields: ``UNKNOWN_CODE``, or 1 and up for known values. A field
        that the frame lacks is null."""
        found = np.zeros((len(fields), len(self.names)), dtype=np.int64)
        for column, (name, values) in enumerate(zip(self.names, self._values, strict=True)):
            given = (
                fields[name] if name in fields.columns else pl.repeat(None, len(fields), dtype=pl.String, eager=True)
            )
            known = pl.Series(values, dtype=pl.String)
            number = pl.Series(np.arange(1, len(values) + 1))
            found[:, column] = (
                given.cast(pl.String)
                .replace_strict(known, number, default=UNKNOWN_CODE, return_dtype=pl.Int64)
                .to_numpy()
            )
        return found

    def windows(self, history: Int64, keys: Int64, earlier: Int64, codes: Int64) -> Int64:
        """Input of the network, int64 [k, window + 1, 1 + fields], of ``keys`` int64 [k] with ``codes`` int64 [k,
        fields] after ``history`` int64 [k, window] with ``earlier`` int64 [k, window, fields]. Codes that no value has
        are unknown."""
        key = self.vocabulary.encode(np.column_stack([history, keys]))
        given = np.concatenate([earlier, codes[:, None, :]], axis=1)
        largest = np.array([len(values) for values in self._values], dtype=np.int64)
        code = np.where((given < NO_CODE) | (given > largest), UNKNOWN_CODE, given)
        return np.concatenate([key[:, :, None], code + 1], axis=2)

    def hidden(self, column: int) -> int:
        """Place of an unknown key (``column`` 0) or of an unknown value."""
        return UNKNOWN if column else UNK

    def shown(self, column: int, place: int) -> Value | int:
        """What stands at a place of a column: a template id, or a value; None also for an unknown one."""
        if not column:
            return self.vocabulary.decode(place)
        return self._values[column - 1][place - FIRST] if place >= FIRST else None

    def fingerprint(self) -> str:
        """sha256 (hex) of keys, fields and values in their order: a network and its places carry the same."""
        text = json.dumps([self.vocabulary.fingerprint(), self.names, self._values])
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary.to_dict(),
            "fields": [
                {"name": name, "values": list(values)} for name, values in zip(self.names, self._values, strict=True)
            ],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        fields = {str(field["name"]): tuple(field["values"]) for field in state["fields"]}
        return cls(Vocabulary.from_dict(state["vocabulary"]), fields)


def before_session(windows: Int64) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which cells of ``windows`` int64 [n, length, 1 + fields] lie before their session began."""
    return np.broadcast_to(windows[:, :, :1] == BOS, windows.shape)
