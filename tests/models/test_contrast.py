"""Two sessions side by side: each kind of step, the cheapest alignment, and what is not held against a part."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from rapidfuzz.distance import Indel

from models.contrast import Contrast, contrast

MARKS = {"same": "", "missing": "-", "extra": "+", "earlier": "<", "later": ">"}


def laid(session: str, normal: str, *, begun: bool = True, ended: bool = True) -> tuple[str, int, int]:
    """Steps as words with a mark before what differs, and what of the normal session is outside."""
    found = contrast([*map(ord, session)], [*map(ord, normal)], begun=begun, ended=ended)
    return " ".join(MARKS[step.kind] + chr(step.key) for step in found.steps), found.before, found.after


@pytest.mark.parametrize(
    ("session", "normal", "steps"),
    [
        ("ABC", "ABC", "A B C"),
        ("ABD", "ABCD", "A B -C D"),
        ("ABXC", "ABC", "A B +X C"),
        ("ABBBC", "ABC", "A B +B +B C"),
        ("ACBD", "ABCD", "A <C B D"),
        ("BCA", "ABC", "B C >A"),
        ("AB", "ABCD", "A B -C -D"),
        ("XY", "AB", "+X +Y -A -B"),
    ],
)
def test_what_is_missing_extra_or_out_of_turn_in_a_whole_session(session: str, normal: str, steps: str) -> None:
    assert laid(session, normal) == (steps, 0, 0)


def test_what_an_open_session_has_not_done_yet_is_not_missing() -> None:
    assert laid("AB", "ABCD", ended=False) == ("A B", 0, 2)
    assert laid("ABD", "ABCDE", ended=False) == ("A B -C D", 0, 1)
    assert laid("ABX", "ABCD", ended=False) == ("A B +X", 0, 2)


def test_what_is_to_come_and_came_already_came_early() -> None:
    assert laid("ABE", "ABCDE", ended=False) == ("A B <E", 0, 3)


def test_what_came_before_the_keys_that_were_kept_is_not_missing() -> None:
    assert laid("DE", "ABCDE", begun=False) == ("D E", 3, 0)
    assert laid("CXD", "ABCDE", begun=False, ended=False) == ("C +X D", 2, 1)
    assert laid("CA", "CACACA", begun=False, ended=False) == ("C A", 0, 4), "as early as it fits"


@given(st.text("ABC", max_size=12), st.text("ABC", max_size=12))
def test_a_whole_session_differs_by_the_indel_distance(session: str, normal: str) -> None:
    found = contrast([*map(ord, session)], [*map(ord, normal)], begun=True, ended=True)
    moved = found.count("earlier", "later")
    assert found.count("missing", "extra") + 2 * moved == Indel.distance(session, normal)


@given(st.text("ABCD", max_size=10), st.text("ABC", max_size=10), st.booleans(), st.booleans())
def test_every_event_is_there_once_in_order_and_no_part_costs_more_than_the_whole(
    session: str, normal: str, begun: bool, ended: bool
) -> None:
    keys, others = [*map(ord, session)], [*map(ord, normal)]
    found = contrast(keys, others, begun=begun, ended=ended)
    assert [step.key for step in found.steps if step.kind != "missing"] == keys
    assert (begun and found.before, ended and found.after) == (0, 0) or not (begun or ended)
    best = min(
        Indel.distance(session, normal[start:stop])
        for start in range(1 if begun else len(normal) + 1)
        for stop in ([len(normal)] if ended else range(start, len(normal) + 1))
    )
    assert _differing(found, others, ended) == best


def _differing(found: Contrast, normal: list[int], ended: bool) -> int:
    """Edits: what is out of turn is extra, and missing where its turn lies inside what is compared."""
    kept = len(normal) - found.before - found.after
    came = found.count("same", "extra", "earlier", "later")
    extra = found.count("extra", "earlier", "later")
    return extra + kept - (came - extra)
