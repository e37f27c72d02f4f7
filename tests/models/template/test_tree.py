"""The template tree: exactness of batches, stable ids, caps, refused widenings, replicas, roll-back."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import TemplateError
from models.record import Distinct
from models.source.config import DrainSettings
from models.template.change import NO_TEMPLATE, OVERFLOW, Change
from models.template.tokens import MAX_CHARACTERS, tokenize
from models.template.tree import FORMAT, TemplateTree

# Few words and few children: collisions, wildcard nodes, widenings and captures happen in many an example.
ODD = st.sampled_from(["a", "b", "7", "x1", "<*>", "<NUM>", "é", "\\<*>"])
PLAIN = st.sampled_from(["a", "b", "c", "7", "8"])
MESSAGE = st.lists(ODD, max_size=4) | st.lists(PLAIN, min_size=2, max_size=2) | st.lists(PLAIN, min_size=3, max_size=3)
MESSAGES = st.lists(MESSAGE.map(" ".join), max_size=40)
SETTINGS = st.builds(
    DrainSettings,
    depth=st.integers(3, 6),
    similarity=st.sampled_from([0.3, 0.4, 0.5, 0.7]),
    max_children=st.integers(2, 4),
    max_templates=st.sampled_from([3, 8, 20_000]),
)
examples = settings(max_examples=150, deadline=None)


def new_tree(drain: DrainSettings | None = None) -> TemplateTree:
    return TemplateTree(drain or DrainSettings(), "tree-1")


def one_by_one(tree: TemplateTree, messages: list[str], budget: int | None) -> list[int]:
    """The plain loop that batches must equal, on a tree that has nothing cached."""
    ids = []
    for message in messages:
        tree = TemplateTree.restore(tree.snapshot())
        found = int(tree.match([message])[0])
        if found == NO_TEMPLATE:
            result = tree.assign([message], budget)
            found = int(result.ids[0])
            if budget is not None:
                budget -= sum(change.kind == "new" for change in result.changes)
        ids.append(found)
    return ids


@examples
@given(drain=SETTINGS, known=MESSAGES, messages=MESSAGES, budget=st.none() | st.integers(0, 6))
def test_batch_gives_what_line_by_line_gives(drain, known, messages, budget):
    tree = new_tree(drain)
    tree.assign(known)
    expected = one_by_one(tree, messages, budget)
    again = TemplateTree.restore(tree.snapshot())
    column = pl.Series(messages, dtype=pl.String)
    few = column.unique(maintain_order=True)
    distinct = Distinct(few, np.array([few.to_list().index(message) for message in messages], dtype=np.int64))

    result = tree.assign(column, budget)

    assert result.ids.tolist() == expected
    assert again.assign(column, budget, distinct).ids.tolist() == expected
    assert again.match(column, distinct).tolist() == again.match(column).tolist()
    assert result.ids.dtype == np.int64
    assert result.overflowed == expected.count(OVERFLOW)


@examples
@given(drain=SETTINGS, messages=MESSAGES, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_batch_boundaries_do_not_matter(drain, messages, cuts):
    whole, cut = new_tree(drain), new_tree(drain)
    expected = whole.assign(messages).ids.tolist()

    ids = []
    bounds = [0, *sorted(min(c, len(messages)) for c in cuts), len(messages)]
    for start, end in pairwise(bounds):
        ids += cut.assign(messages[start:end]).ids.tolist()

    assert ids == expected
    assert cut.snapshot() == whole.snapshot()


@examples
@given(drain=SETTINGS, before=MESSAGES, between=MESSAGES, after=MESSAGES)
def test_restored_and_caught_up_trees_behave_as_the_original(drain, before, between, after):
    original = new_tree(drain)
    original.assign(before)
    follower = TemplateTree.restore(json.loads(json.dumps(original.snapshot())))
    follower.match(before + between + after)
    changes = original.assign(between).changes
    follower.apply([Change.from_dict(json.loads(json.dumps(change.to_dict()))) for change in changes], "tree-1")
    restored = TemplateTree.restore(original.snapshot())

    everything = before + between + after
    matched = original.match(everything).tolist()
    assert restored.match(everything).tolist() == follower.match(everything).tolist() == matched
    learned = original.assign(after)
    for other in (restored, follower):
        result = other.assign(after)
        assert result.ids.tolist() == learned.ids.tolist()
        assert result.changes == learned.changes
        assert other.snapshot() == original.snapshot()


@examples
@given(drain=SETTINGS, before=MESSAGES, undone=MESSAGES, after=MESSAGES)
def test_rolled_back_tree_behaves_as_if_nothing_had_been_learned(drain, before, undone, after):
    tree, untouched = new_tree(drain), new_tree(drain)
    tree.assign(before)
    untouched.assign(before)
    version = tree.version
    tree.assign(undone)

    tree.rollback(version)

    assert tree.snapshot() == untouched.snapshot()
    assert tree.changes_since(0) == untouched.changes_since(0)
    everything = before + undone + after
    assert tree.match(everything).tolist() == untouched.match(everything).tolist()
    assert tree.assign(after).ids.tolist() == untouched.assign(after).ids.tolist()


@examples
@given(drain=SETTINGS, messages=MESSAGES, more=MESSAGES)
def test_what_matched_once_always_matches_and_exemplars_stay_their_own(drain, messages, more):
    tree = new_tree(drain)
    first = tree.assign(messages)
    kept = [message for message, id_ in zip(messages, first.ids.tolist(), strict=True) if id_ != OVERFLOW]
    tree.assign(more)

    assert NO_TEMPLATE not in tree.match(kept)
    for id_ in tree.texts():
        assert tree.match([tree.template(id_).exemplar]).tolist() == [id_]


@examples
@given(drain=SETTINGS, messages=MESSAGES)
def test_matching_changes_nothing(drain, messages):
    tree = new_tree(drain)
    tree.assign(messages[::2])
    before = tree.snapshot()

    first = tree.match(messages)

    assert tree.snapshot() == before
    assert tree.match(messages).tolist() == first.tolist()


def test_similar_message_widens_the_template_and_keeps_its_id():
    tree = new_tree()
    result = tree.assign(["user anna logged in", "user otto logged in", "disk full"])

    assert result.ids.tolist() == [1, 1, 2]
    assert tree.texts() == {1: "user <*> logged in", 2: "disk full"}
    assert [(change.version, change.kind, change.id) for change in result.changes] == [
        (1, "new", 1),
        (2, "widened", 1),
        (3, "new", 2),
    ]
    assert tree.template(1).exemplar == result.changes[1].exemplar == "user anna logged in"
    assert tree.version == 3
    assert len(tree) == 2


def capturable() -> TemplateTree:
    """Id 1 "<*> q z" holds "a q z", until a template below the node "a", which id 2 made, is wide enough."""
    tree = new_tree(DrainSettings(similarity=0.5))
    tree.assign(["7 q z", "8 q z", "a m n"])
    assert tree.match(["a q z"]).tolist() == [1]
    return tree


def test_line_before_a_capturing_change_keeps_its_id_and_the_line_after_has_the_new_one():
    tree = capturable()
    result = tree.assign(["a q z", "a r z", "a q z", "a s z", "a q z"])
    assert result.ids.tolist() == [1, 3, 1, 3, 3]
    assert tree.template(3).text == "a <*> z"


def test_message_seen_before_a_capturing_change_is_matched_anew():
    tree, follower = capturable(), capturable()
    changes = tree.assign(["a r z", "a s z"]).changes
    follower.apply(changes)
    assert tree.match(["a q z"]).tolist() == follower.match(["a q z"]).tolist() == [3]


def test_overflowed_message_is_taken_in_by_a_later_widening():
    tree = new_tree(DrainSettings(similarity=0.5))
    tree.assign(["a m n", "7 q z"])
    result = tree.assign(["a q z", "8 q z", "a q z"], minute_budget=0)
    assert result.ids.tolist() == [OVERFLOW, 2, 2]


def test_new_template_does_not_hide_an_older_one_below_the_wildcard():
    tree = new_tree(DrainSettings(similarity=0.5))
    tree.assign(["1 started now", "2 started now"])
    assert tree.texts() == {1: "<*> started now"}
    assert tree.match(["cron started now"]).tolist() == [1]

    tree.assign(["cron failed badly today", "cron failed badly"])

    assert tree.match(["cron started now"]).tolist() == [1]


def test_widening_that_would_swallow_another_exemplar_is_refused():
    tree = new_tree()
    # "cron" has a node of its own; numbers stand below the wildcard, where "<*> started all right" would match id 2.
    tree.assign(["cron x y z", "cron started all right", "1 started all right"])
    assert len(tree) == 3

    result = tree.assign(["2 started all right"])

    assert [(change.kind, change.id) for change in result.changes] == [("new", 4)]
    assert tree.template(3).text == "1 started all right"
    assert tree.match(["cron started all right"]).tolist() == [2]


def test_past_the_budget_messages_overflow_and_teach_nothing():
    tree = new_tree()
    result = tree.assign(["one", "two words", "three words here", "one", "two words"], minute_budget=1)

    assert result.ids.tolist() == [1, OVERFLOW, OVERFLOW, 1, OVERFLOW]
    assert result.overflowed == 3
    assert len(tree) == 1
    assert tree.match(["two words"]).tolist() == [NO_TEMPLATE]
    assert tree.assign(["two words"]).ids.tolist() == [2]


def test_widening_needs_no_budget():
    tree = new_tree()
    tree.assign(["user anna logged in"])
    result = tree.assign(["user otto logged in"], minute_budget=0)
    assert result.ids.tolist() == [1]
    assert result.overflowed == 0


def test_tree_never_holds_more_than_max_templates():
    tree = new_tree(DrainSettings(max_templates=3))
    result = tree.assign([" ".join("w" * n) for n in range(1, 10)])
    assert result.ids.tolist() == [1, 2, 3] + [OVERFLOW] * 6
    assert len(tree) == 3
    assert tree.template(OVERFLOW).text == "<overflow>"


@pytest.mark.parametrize(
    "message",
    [
        "",
        " ".join(f"w{n}" for n in range(10_000)),
        "x" * 100_000,
        "<*>",
        "<*> <*> <*>",
        "<NUM> <BLK>",
        "\u202e\u0000 \ufffd 𝔘𝔫𝔦 ✂\u0301 \u00a0x\u2003y",
        "\\<*> <...>",
    ],
    ids=lambda message: f"{len(message)} characters",
)
def test_hostile_message_gets_a_template_of_its_own_and_takes_no_other(message):
    tree = new_tree()
    tree.assign(["usual thing", "usual third thing", "word"])
    result = tree.assign([message, message, "usual thing"])

    assert result.ids.tolist() == [4, 4, 1]
    assert tree.match(["nothing like", "nothing like this", "it", ""]).tolist()[:3] == [NO_TEMPLATE] * 3
    assert len(tree.template(4).text) <= MAX_CHARACTERS
    restored = TemplateTree.restore(json.loads(json.dumps(tree.snapshot())))
    assert restored.match([message, tree.template(4).exemplar]).tolist() == [4, 4]


@given(st.text(alphabet=st.sampled_from("<*>\\ ax"), max_size=30), st.integers(0, 3))
def test_tokens_read_again_are_the_same(text, times):
    message = text + " <*>" * (times * MAX_CHARACTERS // 4)
    tokens = tokenize(message)
    assert tokenize(" ".join(tokens)) == tokens
    assert len(" ".join(tokens)) <= MAX_CHARACTERS
    assert "<*>" not in tokens


def test_messages_beyond_what_is_remembered_match_all_the_same(monkeypatch):
    monkeypatch.setattr("models.template.tree.SEEN_CAPACITY", 8)
    tree = new_tree()
    messages = [f"user u{n} logged in" for n in range(50)]
    assert set(tree.assign(messages).ids.tolist()) == {1}
    assert set(tree.match(messages).tolist()) == {1}
    tree.assign(["host h1 went away", "host h2 went away"])
    assert set(tree.match(messages).tolist()) == {1}


def test_changes_already_held_are_skipped():
    leader, follower = new_tree(), new_tree()
    changes = leader.assign(["a b", "a c", "d"]).changes
    follower.apply(changes[:2])
    follower.apply(changes)
    follower.apply(changes)
    assert follower.snapshot() == leader.snapshot()
    assert leader.changes_since(1) == changes[1:]


def test_gap_in_changes_is_refused():
    changes = new_tree().assign(["a b", "a c", "d"]).changes
    with pytest.raises(TemplateError, match="version 0 and was given change 2"):
        new_tree().apply(changes[1:])


def test_changes_of_another_tree_are_refused():
    leader, other = new_tree(), new_tree()
    changes = leader.assign(["a b", "a c", "d"]).changes
    with pytest.raises(TemplateError, match="offered to tree tree-1"):
        new_tree().apply(changes, tree_id="tree-2")
    other.assign(["x"])
    with pytest.raises(TemplateError, match="not the one"):
        other.apply(changes)
    other.assign(["y z"])
    with pytest.raises(TemplateError, match="cannot follow"):
        TemplateTree.restore(other.snapshot()).apply(changes)


def test_changes_from_before_a_restore_are_not_pretended_to_be_held():
    tree = new_tree()
    tree.assign(["a b", "c"])
    restored = TemplateTree.restore(tree.snapshot())
    restored.assign(["d e f"])
    assert [change.version for change in restored.changes_since(2)] == [3]
    with pytest.raises(TemplateError, match="use a snapshot"):
        restored.changes_since(1)
    with pytest.raises(TemplateError, match="use a snapshot"):
        restored.rollback(1)


def test_snapshot_of_a_newer_format_is_refused():
    snapshot = new_tree().snapshot() | {"format": FORMAT + 1}
    with pytest.raises(TemplateError, match="upgrade Tocsin"):
        TemplateTree.restore(snapshot)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": None},
        {"settings": {"depht": 4}},
        {"version": 0},
        {"templates": [{"id": 2, "tokens": ["a"], "origin": ["a"]}]},
        {"templates": [{"id": 1, "tokens": ["a"], "origin": ["b"]}]},
        {"templates": [{"id": 1, "tokens": ["<*>"], "origin": ["<*>"]}]},
        {"templates": [{"id": 1, "tokens": [1], "origin": [1]}]},
        {"templates": [{"id": 1}]},
    ],
    ids=str,
)
def test_damaged_snapshot_is_refused(damage):
    tree = new_tree()
    tree.assign(["a"])
    with pytest.raises(TemplateError):
        TemplateTree.restore(tree.snapshot() | damage)


@pytest.mark.parametrize("damage", [{"kind": "gone"}, {"tokens": ["z"]}, {"id": "1"}, {"origin": None}], ids=str)
def test_damaged_change_is_refused(damage):
    change = new_tree().assign(["a b"]).changes[0].to_dict()
    with pytest.raises(TemplateError):
        Change.from_dict(change | damage)
    del change["tokens"]
    with pytest.raises(TemplateError, match="lacks 'tokens'"):
        Change.from_dict(change)


def test_unknown_template_says_what_to_do():
    with pytest.raises(TemplateError, match="apply newer changes first"):
        new_tree().template(1)
