"""The simple detectors on the published HDFS key sequences: counts that the specification fixes."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from models.baselines.count_vector import CountVector, count_keys
from models.baselines.length import Length
from models.baselines.new_event import NewEvent
from models.baselines.ngram import Ngram
from models.sessions import Bool, Int64


class Keys(NamedTuple):
    train: list[Int64]
    sessions: list[Int64]
    anomalous: Bool


@pytest.fixture(scope="module")
def keys(datasets_dir: Path) -> Keys:
    folder = datasets_dir / "hdfs_keys"
    train = [as_keys(line) for line in (folder / "train_normal.txt").read_text().splitlines()]
    with (folder / "labelled.csv").open() as file:
        rows = list(csv.DictReader(file))
    return Keys(train, [as_keys(r["Sequence"]) for r in rows], np.array([r["label"] == "1" for r in rows]))


def as_keys(text: str) -> Int64:
    return np.array(text.split(), dtype=np.int64)


def hits(alarms: Bool, keys: Keys) -> tuple[int, int]:
    return int((alarms & keys.anomalous).sum()), int((alarms & ~keys.anomalous).sum())


def new_event_alarms(keys: Keys) -> Bool:
    detector = NewEvent.fit(keys.train)
    no_history = np.empty((0, 0), dtype=np.int64)
    return np.array([detector.score(no_history, session).max() > 0 for session in keys.sessions])


def length_alarms(keys: Keys) -> Bool:
    return Length.fit(keys.train).score_lengths(np.array([len(s) for s in keys.sessions])) > 0


def test_new_event_finds_the_published_sessions(keys: Keys) -> None:
    assert hits(new_event_alarms(keys), keys) == (2841, 0)


def test_length_finds_the_published_sessions(keys: Keys) -> None:
    assert hits(length_alarms(keys), keys) == (2204, 1)


def test_new_event_or_length_finds_the_published_sessions(keys: Keys) -> None:
    assert hits(new_event_alarms(keys) | length_alarms(keys), keys) == (5033, 1)


@pytest.mark.parametrize(("order", "expected"), [(2, (4686, 4)), (3, (4703, 20))])
def test_unseen_ngrams_find_the_published_sessions(keys: Keys, order: int, expected: tuple[int, int]) -> None:
    assert hits(Ngram.fit(keys.train, order).score_sequences(keys.sessions) > 0, keys) == expected


def test_count_vector_finds_the_published_sessions(keys: Keys) -> None:
    detector = CountVector.fit(keys.train)
    distance = detector.score_counts([count_keys(session) for session in keys.sessions])

    assert len(detector) == 62
    assert hits(distance > 0, keys) == (6000, 23)
