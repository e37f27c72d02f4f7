"""Which rules go once a version learned what they answer: those whose reach it covers."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import permutations

import orjson

from models.bundle import Bundle
from models.judge import Judge
from models.lesson import Lesson
from models.registry import ENSEMBLE
from models.rules import Clause, Rule, Scope
from models.sessions import BEFORE_SESSION
from tests.service.serving import blocks_bundle
from training.learning.answers import Answer
from training.learning.coverage import covered
from training.learning.replay import read_replay

Window = tuple[tuple[int, ...], int]
THRESHOLD = 4.0


@cache
def bundle() -> Bundle:
    """The block store's, which rings by a little less: what DeepLog knows is quiet, and what it does not rings."""
    trained = blocks_bundle()
    state = {**orjson.loads(trained.files[ENSEMBLE]), "threshold": THRESHOLD}
    return Bundle.seal(replace(trained.manifest, version="2"), {**trained.files, ENSEMBLE: orjson.dumps(state)})


@cache
def judge() -> Judge:
    return bundle().judge()


def lesson(window: Window) -> Lesson:
    history, key = window
    return Lesson("deeplog", {"history": list(history), "key": key})


def kept(windows: Sequence[Window], scope: Scope = "window") -> list[Window]:
    """Of rules about windows that the version knows those that stay."""
    ruled = {}
    for number, window in enumerate(windows):
        answer = Answer(str(number), "false_positive", (lesson(window),), frozenset({"deeplog"}))
        ruled[answer.id] = answer, Rule(answer.id, (Clause("deeplog", scope, answer.id),))
    gone = {answer.id for answer in covered(bundle(), bundle(), list(ruled.values()))}
    return [window for number, window in enumerate(windows) if str(number) not in gone]


@cache
def quiet() -> list[Window]:
    """Windows of training that are."""
    replay = read_replay(bundle().files, judge().width)
    every = zip(map(tuple, replay.history.tolist()), replay.key.tolist(), strict=True)
    found = [window for window in every if judge().lesson_evidence([lesson(window)]) == 0.0]
    assert len(found) > 20
    return found


def test_a_rule_about_a_window_stays_where_its_keys_would_ring_in_another_order() -> None:
    stay = kept(quiet())
    assert 0 < len(stay) < len(quiet())
    for history, key in stay:
        orders = set(permutations(history))
        assert any(judge().lesson_evidence([lesson((order, key))]) >= THRESHOLD for order in orders)
    assert kept(quiet(), "template") == stay
    assert not kept(quiet(), "parameter")


def test_a_rule_about_a_window_without_another_order_goes() -> None:
    short = [(history, key) for history, key in quiet() if len({*history} - {BEFORE_SESSION}) < 2]
    assert short
    assert not kept(short)
