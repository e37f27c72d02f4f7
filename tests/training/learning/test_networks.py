"""Networks taught through a whole bundle: the candidate loads, and is quiet where it was taught to be."""

from functools import cache
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.lesson import Lesson
from models.registry import graph_file
from tests.golden import blocks
from tests.service.serving import NOW
from training.learning.answers import Answer
from training.learning.candidate import Version, learn
from training.train import Input, TrainSettings, train

NEW = 999
SMALL: dict[str, dict[str, Any]] = {
    "logbert": {"layers": 1, "width": 32, "heads": 2, "feed_forward": 64, "epochs": 40, "rows": 96, "folds": 2},
    "autolog": {"chunk_s": 20.0, "steps": 100, "wide": 32, "narrow": 8},
}


@cache
def live() -> Bundle:
    settings = TrainSettings(detectors=("logbert", "logbert_distance", "autolog"), members=SMALL)
    given = Input(blocks.normal_log(), {}, None, NOW)
    return train(blocks.source(), given, settings, version="1", tree_id="blocks-tree", created=NOW)


def answer(*lessons: Lesson) -> Answer:
    return Answer("1", "false_positive", lessons, frozenset(lesson.detector for lesson in lessons))


def test_both_members_of_one_network_are_read_with_the_keys_that_it_learned() -> None:
    judge = live().judge()
    sequence = {"sequence": [*sorted(judge.known)[:3], NEW, NEW]}
    lessons = [Lesson("logbert", sequence), Lesson("logbert_distance", sequence)]
    assert all(judge.lesson_evidence([lesson]) > 0.0 for lesson in lessons)
    candidate = learn(live(), [answer(*lessons)], Version("2", NOW))
    assert candidate is not None
    assert NEW in candidate.bundle.manifest.detectors["logbert"]["vocabulary"]["keys"]
    assert [one.id for one in candidate.learned] == ["1"]
    after = candidate.bundle.judge()
    assert np.isfinite(after.lesson_raws(lessons)).all()
    assert after.lesson_evidence(lessons) < after.ensemble.threshold


def test_a_timeframe_is_taught_by_its_own_threshold() -> None:
    frames = live().frame_judge()
    assert frames is not None
    entity = frames.detector.entities[0]
    lesson = Lesson("autolog", {"frame": {entity: {"backup": 30, "written": 30}}})
    assert frames.lesson_raws([lesson])[0] >= frames.threshold
    candidate = learn(live(), [answer(lesson)], Version("2", NOW))
    assert candidate is not None
    assert [one.id for one in candidate.learned] == ["1"]
    now = candidate.bundle.frame_judge()
    assert now is not None
    assert now.lesson_raws([lesson])[0] < now.threshold
    assert candidate.bundle.files[graph_file("logbert")] == live().files[graph_file("logbert")]
