"""DeepLog learns what was called normal, and forgets neither what it knew nor what was confirmed."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.deeplog.detector import DeepLog, Rule
from models.deeplog.prefixes import network_of
from models.errors import BundleError
from models.graph import Graph
from models.lesson import Seen
from models.sample import REPLAY
from models.sessions import BEFORE_SESSION, Float64
from models.vocabulary import END, SPECIALS, Vocabulary
from training.deeplog import DeepLogSettings
from training.deeplog.export import Unexported, restore
from training.deeplog.growth import grown
from training.deeplog.member import fit_deeplog_member
from training.deeplog.teach import teach_deeplog
from training.learning.replay import read_replay
from training.learning.teachers import TEACHERS
from training.learning.teaching import Learned, Live, Part, Taught
from training.member import Corpus
from training.onnx import from_safetensors
from training.progress import silent
from training.rehearsal import sample_windows

H = 4


def part_of(rule: Rule = "rank", bar: float = 3.0) -> Part:
    return fitted(rule, bar)


@cache
def fitted(rule: Rule, bar: float) -> Part:
    random = np.random.default_rng(0)
    sessions = [
        np.concatenate([[1, 2], random.permutation([3, 4, 5]), [6] * random.integers(1, 3), [7]]) for _ in range(60)
    ]
    settings = DeepLogSettings(
        h=H, embedding=8, hidden=16, layers=1, steps=120, weight_powers=(0.5,), folds=2, screened=1, rule=rule, g=bar
    )
    member = fit_deeplog_member(Corpus.of_keys(sessions), settings, 0)
    # A bundle keeps as many keys as its widest detector reads.
    return Part("deeplog", member.settings, {**member.files, REPLAY: sample_windows(sessions, H + 2, 0)}, bar)


def seen(history: Sequence[int], key: int) -> Seen:
    return {"history": [BEFORE_SESSION] * (H - len(history)) + list(history), "key": key}


KNOWN = seen([1, 2, 3, 4], 7)
"""A known key where it never came."""
FRESH = seen([2, 3, 4, 5], 30)
BEHIND = seen([3, 4, 5, 30], 31)
"""A new key after a new key."""
ANOMALY = seen([1, 2], END)


def raws(part: Part, lessons: Sequence[Seen]) -> Float64:
    detector = DeepLog.from_graph(
        Vocabulary.from_dict(part.settings["vocabulary"]), Graph(part.files["deeplog.onnx"], provider="cpu")
    )
    return detector.score(np.array([one["history"] for one in lessons]), np.array([one["key"] for one in lessons]))


def rehearsed(part: Part) -> Float64:
    replay = read_replay(part.files, H)
    return raws(
        part, [{"history": h, "key": k} for h, k in zip(replay.history.tolist(), replay.key.tolist(), strict=True)]
    )


def teach(part: Part, taught: Sequence[Taught]) -> Learned | None:
    return teach_deeplog(part, taught, 0, silent)


def after(part: Part, learned: Learned | None) -> Part:
    assert learned is not None
    return replace(part, settings=learned.settings, files={**part.files, **learned.files})


def lessons_learned(rule: Rule = "rank", bar: float = 3.0) -> Learned | None:
    return learned_once(rule, bar)


@cache
def learned_once(rule: Rule, bar: float) -> Learned | None:
    given = [Taught(KNOWN, True), Taught(FRESH, True), Taught(BEHIND, True), Taught(ANOMALY, False)]
    return teach(part_of(rule, bar), given)


@pytest.mark.parametrize(("rule", "bar"), [("rank", 3.0), ("surprisal", 2.5)])
def test_lessons_fall_below_the_bar_and_a_confirmed_anomaly_keeps_ringing(rule: Rule, bar: float) -> None:
    part = part_of(rule, bar)
    assert (raws(part, [KNOWN, FRESH, BEHIND, ANOMALY]) >= bar).all()

    learned = lessons_learned(rule, bar)

    assert (raws(after(part, learned), [KNOWN, FRESH, BEHIND, ANOMALY]) >= bar).tolist() == [False] * 3 + [True]
    assert learned is not None
    assert (learned.told["lessons"], learned.told["below"], learned.told["protected"]) == (3, 3, 1)
    assert learned.told["steps"] >= learned.told["kept_step"] > 0


def test_no_more_rehearsed_windows_ring_than_before() -> None:
    part, learned = part_of(), lessons_learned()
    before, now = rehearsed(part) >= part.bar, rehearsed(after(part, learned)) >= part.bar
    assert now.sum() <= before.sum()
    assert learned is not None
    assert learned.told["rehearsed_alarms"] == [before.sum(), now.sum()]
    assert learned.told["rehearsed"] == len(before)


def test_new_keys_go_behind_the_others_and_no_place_changes() -> None:
    part, learned = part_of(), lessons_learned()
    assert learned is not None
    old, new = part.settings["vocabulary"]["keys"], learned.settings["vocabulary"]["keys"]
    assert new == [*old, 30, 31]
    assert learned.told["new_keys"] == [30, 31]
    kept = ("h", "g", "w", "training")
    assert [learned.settings[name] for name in kept] == [part.settings[name] for name in kept]


def test_weights_and_graph_say_the_same_and_the_next_teaching_goes_on_from_them() -> None:
    taught = after(part_of(), lessons_learned())
    state = from_safetensors(taught.files["deeplog.safetensors"], "deeplog")
    windows = np.random.default_rng(1).integers(0, len(state["output.bias"]), (33, H))
    served = network_of(Graph(taught.files["deeplog.onnx"], provider="cpu")).run(windows=windows)[0]
    np.testing.assert_allclose(Unexported(restore(state, 8, 16, 1)).run(windows=windows)[0], served, atol=1e-5)

    again = after(taught, teach(taught, [Taught(seen([1, 2, 4, 3], 30), True), Taught(KNOWN, True)]))
    assert (raws(again, [KNOWN, seen([1, 2, 4, 3], 30)]) < again.bar).all()
    assert again.settings["vocabulary"] == taught.settings["vocabulary"]


def test_the_same_answers_and_seed_give_the_same_bytes() -> None:
    first, second = (teach(part_of(), [Taught(KNOWN, True), Taught(FRESH, True)]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.files == second.files


def test_live_traffic_that_shows_a_key_before_it_is_learned_is_rehearsed() -> None:
    shown = [seen([3, 4, 5, 30], 6), seen([30, 1, 2], 3)]
    live = Live(np.array([one["history"] for one in shown]), np.array([one["key"] for one in shown]))
    part = replace(part_of(), live=live)
    learned = teach(part, [Taught(FRESH, True)])
    assert learned is not None
    assert learned.told["rehearsed_live"] == 2
    assert raws(after(part, learned), [FRESH])[0] < part.bar
    rang = raws(part, shown) >= part.bar
    assert not ((raws(after(part, learned), shown) >= part.bar) & ~rang).any()


def test_where_nothing_called_normal_rings_nothing_changes() -> None:
    quiet = seen([1, 2, 3, 4], 5)
    assert teach(part_of(), [Taught(quiet, True), Taught(ANOMALY, False)]) is None
    assert teach(part_of(), []) is None


def test_what_was_confirmed_is_not_learned_though_it_was_also_called_normal() -> None:
    assert teach(part_of(), [Taught(KNOWN, True), Taught(KNOWN, False)]) is None
    learned = after(part_of(), teach(part_of(), [Taught(KNOWN, True), Taught(KNOWN, False), Taught(FRESH, True)]))
    assert (raws(learned, [KNOWN, FRESH]) >= learned.bar).tolist() == [True, False]


def test_the_overflow_template_is_no_key_to_learn() -> None:
    assert teach(part_of(), [Taught(seen([1, 2], 0), True)]) is None


def test_threads_of_the_process_are_as_before() -> None:
    before = torch.get_num_threads()
    teach(part_of(), [Taught(KNOWN, True)])
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["deeplog.safetensors", REPLAY])
@pytest.mark.parametrize("content", [None, b"no such thing"])
def test_a_bundle_without_what_to_go_on_from_is_refused(name: str, content: bytes | None) -> None:
    files = {**part_of().files, name: content or b""}
    if content is None:
        del files[name]
    with pytest.raises(BundleError, match="bundle"):
        teach(replace(part_of(), files=files), [Taught(KNOWN, True)])


def test_weights_of_another_vocabulary_are_refused() -> None:
    settings = {**part_of().settings, "vocabulary": {"keys": [1, 2]}}
    with pytest.raises(BundleError, match="size"):
        teach(replace(part_of(), settings=settings), [Taught(KNOWN, True)])


def test_growing_alone_changes_no_output_of_what_was_known() -> None:
    part = part_of()
    state, vocabulary = (
        from_safetensors(part.files["deeplog.safetensors"], "deeplog"),
        Vocabulary([1, 2, 3, 4, 5, 6, 7]),
    )
    assert part.settings["vocabulary"] == vocabulary.to_dict()
    larger, wider = grown(state, vocabulary, [30, 0, BEFORE_SESSION, END, 3, 30, 31])
    assert wider.keys == (*vocabulary.keys, 30, 31)

    ids = np.array([[1, 2, 3, 4], [1, 30, 31, 99], [BEFORE_SESSION, 1, 30, 2]])
    before = Unexported(restore(state, 8, 16, 1)).run(windows=vocabulary.encode(ids))[0]
    now = Unexported(restore(larger, 8, 16, 1)).run(windows=wider.encode(ids))[0]
    np.testing.assert_allclose(now[:, : SPECIALS + 7], before, atol=1e-6)
    assert grown(state, vocabulary, [3, 0]) == (state, vocabulary)


def test_deeplog_can_be_taught() -> None:
    assert TEACHERS["deeplog"] is teach_deeplog
