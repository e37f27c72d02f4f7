"""What is left of a masked message for the network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cldtlog.words import MAX_CHARACTERS, MAX_WORDS, prepared


@pytest.mark.parametrize(
    ("masked", "words"),
    [
        ("Receiving block <BLK> src: <IP> dest: <IP>", "receiving block blk src ip dest ip"),
        ("took <NUM> ms, at <HEX>", "took ms at"),
        ("core.2275: E10 error_code=0x1f", "core e error code x f"),
        ("<*> 1234 -- ::", ""),
        ("", ""),
        ("Größe ÜBER 5 Ж", "größe über ж"),
        ("a\x00b\nc\ud800d", "a b c d"),
    ],
)
def test_words_in_lower_case_are_left(masked: str, words: str) -> None:
    assert prepared(masked) == words


def test_a_hostile_line_is_cut() -> None:
    assert len(prepared("ab " * 100_000).split()) == MAX_WORDS
    assert len(prepared("a" * 1_000_000)) == MAX_CHARACTERS
    # Lower-casing can make a text longer.
    assert len(prepared("İ" * 1_000)) <= MAX_CHARACTERS


@given(st.text(max_size=200))
def test_letters_alone_are_left_of_any_text(masked: str) -> None:
    once = prepared(masked)
    assert len(once) <= MAX_CHARACTERS
    assert not any(character.isdecimal() or character.isdigit() or character == "_" for character in once)
    if once.isascii():
        assert prepared(once) == once
