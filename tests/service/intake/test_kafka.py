"""Kafka's messages: lines, documents, names, and what can never be judged."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.intake.kafka import MAX_MESSAGE_BYTES, Message, Poison, entry

FIELDS = ["message", "log", "@timestamp", "host", "host.name", "a"]
SEEN_NS = 1_700_000_000_000_000_000


def message(value: bytes | None, **given: object) -> Message:
    return Message("logs", 3, value, seen_ns=SEEN_NS, **given)  # type: ignore[arg-type]


def test_a_line_comes_with_the_names_of_its_message() -> None:
    headers = [("env", b"test"), ("env", b"prod"), ("none", None), ("topic", b"\xff")]
    found = entry(7, message(b"hello \xc3\xa9\r\n", key=b"k-1", headers=headers))
    assert (found.index, found.line, found.time_ns, found.seen_ns) == (7, "hello é", None, SEEN_NS)
    names = {name: found.labels.get(name) for name in ("topic", "partition", "key", "env", "none", "other")}
    assert names == {"topic": "\ufffd", "partition": "3", "key": "k-1", "env": "prod", "none": None, "other": None}


def test_a_document_gives_its_line_its_fields_and_its_time() -> None:
    document = {"message": "hello", "host": {"name": "a"}, "@timestamp": "2026-05-01T10:00:00.5Z", "env": "document"}
    found = entry(0, message(orjson.dumps(document), headers=[("env", b"header"), ("team", b"x")]))
    assert found.line == "hello"
    assert found.document == orjson.dumps(document).decode()
    assert found.seen_ns == 1_777_629_600_500_000_000
    names = [found.labels.get(name) for name in ("host.name", "env", "team", "topic")]
    assert names == ["a", "document", "x", "logs"]
    assert entry(0, message(b'{"log": "x"}')).seen_ns == SEEN_NS


def test_what_only_looks_like_a_document_is_a_line() -> None:
    assert entry(0, message(b"{not json")).line == "{not json"
    assert entry(0, message(b'["a"]')).line == '["a"]'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b" \n", "empty"),
        (b"x" * (MAX_MESSAGE_BYTES + 1), "too_long"),
        (b"caf\xe9", "encoding"),
        (b'{"message": "x", "@timestamp": "yesterday"}', "document"),
    ],
)
def test_poison_is_told_by_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(Poison) as raised:
        entry(0, message(value))
    assert raised.value.reason == reason


def json(document: object) -> bytes:
    return orjson.dumps(document)


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=6,
)


@given(
    value=st.none() | st.binary(max_size=60) | documents.map(json),
    headers=st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=8)), max_size=3),
    key=st.none() | st.binary(max_size=8),
)
def test_any_message_is_an_entry_or_poison(
    value: bytes | None, headers: list[tuple[str, bytes | None]], key: bytes | None
) -> None:
    reason = None
    try:
        found = entry(0, message(value, headers=headers, key=key))
    except Poison as poison:
        reason = poison.reason
    if reason is not None:
        assert reason in ("empty", "too_long", "encoding", "document")
        return
    for name in ("topic", "key", "message", *FIELDS, *(name for name, _ in headers)):
        assert isinstance(found.labels.get(name), str | None)
