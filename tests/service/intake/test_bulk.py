"""Bulk bodies to entries: actions, documents, lines, fields, times, and what is wrong with some of them."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.bulk import decode, encode_answer
from service.intake.entry import Refused
from tests.service.intake.bodies import TIME_NS, created, ndjson

FEW = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"message": "said", "log": {"file": {"path": "/a"}}}, "said"),
        ({"log": "said"}, "said"),
        ({"msg": "said", "message": ""}, "said"),
        ({"event": {"original": "said"}}, "said"),
        ({"event.original": "said"}, "said"),
        ({"level": "info", "n": 1}, '{"level":"info","n":1}'),
    ],
)
def test_the_line_is_what_the_document_says(document: Any, line: str) -> None:
    (entry,) = decode(created(document), None, 1).decoded.entries
    assert entry.line == line
    assert entry.document == orjson.dumps(document).decode()


def test_fields_and_the_index_are_names() -> None:
    document = {"message": "m", "host": {"name": "h", "ip": ["::1"]}, "a.b": True, "n": 7}
    body = ndjson({"index": {"_id": "1"}}, document, {"create": {"_index": "own"}}, document)
    bulk = decode(body, "path", 2)
    assert [(item.op, item.index, item.id) for item in bulk.items] == [
        ("index", "path", "1"),
        ("create", "own", None),
    ]
    labels = bulk.decoded.entries[1].labels
    names = ("_index", "host.name", "a.b", "n", "host", "host.ip", "host.name.x", "absent")
    assert [labels.get(name) for name in names] == ["own", "h", "true", "7", None, None, None, None]


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (None, None),
        ("2024-05-01T00:00:00.000000123Z", TIME_NS),
        ("2024-05-01T02:00:00.0000001+02:00", TIME_NS - 23),
        ("2024-05-01T00:00:00", TIME_NS - 123),
        (1_714_521_600_000, TIME_NS - 123),
    ],
)
def test_timestamps_keep_their_nanoseconds(stamp: Any, ns: int | None) -> None:
    (entry,) = decode(created({"message": "m", "@timestamp": stamp}), None, 1).decoded.entries
    assert (entry.seen_ns, entry.time_ns) == (ns, None)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{oops", "not JSON"),
        (b'"text"', "must be an object"),
        (b'{"message": "\\ud800"}', "not JSON"),
        (b'{"message": "m", "@timestamp": "noon"}', "not ISO 8601"),
        (b'{"message": "m", "@timestamp": true}', "milliseconds"),
        (b'{"message": "m", "@timestamp": 1e300}', "milliseconds"),
        (b'{"message": "m", "@timestamp": 1e18}', "years 1 to 9999"),
    ],
)
def test_a_bad_document_costs_nothing_but_itself(document: bytes, says: str) -> None:
    bulk = decode(created({"message": "a"}, document, {"message": "b"}), None, 3)
    assert [entry.index for entry in bulk.decoded.entries] == [0, 2]
    assert says in bulk.decoded.errors[1]


def test_updates_and_deletions_are_items_that_fail() -> None:
    body = ndjson({"delete": {"_id": "1"}}, {"update": {"_id": "2"}}, {"doc": {}}) + created({"message": "m"})
    bulk = decode(body, None, 3)
    assert [item.op for item in bulk.items] == ["delete", "update", "create"]
    assert list(bulk.decoded.errors) == [0, 1]
    assert [entry.index for entry in bulk.decoded.entries] == [2]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{oops\n{}\n", r"line \[1\]"),
        (created({"message": "m"}) + b"[]\n{}\n", r"line \[3\], expected"),
        (b'{"create": {}, "index": {}}\n{}\n', "expected"),
        (b'{"create": 5}\n{}\n', "expected"),
        (b'{"drop": {}}\n{}\n', "expected"),
        (b'{"create": {"_index": 5}}\n{}\n', "must be strings"),
        (b'{"create": {}}\n', "found no document"),
        (b"[" * 100_000, r"line \[1\]"),
    ],
)
def test_an_action_that_does_not_read_refuses_the_body(body: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says) as refusal:
        decode(body, None, 10)
    assert refusal.value.status == 400


def test_blank_lines_and_a_missing_last_feed_are_fine() -> None:
    body = b"\n\r\n" + created({"message": "a"}).replace(b"\n", b"\r\n") + b"\n" + created({"message": "b"}).rstrip()
    assert [entry.line for entry in decode(body, None, 2).decoded.entries] == ["a", "b"]
    assert decode(b"\n \n", None, 1).items == []


def test_more_actions_than_the_limit_are_refused_and_feeds_take_no_memory() -> None:
    assert len(decode(created({}, {}, {}), None, 3).items) == 3
    with pytest.raises(Refused) as refusal:
        decode(created({}, {}, {}), None, 2)
    assert refusal.value.status == 413
    feeds = b"\n" * 1_000_000
    tracemalloc.start()
    assert decode(feeds, None, 2).items == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_the_answer_has_every_item_in_order() -> None:
    items = decode(ndjson({"index": {"_index": "a", "_id": "7"}}, {}) + created({}, {}), None, 3).items
    assert orjson.loads(encode_answer(items, {}, 5, "x-"))["errors"] is False
    answer = orjson.loads(encode_answer(items, {1: (404, "no such source")}, 5, "x-"))
    assert (answer["took"], answer["errors"]) == (5, True)
    assert answer["items"] == [
        {"index": {"_index": "a", "_id": "7", "_version": 1, "result": "created", "status": 201}},
        {
            "create": {
                "_index": "shop",
                "_id": "x-1",
                "status": 404,
                "error": {"type": "index_not_found_exception", "reason": "no such source"},
            }
        },
        {"create": {"_index": "shop", "_id": "x-2", "_version": 1, "result": "created", "status": 201}},
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text('aé\\"{1', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["message", "@timestamp", "event", "original", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@FEW
@given(document=anything, cut=st.integers(0, 120), noise=st.binary(max_size=6))
def test_any_body_is_decoded_or_refused(document: Any, cut: int, noise: bytes) -> None:
    body = bytearray(created({"message": "fine"}, document, {"message": "fine"}))
    body[cut:cut] = noise
    try:
        bulk = decode(bytes(body), None, 5)
    except Refused:
        return
    indexes = [entry.index for entry in bulk.decoded.entries]
    assert sorted([*indexes, *bulk.decoded.errors]) == list(range(len(bulk.items)))
    for entry in bulk.decoded.entries:
        for name in ("_index", "message", "event.original", "x"):
            assert isinstance(entry.labels.get(name), str | None)
