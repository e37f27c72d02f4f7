"""Reads sessions of log keys as published: ``hdfs_keys`` by logdeep, ``hadoop`` by the FSE 2024 review.

Owns the file formats and their errors. Does not know where data sets come from, nor what the keys mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.sessions import Bool, Int64

HEADER = "Sequence,label"
HADOOP_TRAIN, HADOOP_NORMAL, HADOOP_ANOMALOUS = "hadoop_train.csv", "hadoop_test_normal.csv", "hadoop_test_abnormal.csv"


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


def read_hadoop(folder: Path) -> tuple[KeySet, KeySet]:
    """Normal sessions to train on, and labelled ones to test on, of the three ``hadoop_*.csv`` files (a line: session
    id, comma, keys separated by blanks). Raises DataError naming the line that cannot be read.

    One line at a time, as a session may hold a hundred thousand keys.
    """
    train = [_hadoop_keys(*line) for line in _numbered(folder / HADOOP_TRAIN)]
    normal = [_hadoop_keys(*line) for line in _numbered(folder / HADOOP_NORMAL)]
    anomalous = [_hadoop_keys(*line) for line in _numbered(folder / HADOOP_ANOMALOUS)]
    labels = np.repeat([False, True], [len(normal), len(anomalous)])
    return KeySet(train, np.zeros(len(train), dtype=bool)), KeySet(normal + anomalous, labels)


def _hadoop_keys(path: Path, number: int, line: str) -> Int64:
    _, comma, keys = line.partition(",")
    if not comma:
        raise DataError(f"{path}, line {number}: no comma; expected a session id, a comma and its keys")
    return _keys(keys, path, number)


def _lines(path: Path) -> list[str]:
    return [line for _, _, line in _numbered(path)]


def _numbered(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Path, number from 1 on and text of each line. Raises DataError for a file that is missing, no text or empty."""
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield path, number, line
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing; fetch it with `tocsin datasets download` or set TOCSIN_DATASETS_DIR to where it lies"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text ({error}); expected one session a line") from error
    if not number:
        raise DataError(f"{path} is empty; expected one session a line")


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
