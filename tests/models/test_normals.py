"""Normal sessions of a bundle: which are kept, which is nearest, and what a damaged file says."""

import numpy as np
import orjson
import pytest

from models.errors import BundleError
from models.normals import LONGEST, Nearest, Normals
from models.sessions import Int64


def of(*sessions: str) -> list[Int64]:
    return [np.array([ord(event) for event in session], dtype=np.int64) for session in sessions]


def keys(session: str) -> list[int]:
    return [*map(ord, session)]


def steps(found: Nearest | None) -> str:
    assert found is not None
    return " ".join(f"{step.kind}:{chr(step.key)}" for step in found.contrast.steps)


def test_the_most_frequent_ways_are_kept_and_say_how_many_went_so() -> None:
    normals = Normals.fit(of("AB", "ABC", "AB", "XY", "ABC", "AB", ""), seed=0, kept=2)
    assert (len(normals), normals.sessions) == (2, 5)
    found = normals.nearest(keys("XAB"), begun=True, ended=True)
    assert found is not None
    assert found.sessions == 3


def test_of_equally_frequent_ways_the_same_seed_keeps_the_same() -> None:
    sessions = of(*(f"A{chr(66 + n)}" for n in range(50)))
    kept = Normals.fit(sessions, seed=3, kept=10).to_json()
    assert kept == Normals.fit(sessions, seed=3, kept=10).to_json()
    assert kept != Normals.fit(sessions, seed=4, kept=10).to_json()


def test_what_all_hold_together_is_bounded() -> None:
    normals = Normals.fit(of("ABCDE", "ABCDE", "ABCD", "AB"), seed=0, events=8)
    assert sorted(map(len, orjson.loads(normals.to_json())["sequences"])) == [2, 5]
    long = [np.arange(LONGEST + 100)]
    assert len(orjson.loads(Normals.fit(long, seed=0).to_json())["sequences"][0]) == LONGEST


def test_the_nearest_lacks_or_adds_the_fewest_events_and_of_equals_the_most_frequent_is_told() -> None:
    normals = Normals.fit(of("ABCD", "ABCD", "AXYD", "AXYD", "AXYD", "PQ"), seed=0)
    assert steps(normals.nearest(keys("ABD"), begun=True, ended=True)) == "same:A same:B missing:C same:D"
    found = normals.nearest(keys("AD"), begun=True, ended=True)
    assert found is not None
    assert (found.sessions, found.contrast.count("missing")) == (3, 2)


def test_an_open_session_is_compared_as_far_as_it_came() -> None:
    normals = Normals.fit(of("ABCDEFGH", "AZ"), seed=0)
    found = normals.nearest(keys("AB"), begun=True, ended=False)
    assert steps(found) == "same:A same:B"
    assert found is not None
    assert found.contrast.after == 6
    assert steps(normals.nearest(keys("AB"), begun=True, ended=True)) == "same:A extra:B missing:Z"


def test_a_session_whose_beginning_is_not_kept_is_compared_as_a_part() -> None:
    normals = Normals.fit(of("ABCDEFGH", "AZ"), seed=0)
    found = normals.nearest(keys("DFG"), begun=False, ended=False)
    assert steps(found) == "same:D missing:E same:F same:G"
    assert found is not None
    assert (found.contrast.before, found.contrast.after) == (3, 1)


def test_how_a_normal_session_goes_on_that_was_cut_is_not_held_against_an_ended_one() -> None:
    normals = Normals([[1, 2, 3, 4]], [1], longest=4)
    found = normals.nearest([1, 2], begun=True, ended=True)
    assert found is not None
    assert (found.contrast.count("missing"), found.contrast.after) == (0, 2)


def test_more_keys_than_are_looked_at_are_a_part() -> None:
    normals = Normals.fit([np.arange(LONGEST)], seed=0)
    found = normals.nearest([*range(LONGEST), 7], begun=True, ended=False)
    assert found is not None
    assert len(found.contrast.steps) == LONGEST
    assert found.contrast.before == 1
    assert found.contrast.count("extra") == 1


def test_nothing_in_common_is_no_neighbour() -> None:
    normals = Normals.fit(of("AB"), seed=0)
    assert normals.nearest(keys("XYZ"), begun=True, ended=True) is None
    assert normals.nearest([], begun=True, ended=True) is None
    assert Normals.fit([], seed=0).nearest(keys("A"), begun=True, ended=False) is None


def test_what_is_stored_is_read_back() -> None:
    normals = Normals.fit(of("ABC", "AB"), seed=0)
    again = Normals.from_json(normals.to_json())
    assert again.to_json() == normals.to_json()
    assert again.nearest(keys("AC"), begun=True, ended=True) == normals.nearest(keys("AC"), begun=True, ended=True)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"sequences": [[1]], "counts": [], "longest": 4}',
        b'{"sequences": [[]], "counts": [1], "longest": 4}',
        b'{"sequences": [[1, 2, 3]], "counts": [1], "longest": 2}',
        b'{"sequences": [["a"]], "counts": [1], "longest": 2}',
        b'{"sequences": [1], "counts": [1], "longest": 2}',
        b'{"sequences": [[1e300]], "counts": [1], "longest": 2}',
    ],
)
def test_a_damaged_file_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"normals\.json is damaged"):
        Normals.from_json(content)
