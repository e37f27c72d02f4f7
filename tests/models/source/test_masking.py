"""Masks: order, the kept group, white space, and that a message is masked the same alone as among others."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from models.source import Mask, Source, presets
from models.source.masking import Masker


def masked(text: str, *masks: tuple[str, str]) -> str:
    return str(Masker([Mask(*mask) for mask in masks]).mask(pl.Series([text]))[0])


def test_masks_apply_in_order_and_white_space_collapses() -> None:
    assert masked(" at  10.0.0.1\n\tport 80 ", ("IP", r"[0-9.]{7,}"), ("NUM", "[0-9]+")) == "at <IP> port <NUM>"
    assert masked("a  b") == "a b"


def test_kept_group_stays_in_front_even_where_matches_share_a_separator() -> None:
    mask = ("NUM", r"(?P<keep>^|[^\w$])[0-9]+\b")
    assert masked("1,2 3 $4 x5", mask) == "<NUM>,<NUM> <NUM> $4 x5"


def test_repetitive_batches_are_masked_like_single_messages() -> None:
    masker = Masker(Source.load("hdfs").masks)
    messages = [f"Served block blk_{n % 7} to /10.0.0.{n % 5}" for n in range(1_000)]
    messages += [f"part {n} of blk_{n}" for n in range(2_000)]
    alone = {message: masker.mask(pl.Series([message]))[0] for message in set(messages)}
    whole, distinct = masker.distinct(pl.Series(messages))
    assert whole.to_list() == [alone[message] for message in messages]
    assert distinct is not None
    assert len(distinct.messages) < len(messages) / 2
    assert distinct.messages.gather(distinct.code).to_list() == whole.to_list()
    assert set(alone.values()) == {"Served block <BLK> to <IP>", "part <NUM> of <BLK>"}


PIECES = st.one_of(
    st.text(max_size=6), st.sampled_from(["10.0.0.1:80", "blk_-5", "/a/b", "0xFF", " ", "\n", "1.5", "''"])
)


@settings(deadline=None)  # machines under load
@given(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=8), st.sampled_from(presets()))
def test_batch_equals_one_at_a_time_whatever_the_text(messages: list[str], preset: str) -> None:
    masker = Masker(Source.load(preset).masks)
    column = pl.Series(messages, dtype=pl.String)
    alone = [masker.mask(pl.Series([message]))[0] for message in messages]
    assert masker.mask(column).to_list() == alone
    repeated = pl.concat([column] * 300) if messages else column
    whole, distinct = masker.distinct(repeated)
    assert whole.to_list() == alone * (300 if messages else 1)
    if messages:
        assert distinct is not None
        assert distinct.messages.gather(distinct.code).to_list() == whole.to_list()
