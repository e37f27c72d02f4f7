"""Reads log-key sessions as logdeep published them: the format of the ``hdfs_keys`` data set.

Owns the two file formats and their errors. Does not know where data sets come from, nor what the keys mean.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.sessions import Bool, Int64

HEADER = "Sequence,label"


@dataclass(frozen=True, slots=True)
class KeySet:
    """Labelled sessions: each int64 [length] of keys; ``anomalous`` bool [sessions]."""

    sessions: list[Int64]
    anomalous: Bool


def read_sessions(path: Path) -> list[Int64]:
    """Normal sessions, one a line, keys separated by blanks. Raises DataError naming the line that cannot be read."""
    return [_keys(line, path, number) for number, line in enumerate(_lines(path), start=1)]


def read_labelled(path: Path) -> KeySet:
    """Sessions of a CSV with columns ``Sequence`` (keys separated by blanks) and ``label`` (1: anomalous)."""
    lines = _lines(path)
    if lines[0].strip() != HEADER:
        raise DataError(f"{path}, line 1: expected the header {HEADER!r}, found {lines[0].strip()!r}")
    sessions: list[Int64] = []
    labels: list[bool] = []
    for number, line in enumerate(lines[1:], start=2):
        sequence, _, label = line.strip().rpartition(",")
        if label not in ("0", "1"):
            raise DataError(f"{path}, line {number}: the label is {label!r}; it must be 0 (normal) or 1 (anomalous)")
        sessions.append(_keys(sequence, path, number))
        labels.append(label == "1")
    return KeySet(sessions, np.array(labels, dtype=bool))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing; fetch it with `tocsin datasets download` or set TOCSIN_DATASETS_DIR to where it lies"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text ({error}); expected one session a line") from error
    if not lines:
        raise DataError(f"{path} is empty; expected one session a line")
    return lines


def _keys(text: str, path: Path, number: int) -> Int64:
    try:
        keys = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}, line {number}: keys must be whole numbers separated by blanks ({error})") from error
    if not len(keys):
        raise DataError(f"{path}, line {number}: no key; each line holds a session of at least one")
    if keys.min() < 1:
        raise DataError(f"{path}, line {number}: key {keys.min()}; keys start at 1")
    return keys
