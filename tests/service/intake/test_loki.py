"""Loki bodies to entries: lines, labels, times, and what is wrong with the others."""

import tracemalloc
from contextlib import suppress
from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.entry import Refused
from service.intake.loki import decode_json, decode_protobuf, parse_labels, unsnapped
from tests.service.intake.bodies import TIME_NS, accounted, loki_entry, loki_json, loki_push, message, outcome, varint

FEW = settings(max_examples=40, deadline=None)
NAMES = ("job", "trace", "x")


def test_both_encodings_give_the_same_entries() -> None:
    protobuf = loki_push('{job="shop", host="a"}', loki_entry("first"), loki_entry("second", trace="t", host="b"))
    json = orjson.dumps(loki_json("first", [str(TIME_NS), "second", {"trace": "t", "host": "b"}], job="shop", host="a"))
    for decoded in (decode_protobuf(protobuf, 2), decode_json(json, 2)):
        told = [(e.index, e.line, e.seen_ns, e.time_ns) for e in decoded.entries]
        assert told == [(0, "first", TIME_NS, None), (1, "second", TIME_NS, None)]
        names = ("job", "host", "trace", "x")
        assert [[e.labels.get(name) for name in names] for e in decoded.entries] == [
            ["shop", "a", None, None],
            ["shop", "b", "t", None],
        ]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("{}", {}),
        (' { a = "1" ,b="2", } ', {"a": "1", "b": "2"}),
        (r'{a="say \"x\"\n\\", b=`raw\n`}', {"a": 'say "x"\n\\', "b": r"raw\n"}),
        (r'{a="\x41\u00e9\U0001F600\101"}', {"a": "Aé😀A"}),
        ('{a="{b=\\"c\\"}"}', {"a": '{b="c"}'}),
    ],
)
def test_labels_read_as_go_writes_them(text: str, labels: dict[str, str]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize("text", ["", "a", "{a}", '{a="b" c="d"}', "{a=b}", '{"a"="b"}', '{a="b', r'{a="\uD800"}'])
def test_labels_that_do_not_read_cost_their_stream_only(text: str) -> None:
    with pytest.raises(ValueError, match="label"):
        parse_labels(text)
    decoded = decode_protobuf(loki_push(text, loki_entry("lost")) + loki_push("{}", loki_entry("kept")), 5)
    assert [entry.index for entry in decoded.entries] == [1]
    assert list(decoded.errors) == [0]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "a value must be"),
        ([], "a value must be"),
        ([1, "line"], "as a string"),
        (["noon", "line"], "as a string"),
        (["9" * 30, "line"], "as a string"),
        (["²", "line"], "as a string"),
        ([str(2**64 - 1) + "0", "line"], "as a string"),
        ([str(TIME_NS), 5], "line must be"),
        ([str(TIME_NS), "line", "m"], "metadata must be"),
    ],
)
def test_a_bad_value_costs_nothing_but_itself(value: Any, says: str) -> None:
    decoded = decode_json(orjson.dumps(loki_json("before", value, "after")), 3)
    assert [entry.index for entry in decoded.entries] == [0, 2]
    assert says in decoded.errors[1]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (message(2, "no time"), "no timestamp"),
        (loki_entry(b"\xff"), "UTF-8"),
        (loki_entry("x" * 2**20), "at most 1048576"),
        (loki_entry("x", -(2**62) * 1_000_000_000), "years 1 to 9999"),
        (b"\x0a\x7f", "pars"),
    ],
)
def test_a_bad_entry_costs_nothing_but_itself(entry: bytes, says: str) -> None:
    decoded = decode_protobuf(loki_push("{}", loki_entry("before"), entry, loki_entry("after", -1)), 3)
    assert [(e.index, e.seen_ns) for e in decoded.entries] == [(0, TIME_NS), (2, -1)]
    assert says in decoded.errors[1]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"{oops", b'{"streams": [5]}', b'{"streams": [{"stream": 5, "values": []}]}', b"[" * 99_999],
)
def test_json_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        decode_json(body, 5)
    assert refusal.value.status == 400


def test_what_is_no_protobuf_is_refused() -> None:
    with pytest.raises(Refused, match="no PushRequest"):
        decode_protobuf(b"\x0a\x05ab", 5)


def test_more_entries_than_the_limit_are_refused_however_small() -> None:
    push = loki_push("{}", *[loki_entry("x")] * 3)
    assert decode_protobuf(push, 3).received == 3
    for body, decode in (
        (push, decode_protobuf),
        (orjson.dumps(loki_json("a", "b", "c")), decode_json),
        (message(1, b"\x12\x00" * 100_000), decode_protobuf),
    ):
        with pytest.raises(Refused) as refusal:
            decode(body, 2)
        assert refusal.value.status == 413


def test_snappy_is_unpacked_up_to_the_limit() -> None:
    plain = b"x" * 10_000
    packed = bytes(cramjam.snappy.compress_raw(plain))
    assert unsnapped(packed, 10_000) == plain
    with pytest.raises(Refused, match="over 9999 bytes") as refusal:
        unsnapped(packed, 9_999)
    assert refusal.value.status == 413


def test_a_snappy_bomb_is_refused_before_anything_is_unpacked() -> None:
    bomb = bytes(cramjam.snappy.compress_raw(b"\0" * 50_000_000))
    tracemalloc.start()
    with pytest.raises(Refused) as refusal:
        unsnapped(bomb, 10_000_000)
    declared = varint(2**31) + b"\0" * 50  # as much as snappy can declare, with nothing behind it
    with pytest.raises(Refused, match="cannot unpack"):
        unsnapped(declared, 2**40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.status == 413
    assert peak < 100_000


@pytest.mark.parametrize("body", [b"", b"no snappy at all, but long enough", b"\xff" * 20])
def test_what_is_no_snappy_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        unsnapped(body, 10_000)
    assert refusal.value.status == 400


@FEW
@given(cut=st.integers(0, 150), noise=st.binary(max_size=12), flipped=st.integers(0, 400))
def test_mangled_protobuf_is_decoded_or_refused(cut: int, noise: bytes, flipped: int) -> None:
    body = bytearray(loki_push('{job="shop"}', loki_entry("one line", trace="t"), loki_entry("another line")))
    body[cut:cut] = noise
    body[flipped % len(body)] ^= 0x5A
    assert accounted(outcome(lambda: decode_protobuf(bytes(body), 5)), NAMES)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text('aé\\"{1', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["job", "x", ""]), inner, max_size=2),
    max_leaves=5,
)


@FEW
@given(value=anything, labels=anything)
def test_any_json_is_decoded_or_refused(value: Any, labels: Any) -> None:
    body = loki_json("fine", value, [str(TIME_NS), "fine", {"x": value}])
    body["streams"].append({"stream": labels, "values": ["odd"]})
    found = outcome(lambda: decode_json(orjson.dumps(body), 5))
    assert accounted(found, NAMES)
    assert isinstance(found, Refused) or "fine" in [entry.line for entry in found.entries]


@FEW
@given(body=st.binary(max_size=40))
def test_any_bytes_are_unpacked_or_refused(body: bytes) -> None:
    with suppress(Refused):
        assert len(unsnapped(body, 1_000)) <= 1_000
