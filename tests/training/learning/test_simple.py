"""Detectors without a network know what was called normal, and nothing else changes its verdict by that."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from models.errors import BundleError
from models.lesson import Seen
from models.registry import state_file
from models.sessions import Float64
from training.learning.simple import SIMPLE
from training.learning.teachers import TEACHERS
from training.learning.teaching import Learned, Part, Taught
from training.member import Corpus, alone
from training.progress import silent
from training.simple import fit_simple

NORMAL = [np.array([1, 2, 3, 4]), np.array([1, 2, 2, 3, 4]), np.array([1, 3, 2, 4, 5])] * 10


def part_of(name: str, bar: float = 1e-9) -> Part:
    if name == "timing":
        state = {"previous": [1, 2], "keys": [2, 3], "least": [1.0, 1.0], "most": [4.0, 4.0]}
        return Part(name, {"pairs": 2}, {state_file(name): orjson.dumps(state)}, bar)
    fitted = fit_simple(name, Corpus.of_keys(NORMAL), seed=0)
    return Part(name, fitted.settings, fitted.files, max(bar, alone(np.zeros(1))))


def counts(session: Sequence[int]) -> Seen:
    keys, number = np.unique(session, return_counts=True)
    return {"counts": [list(pair) for pair in zip(keys.tolist(), number.tolist(), strict=True)]}


def sequence(session: Sequence[int]) -> Seen:
    return {"sequence": list(session)}


def pause(elapsed: float) -> Seen:
    return {"previous": 1, "key": 2, "elapsed": elapsed}


STRANGE: dict[str, Seen] = {
    "new_event": {"history": [], "key": 9},
    "length": counts([1] * 12),
    "count_vector": counts([1, 2, 9, 9]),
    "count_vector_idf": counts([1, 2, 9, 9]),
    "ngram": sequence([1, 4, 9]),
    "edit_distance": sequence([1, 4, 9]),
    "timing": pause(60.0),
}
OTHER: dict[str, Seen] = {
    "new_event": {"history": [], "key": 8},
    "length": counts([1] * 30),
    "count_vector": counts([7, 7, 8]),
    "count_vector_idf": counts([7, 7, 8]),
    "ngram": sequence([5, 1, 8]),
    "edit_distance": sequence([5, 5, 8]),
    "timing": {"previous": 2, "key": 3, "elapsed": 90.0},
}
"""Strange in another way: rings before and after."""
WITHIN: dict[str, Seen] = {"length": counts([1] * 9), "timing": pause(30.0)}
"""What falls silent with ``STRANGE``."""


def raws(part: Part, seen: Sequence[Seen]) -> Float64:
    return SIMPLE[part.name].member(orjson.loads(part.files[state_file(part.name)])).score_seen(seen)


def teach(part: Part, taught: Sequence[Taught]) -> Learned | None:
    return TEACHERS[part.name](part, taught, 0, silent)


def after(part: Part, learned: Learned | None) -> Part:
    assert learned is not None
    return Part(part.name, learned.settings, {**part.files, **learned.files}, part.bar)


@pytest.mark.parametrize("name", SIMPLE)
def test_what_was_called_normal_falls_below_the_bar_and_the_rest_still_rings(name: str) -> None:
    part = part_of(name)
    assert (raws(part, [STRANGE[name], OTHER[name]]) >= part.bar).all()

    learned = teach(part, [Taught(STRANGE[name], True), Taught(OTHER[name], False)])

    assert (raws(after(part, learned), [STRANGE[name], OTHER[name]]) >= part.bar).tolist() == [False, True]
    assert learned is not None
    assert learned.files.keys() == {state_file(name)}
    assert learned.settings == part.settings
    told = learned.told
    assert (told["lessons"], told["below"], told["protected"], told["steps"]) == (1, 1, 1, 1)
    assert told["seconds"] >= 0.0


@pytest.mark.parametrize("name", SIMPLE)
def test_where_nothing_called_normal_rings_nothing_changes(name: str) -> None:
    part = part_of(name)
    known = after(part, teach(part, [Taught(STRANGE[name], True)]))

    assert teach(known, [Taught(STRANGE[name], True)]) is None
    assert teach(part, [Taught(STRANGE[name], False)]) is None
    assert teach(part, []) is None


@pytest.mark.parametrize("name", SIMPLE)
def test_a_confirmed_anomaly_keeps_ringing_and_the_other_lessons_are_learned(name: str) -> None:
    """The very thing that was confirmed, or where the detector knows ranges one inside the new range, cannot become
    normal; nor does it stand in the way of what is normal beside it."""
    part = part_of(name)
    guarded = WITHIN.get(name, STRANGE[name])
    only = teach(part, [Taught(STRANGE[name], True), Taught(guarded, False)])
    both = teach(part, [Taught(STRANGE[name], True), Taught(guarded, False), Taught(OTHER[name], True)])

    assert only is None
    if name == "length":  # A range that includes the longer one includes what is guarded.
        assert both is None
        return
    found = raws(after(part, both), [STRANGE[name], guarded, OTHER[name]]) >= part.bar
    assert found.tolist() == [True, True, False]
    assert both is not None
    assert (both.told["lessons"], both.told["below"]) == (2, 1)


@pytest.mark.parametrize("name", SIMPLE)
def test_training_sessions_ring_no_more_than_before(name: str) -> None:
    if name == "timing":
        seen: list[Seen] = [pause(float(elapsed)) for elapsed in range(1, 5)]
    elif name == "new_event":
        seen = [{"history": [], "key": int(key)} for session in NORMAL for key in session]
    else:
        form: Callable[[Any], Seen] = sequence if name in ("ngram", "edit_distance") else counts
        seen = [form(session.tolist()) for session in NORMAL]
    part = part_of(name)
    learned = teach(part, [Taught(STRANGE[name], True), Taught(OTHER[name], True)])
    assert raws(after(part, learned), seen).tolist() == [0.0] * len(seen)


@pytest.mark.parametrize("name", SIMPLE)
def test_the_same_answers_give_the_same_bytes(name: str) -> None:
    taught = [Taught(STRANGE[name], True), Taught(OTHER[name], True), Taught(STRANGE[name], True)]
    first, second = (teach(part_of(name), taught) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.files == second.files
    assert first.told["lessons"] == 2


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("content", [b"{", b"[]", b'{"known": "x"}', None])
def test_a_damaged_state_is_a_damaged_bundle(name: str, content: bytes | None) -> None:
    files = {} if content is None else {state_file(name): content}
    with pytest.raises(BundleError, match="restore"):
        TEACHERS[name](Part(name, {}, files, 0.5), [Taught(STRANGE[name], True)], 0, silent)


def test_the_overflow_template_never_becomes_known() -> None:
    part = part_of("new_event")
    assert teach(part, [Taught({"history": [], "key": 0}, True)]) is None


def test_weights_and_distances_of_what_was_known_stay() -> None:
    part = part_of("count_vector_idf")
    known: list[Seen] = [counts([1, 2, 3, 5]), counts([1, 1, 4]), counts([2, 9])]
    before = raws(part, known)
    learned = after(part, teach(part, [Taught(counts([20, 21, 21]), True)]))
    assert raws(learned, known).tolist() == before.tolist()
