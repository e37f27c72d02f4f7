"""LogAnomaly learns what was called normal by DeepLog's steps, with counts and with what templates say."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from models.errors import BundleError
from models.graph import Graph
from models.lesson import Seen
from models.loganomaly.detector import VECTORS, LogAnomaly
from models.sample import REPLAY
from models.sessions import BEFORE_SESSION, Float64
from models.vocabulary import END, Vocabulary
from tests.training.loganomaly.test_fit import (
    ALLOCATE,
    CHECK,
    CONFIGURE,
    OPEN,
    RELEASE,
    REQUEST,
    SESSIONS,
    SETTINGS,
    TERMINATE,
    Bag,
    tree,
)
from training.learning.replay import read_replay
from training.learning.teaching import Learned, Live, Part, Taught
from training.loganomaly import fit_loganomaly
from training.loganomaly.teach import GRAPH, WEIGHTS, teach_loganomaly
from training.member import Corpus
from training.onnx import from_safetensors
from training.progress import silent
from training.rehearsal import sample_windows

H = SETTINGS.h
BAR = 3.0


@cache
def part_of(semantic: bool) -> Part:
    corpus = Corpus.of_keys(SESSIONS)
    settings = replace(SETTINGS, g=BAR)
    if semantic:
        member = fit_loganomaly(replace(corpus, tree=tree()), settings, 0, encoder=Bag())
    else:
        member = fit_loganomaly(corpus, settings, 0)
    files = {**member.files, REPLAY: sample_windows(SESSIONS, H + 2, 0)}
    return Part("loganomaly", member.settings, files, BAR)


def seen(history: Sequence[int], key: int) -> Seen:
    return {"history": [BEFORE_SESSION] * (H - len(history)) + list(history), "key": key}


SWAPPED = seen([OPEN, CONFIGURE, CHECK, ALLOCATE], TERMINATE)
FRESH = seen([CONFIGURE, CHECK, ALLOCATE, REQUEST], 30)
ANOMALY = seen([OPEN, CONFIGURE], END)


def raws(part: Part, *lessons: Seen) -> Float64:
    detector = LogAnomaly.from_parts(part.settings, Graph(part.files[GRAPH], "cpu"), part.files)
    history = np.array([one["history"] for one in lessons])
    return detector.score(history, np.array([one["key"] for one in lessons]))


def rings(part: Part, *lessons: Seen) -> list[bool]:
    found: list[bool] = (raws(part, *lessons) >= BAR).tolist()
    return found


def rehearsed(part: Part) -> Float64:
    replay = read_replay(part.files, H)
    rows = zip(replay.history.tolist(), replay.key.tolist(), strict=True)
    return raws(part, *({"history": history, "key": key} for history, key in rows))


def teach(part: Part, *said: tuple[Seen, bool]) -> Learned | None:
    return teach_loganomaly(part, [Taught(one, normal) for one, normal in said], 0, silent)


def after(part: Part, learned: Learned | None) -> Part:
    assert learned is not None
    return replace(part, settings=learned.settings, files={**part.files, **learned.files})


@pytest.mark.parametrize("semantic", [False, True])
def test_a_window_called_normal_falls_below_the_bar_and_a_real_anomaly_keeps_ringing(semantic: bool) -> None:
    part = part_of(semantic)
    assert rings(part, SWAPPED, ANOMALY) == [True, True]
    learned = teach(part, (SWAPPED, True), (ANOMALY, False))
    taught = after(part, learned)
    assert rings(taught, SWAPPED, ANOMALY) == [False, True]
    assert (rehearsed(taught) >= BAR).sum() <= (rehearsed(part) >= BAR).sum()
    assert learned is not None
    assert (learned.told["lessons"], learned.told["below"], learned.told["protected"]) == (1, 1, 1)
    assert learned.files.keys() == {GRAPH, WEIGHTS}


def test_a_key_called_normal_is_taken_in_where_keys_are_ids() -> None:
    part = part_of(False)
    before = Vocabulary.from_dict(part.settings["vocabulary"])
    taught = after(part, teach(part, (FRESH, True)))
    assert Vocabulary.from_dict(taught.settings["vocabulary"]).keys == (*before.keys, 30)
    assert rings(taught, FRESH, seen([CONFIGURE, CHECK, ALLOCATE, REQUEST], 31)) == [False, True]
    # Taught again from there.
    again = after(taught, teach(taught, (SWAPPED, True)))
    assert rings(again, FRESH, SWAPPED) == [False, False]


def test_live_traffic_that_shows_a_key_before_it_is_learned_is_rehearsed() -> None:
    shown = seen([CHECK, ALLOCATE, REQUEST, 30], RELEASE)
    part = replace(part_of(False), live=Live(np.array([shown["history"]]), np.array([shown["key"]])))
    learned = teach(part, (FRESH, True))
    assert learned is not None
    assert learned.told["rehearsed_live"] == 1
    assert rings(after(part, learned), FRESH) == [False]


def test_where_texts_are_read_a_new_template_is_left_to_its_rule() -> None:
    part = part_of(True)
    assert teach(part, (FRESH, True)) is None
    taught = after(part, teach(part, (FRESH, True), (SWAPPED, True)))
    assert rings(taught, SWAPPED, FRESH) == [False, True]
    assert taught.settings["vocabulary"] == part.settings["vocabulary"]


@pytest.mark.parametrize("semantic", [False, True])
def test_where_nothing_called_normal_rings_nothing_changes(semantic: bool) -> None:
    part = part_of(semantic)
    assert teach(part) is None
    assert teach(part, (seen([OPEN, CONFIGURE, CHECK], ALLOCATE), True), (ANOMALY, False)) is None
    assert teach(part, (ANOMALY, True), (ANOMALY, False)) is None


def test_the_same_answers_give_the_same_network() -> None:
    part = part_of(False)
    one, other = (teach(part, (SWAPPED, True), (FRESH, True)) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.files == other.files


def test_counts_of_known_keys_are_read_as_before() -> None:
    part = part_of(False)
    taught = after(part, teach(part, (FRESH, True)))
    old, new = (from_safetensors(one.files[WEIGHTS], "loganomaly") for one in (part, taught))
    wide = old["quantity.weight_ih_l0"].shape[1]
    assert new["quantity.weight_ih_l0"].shape[1] == wide + 1
    assert np.abs(new["quantity.weight_ih_l0"][:, :wide] - old["quantity.weight_ih_l0"]).max() < 0.5
    assert raws(taught, seen([OPEN, CONFIGURE, CHECK], RELEASE))[0] >= BAR


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, VECTORS, REPLAY])
@pytest.mark.parametrize("content", [b"\x00broken", None])
def test_a_damaged_bundle_is_refused(name: str, content: bytes | None) -> None:
    part = part_of(True)
    files = {**part.files, name: content or b""}
    if content is None:
        del files[name]
    with pytest.raises(BundleError, match=r"restore|train it again"):
        teach(replace(part, files=files), (SWAPPED, True))
