"""RE2 beside Rust's engine: the patterns that are taken for shared mean the same on every readable text."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.source import Source, linear, presets

ATOMS = ["a", "b", "7", "-", ".", r"\d", r"\w", r"\W", r"\s", r"\S", r"\.", r"\/", "[ab]", "[^a]", "[0-9a-]", "[]b]",
         " ", "[^]a]", r"[\w.]", "[[:digit:]]", r"[^\S ]", "x", "/"]  # fmt: skip
EDGES = [r"\b", r"\B", "^", "$", r"\A", r"\z"]


def _joined(parts: list[str]) -> str:
    return "".join(parts)


PATTERN = st.recursive(
    st.one_of(st.sampled_from(ATOMS), st.sampled_from(EDGES)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(_joined),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"(?i:{part})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{1,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)
TEXT = st.text(st.sampled_from("abAB7-._/ \tx"), max_size=14)


def by_polars(expression: pl.Expr, text: str) -> object:
    return pl.DataFrame({"text": [text]}).select(expression).item()


@settings(deadline=None, max_examples=400)
@given(pattern=PATTERN, text=TEXT)
def test_a_shared_pattern_finds_the_same(pattern: str, text: str) -> None:
    found = linear.compiled(pattern)
    assert found is not None, pattern
    raw, column = text.encode(), pl.col("text")
    assert found.contains(raw) == by_polars(column.str.contains(pattern), text)
    theirs = list(by_polars(column.str.extract_all(pattern), text))  # type: ignore[call-overload]
    try:
        assert [part.decode() for part in found.find_all(raw)] == theirs
        assert found.replace_all(raw, b"<X>", None).decode() == by_polars(column.str.replace_all(pattern, "<X>"), text)
    except linear.EmptyMatch:
        pass  # left to polars, which may have passed over the place
    groups = found.extract(raw)
    for number in range(pattern.count("(") - pattern.count("(?")):
        ours = None if groups is None else groups[number]
        group = by_polars(column.str.extract(pattern, number + 1), text)
        assert (None if ours is None else ours.decode()) == group


@settings(deadline=None, max_examples=100)
@given(text=st.text(st.sampled_from("ab=7 "), max_size=12))
def test_what_a_mask_keeps_stays_in_front(text: str) -> None:
    pattern = "(?P<keep>a=|b)?7+"
    found = linear.compiled(pattern)
    assert found is not None
    replaced = found.replace_all(text.encode(), b"<N>", found.groups["keep"])
    assert replaced.decode() == by_polars(pl.col("text").str.replace_all(pattern, "${keep}<N>"), text)


@pytest.mark.parametrize(
    "pattern",
    ["[a-z&&[^b]]", "[a--b]", "[a~~b]", r"\b{start}a", r"\<a", r"\p{L}", r"\x41", r"\u{41}", "(?x) a b", "(?U)a+", "é",
     "a{,3}", "[[a]b]", r"\Qa\E", "(?P=x)", r"\v", "(?#a)b"],
)  # fmt: skip
def test_what_the_engines_may_read_differently_is_left_to_polars(pattern: str) -> None:
    assert linear.compiled(pattern) is None


@pytest.mark.parametrize("text", ["é", "a\x0b", "a\nb", "\x1b[0m", "\x7f", "a\u2028"])
def test_texts_on_which_the_engines_differ_are_not_readable(text: str) -> None:
    assert not linear.readable(text)


def test_tabs_and_printable_ascii_are_readable() -> None:
    assert linear.readable("a\tb ~ !")


@pytest.mark.parametrize("preset", [name for name in presets() if Source.load(name).header.kind in ("regex", "raw")])
def test_every_preset_s_patterns_are_shared(preset: str) -> None:
    source = Source.load(preset)
    patterns = [mask.pattern for mask in source.masks]
    patterns += [found for found in (source.header.pattern, source.starts_with, source.session.pattern) if found]
    assert [pattern for pattern in patterns if linear.compiled(pattern) is None] == []
