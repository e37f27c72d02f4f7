"""Sessions called normal fall silent, by either of LogBERT's members, and nothing that matters is lost by that."""

from functools import cache

import numpy as np
import pytest

from models.errors import BundleError
from models.graph import Graph
from models.logbert.detector import LogBERT, LogBERTDistance
from models.registry import END_MEMBERS, Parts
from models.sessions import Float64
from models.vocabulary import Vocabulary
from tests.training.logbert.test_fitted import DONE, READ, SESSIONS, SETTINGS, SETUP, TEARDOWN, draw
from training.learning.teaching import Learned, Live, Part, Taught
from training.logbert import fit_logbert
from training.logbert.rehearsal import REPLAY, TOKENS, Rehearsed, read_rehearsed
from training.logbert.teach import GRAPH, WEIGHTS, teach_logbert
from training.member import Corpus
from training.onnx import from_safetensors
from training.progress import silent

SWAPPED = [11, 12, 14, 13, READ, DONE, *TEARDOWN]
FRESH = [*SETUP, READ, DONE, 99, 98, *TEARDOWN]
"""With two keys that training did not see."""
BROKEN = [*TEARDOWN, *SETUP]


@cache
def parts() -> tuple[Part, Part]:
    members = fit_logbert(Corpus.of_keys(SESSIONS), SETTINGS, seed=3)
    keys, distance = (Part(one.name, one.settings, one.files, one.threshold) for one in members)
    return keys, distance


def after(part: Part, learned: Learned | None) -> Part:
    assert learned is not None
    return Part(part.name, learned.settings, {**part.files, **learned.files}, part.bar)


def raws(part: Part, *sequences: list[int]) -> Float64:
    vocabulary, graph = Vocabulary.from_dict(part.settings["vocabulary"]), Graph(part.files[GRAPH], "cpu")
    kind = LogBERT if part.name == "logbert" else LogBERTDistance
    return kind.from_graph(vocabulary, graph).score_sequences([np.array(one) for one in sequences])


def rings(part: Part, *sequences: list[int]) -> list[bool]:
    found: list[bool] = (raws(part, *sequences) >= part.bar).tolist()
    return found


def teach(part: Part, *said: tuple[list[int], bool]) -> Learned | None:
    return teach_logbert(part, [Taught({"sequence": one}, normal) for one, normal in said], 0, silent)


def test_a_session_called_normal_falls_silent_and_a_real_anomaly_keeps_ringing() -> None:
    part, _ = parts()
    assert rings(part, SWAPPED, BROKEN) == [True, True]
    learned = teach(part, (SWAPPED, True), (BROKEN, False))
    taught = after(part, learned)
    assert rings(taught, SWAPPED, BROKEN) == [False, True]
    assert learned is not None
    told = learned.told
    assert (told["lessons"], told["below"], told["protected"], told["new_keys"]) == (1, 1, 1, [])
    assert told["seconds"] < 20.0
    normal = [one.tolist() for one in draw(60, seed=4)]
    assert sum(rings(taught, *normal)) <= sum(rings(part, *normal))


def test_keys_called_normal_are_appended_and_no_place_changes_its_meaning() -> None:
    part, distance = parts()
    before = Vocabulary.from_dict(part.settings["vocabulary"]).keys
    learned = teach(part, (FRESH, True))
    taught = after(part, learned)
    assert Vocabulary.from_dict(taught.settings["vocabulary"]).keys == (*before, 99, 98)
    assert rings(taught, FRESH, BROKEN, [*SETUP, READ, DONE, 97, *TEARDOWN]) == [False, True, True]
    # The other member is read with the same graph.
    files = {**distance.files, **taught.files}
    everyone = {"logbert": taught.settings, "logbert_distance": distance.settings}
    both = Parts(distance.settings, files, lambda _: Graph(files[GRAPH], "cpu"), str, everyone)
    normal = [one.tolist() for one in SESSIONS[:20]]
    now = END_MEMBERS["logbert_distance"](both, 0).score_seen([{"sequence": one} for one in normal])
    then = raws(distance, *normal)
    assert now == pytest.approx(then, rel=0.3, abs=0.2)
    # And may be taught from there.
    on = Part(distance.name, distance.settings, files, 1e9)
    assert teach(on, (FRESH, True)) is None


def test_the_distance_is_taught_too() -> None:
    _, part = parts()
    assert rings(part, [33], BROKEN) == [True, True]
    taught = after(part, teach(part, ([33], True), (BROKEN, False)))
    assert rings(taught, [33], BROKEN) == [False, True]
    assert taught.settings["vocabulary"] == part.settings["vocabulary"]
    assert not any(rings(taught, *[one.tolist() for one in SESSIONS]))


def test_the_very_session_that_was_confirmed_cannot_become_normal() -> None:
    for part in parts():
        assert teach(part, (BROKEN, True), (BROKEN, False)) is None


def test_no_session_of_live_traffic_comes_to_ring() -> None:
    for part, strange in zip(parts(), (SWAPPED, [33]), strict=True):
        live = [draw(40, seed=5)[at] for at in range(40)]
        quiet = tuple(one for one in live if not rings(part, one.tolist())[0])
        none = np.empty((0, 0), dtype=np.int64), np.empty(0, dtype=np.int64)
        shown = Part(part.name, part.settings, part.files, part.bar, Live(*none, quiet))
        taught = after(part, teach(shown, (strange, True)))
        assert not any(rings(taught, *[one.tolist() for one in quiet]))
        kept, before = read_rehearsed(taught.files), read_rehearsed(part.files)
        assert kept is not None
        assert before is not None
        assert len(kept.sequences) <= len(before.sequences) + 1  # live traffic stays out of the bundle


def test_live_sessions_are_rehearsed_as_far_as_they_fit() -> None:
    own = [np.array([1, 2]), np.array([3])]
    past = Rehearsed(own, np.array([4.0, 5.0]), Vocabulary([1, 2, 3]))
    live = [np.array([3]), *(np.full(100, at) for at in range(200))]
    every, shown = past.beside(live, 0)
    assert [one.tolist() for one in every.sequences[:2]] == [[1, 2], [3]]
    assert shown.tolist() == [False, True] + [True] * (TOKENS // 100)
    assert every.count.tolist() == [4.0, 5.0] + [0.0] * (TOKENS // 100)


def test_where_nothing_called_normal_rings_nothing_changes() -> None:
    part, _ = parts()
    assert teach(part) is None
    assert teach(part, (SESSIONS[0].tolist(), True), (BROKEN, False), ([], True)) is None


def test_what_was_learned_is_rehearsed_by_the_next_teaching() -> None:
    part, _ = parts()
    first = after(part, teach(part, (FRESH, True)))
    kept = read_rehearsed(first.files)
    assert kept is not None
    assert kept.sequences[-1].tolist() == FRESH
    assert kept.vocabulary.keys[-2:] == (99, 98)
    second = after(first, teach(first, (SWAPPED, True)))
    assert rings(second, FRESH, SWAPPED, BROKEN) == [False, False, True]


def test_the_same_answers_give_the_same_network() -> None:
    part, _ = parts()
    one, other = teach(part, (SWAPPED, True), (FRESH, True)), teach(part, (SWAPPED, True), (FRESH, True))
    assert one is not None
    assert other is not None
    assert one.files == other.files


def test_a_bundle_without_sessions_to_rehearse_is_left_as_it_is() -> None:
    for part in parts():
        files = {name: content for name, content in part.files.items() if name != REPLAY}
        assert teach(Part(part.name, part.settings, files, part.bar), (SWAPPED, True)) is None


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, REPLAY])
@pytest.mark.parametrize("content", [b"\x00broken", b"PK\x03\x04", None])
def test_a_damaged_bundle_is_refused(name: str, content: bytes | None) -> None:
    part, _ = parts()
    files = {**part.files, name: content or b""}
    if content is None:
        if name == REPLAY:
            return
        del files[name]
    with pytest.raises(BundleError, match="restore"):
        teach(Part(part.name, part.settings, files, part.bar), (SWAPPED, True))


def test_weights_of_another_size_are_refused() -> None:
    part, _ = parts()
    settings = {**part.settings, "training": {**part.settings["training"], "width": 32}}
    with pytest.raises(BundleError, match="cannot go on"):
        teach(Part(part.name, settings, part.files, part.bar), (SWAPPED, True))
    grown = after(part, teach(part, (FRESH, True)))
    assert len(from_safetensors(grown.files[WEIGHTS], "logbert")["embedding.weight"]) == 2 + len(
        from_safetensors(part.files[WEIGHTS], "logbert")["embedding.weight"]
    )


def test_the_sessions_of_a_bundle_are_few() -> None:
    random = np.random.default_rng(0)
    sequences = [random.integers(1, 50, int(length)) for length in random.integers(1, 60, 2_000)]
    kept = Rehearsed.sample(sequences, np.arange(1.0, 2_001.0), Vocabulary(range(1, 50)), 0)
    content = kept.to_npz()
    assert len(content) < 100_000
    back = read_rehearsed({REPLAY: content})
    assert back is not None
    assert 0.8 * TOKENS < sum(map(len, back.sequences)) <= TOKENS
    assert [one.tolist() for one in back.sequences] == [one.tolist() for one in kept.sequences]
    more = back.with_lessons([np.full(200, 7)], back.vocabulary)
    assert sum(map(len, more.sequences)) <= TOKENS
    assert more.sequences[-1].tolist() == [7] * 200
    assert len(more.count) == len(more.sequences)
