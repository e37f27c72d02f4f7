"""OTLP bodies to entries: what is the line, which names it has, and what is wrong with the others."""

import tracemalloc
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from service.intake.entry import Refused
from service.intake.otlp import MAX_MESSAGE_BYTES, decode_json, decode_protobuf, encode_answer, encode_status
from tests.service.intake.bodies import TIME_NS, accounted, otlp_json, otlp_request, outcome

FEW = settings(max_examples=40, deadline=None)
NAMES = ("trace", "service.name", "trace_id", "event_name", "x")
DEEP: Any = {"stringValue": "bottom"}
for _ in range(40):
    DEEP = {"arrayValue": {"values": [DEEP]}}


def json_body(*records: Any) -> bytes:
    return orjson.dumps(otlp_json(*records))


def test_both_encodings_give_the_same_entries() -> None:
    request = otlp_request("first", "second", trace="t")
    record = {"timeUnixNano": TIME_NS, "attributes": [{"key": "trace", "value": {"stringValue": "t"}}]}
    body = json_body(*({**record, "body": {"stringValue": line}} for line in ("first", "second")))
    for decoded in (decode_protobuf(request.SerializeToString(), 10), decode_json(body, 10)):
        assert [(e.index, e.line, e.time_ns) for e in decoded.entries] == [
            (0, "first", TIME_NS),
            (1, "second", TIME_NS),
        ]
        assert [decoded.entries[1].labels.get(name) for name in ("trace", "service.name", "x")] == ["t", "app", None]
        assert decoded.errors == {}


def test_names_of_a_record_stand_above_those_of_its_scope_and_resource() -> None:
    request = otlp_request("line", service="app", tier="record")
    resource_logs = request.resource_logs[0]
    for layer, where in ((resource_logs.resource, "resource"), (resource_logs.scope_logs[0].scope, "scope")):
        for key in ("tier", "zone"):
            layer.attributes.add(key=key).value.string_value = where
    record = resource_logs.scope_logs[0].log_records[0]
    record.trace_id, record.severity_text = bytes.fromhex("00ff" * 8), "WARN"
    record.attributes.add(key="port").value.int_value = 5432
    record.attributes.add(key="tags").value.array_value.values.add().bool_value = True
    labels = decode_protobuf(request.SerializeToString(), 1).entries[0].labels
    names = ("tier", "zone", "service.name", "trace_id", "span_id", "severity_text", "port", "tags")
    assert [labels.get(name) for name in names] == [
        "record", "scope", "app", "00ff" * 8, None, "WARN", "5432", "[true]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"body": {"stringValue": "text"}}, "text"),
        ({"body": {"intValue": "12"}}, "12"),
        ({"body": {"boolValue": False}}, "false"),
        ({"body": {"doubleValue": 1}}, "1.0"),
        ({"body": {"bytesValue": "AAE="}}, "AAE="),
        ({"body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}}, '{"a":1}'),
        ({"body": {"arrayValue": {"values": [{"stringValue": "a"}, {}]}}}, '["a",null]'),
        ({"eventName": "device.started"}, "device.started"),
    ],
)
def test_the_body_becomes_the_line(record: dict[str, Any], line: str) -> None:
    assert [entry.line for entry in decode_json(json_body(record), 1).entries] == [line]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({}, "no body"),
        (5, "must be an object"),
        ({"body": "text"}, "must be an object such as"),
        ({"body": {"stringValue": 5}}, "stringValue holds something else"),
        ({"body": {"intValue": "9" * 30}}, "64 bits"),
        ({"body": DEEP}, "more than 32 deep"),
        ({"body": {"stringValue": "x"}, "timeUnixNano": "noon"}, "64 bits"),
        ({"body": {"stringValue": "x"}, "attributes": {"a": 1}}, "attributes must be|must be a list"),
        ({"body": {"stringValue": "x"}, "attributes": [{"key": 1}]}, "attributes must be"),
    ],
)
def test_a_bad_record_costs_nothing_but_itself(record: Any, says: str) -> None:
    decoded = decode_json(json_body("before", record, "after"), 3)
    assert [entry.index for entry in decoded.entries] == [0, 2]
    assert list(decoded.errors) == [1]
    assert any(part in decoded.errors[1] for part in says.split("|"))


def test_a_record_that_does_not_parse_costs_nothing_but_itself() -> None:
    request = otlp_request("before", "middle", "after").SerializeToString()
    broken = request.replace(b"middle", b"mid\xffle")
    with pytest.raises(DecodeError):  # as a whole it does not parse
        ExportLogsServiceRequest.FromString(broken)
    decoded = decode_protobuf(broken, 3)
    assert [entry.line for entry in decoded.entries] == ["before", "after"]
    assert list(decoded.errors) == [1]


@pytest.mark.parametrize(
    "body", [b"\xff", b"\x0a\x05ab", b"\x08\x01\x0a", b"\x0b", b"\x00\x01", b"\x08" + b"\xff" * 11]
)
def test_what_is_no_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="no ExportLogsServiceRequest") as refusal:
        decode_protobuf(body, 10)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b'"x"', b"{oops", b"[" * 100_000, b'{"resourceLogs": 5}', b'{"resourceLogs": [5]}',
        b'{"resourceLogs": [{"resource": 5}]}', b'{"resourceLogs": [{"scopeLogs": [{"logRecords": {}}]}]}',
        b'{"resourceLogs": [{"resource": {"attributes": [5]}}]}', b'{"a": "\\ud800"}',
    ],
)  # fmt: skip
def test_what_is_no_json_of_that_form_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        decode_json(body, 10)
    assert refusal.value.status == 400


def test_an_empty_request_and_unknown_fields_are_fine() -> None:
    assert decode_protobuf(b"", 1).received == decode_json(b'{"new": [1]}', 1).received == 0
    assert decode_protobuf(b"\x10\x05" + otlp_request("x").SerializeToString(), 1).received == 1


def test_more_records_than_the_limit_are_refused() -> None:
    for decode, body in (
        (decode_protobuf, otlp_request("a", "b", "c").SerializeToString()),
        (decode_json, json_body("a", "b", "c")),
    ):
        assert decode(body, 3).received == 3
        with pytest.raises(Refused, match="over 2 entries") as refusal:
            decode(body, 2)
        assert refusal.value.status == 413


def nested(*layers: int, inner: bytes) -> bytes:
    """Length-delimited fields around ``inner``, the last number innermost."""
    for number in reversed(layers):
        size, length = len(inner), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        inner = bytes([number << 3 | 2, *length, size]) + inner
    return inner


def test_a_body_of_nothing_but_empty_records_takes_no_more_than_itself() -> None:
    body = nested(1, 2, inner=b"\x12\x00" * 2_000_000)  # LogRecord is field 2 of ScopeLogs
    tracemalloc.start()
    with pytest.raises(Refused) as refusal:
        decode_protobuf(body, 1_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.status == 413
    assert peak < len(body)


def test_a_record_of_nothing_but_empty_attributes_is_refused_before_it_is_built() -> None:
    good = nested(2, inner=LogRecord(event_name="fine").SerializeToString())
    bomb = nested(2, inner=b"\x32\x00" * MAX_MESSAGE_BYTES)
    decoded = decode_protobuf(nested(1, 2, inner=good + bomb), 10)
    assert [entry.line for entry in decoded.entries] == ["fine"]
    assert "at most 1048576" in decoded.errors[1]
    resource = nested(1, 1, inner=b"\x0a\x00" * MAX_MESSAGE_BYTES)
    with pytest.raises(Refused, match="at most 1048576"):
        decode_protobuf(resource, 10)


def test_answers_speak_the_encoding_of_the_request() -> None:
    assert encode_answer(0, "", as_json=False) == b""
    assert encode_answer(0, "", as_json=True) == b"{}"
    answer = ExportLogsServiceResponse.FromString(encode_answer(3, "why", as_json=False)).partial_success
    assert (answer.rejected_log_records, answer.error_message) == (3, "why")
    assert orjson.loads(encode_answer(3, "why", as_json=True)) == {
        "partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "why"}
    }
    message = "é" * 200
    assert encode_status(503, message, as_json=False) == b"\x08\x0e\x12\x90\x03" + message.encode()
    assert orjson.loads(encode_status(400, message, as_json=True)) == {"code": 3, "message": message}


@FEW
@given(cut=st.integers(0, 200), noise=st.binary(max_size=12), flipped=st.integers(0, 400))
def test_mangled_protobuf_is_decoded_or_refused(cut: int, noise: bytes, flipped: int) -> None:
    body = bytearray(otlp_request("one line", "another line", trace="t").SerializeToString())
    body[cut:cut] = noise
    body[flipped % len(body)] ^= 0x5A
    found = outcome(lambda: decode_protobuf(bytes(body), 5))
    assert accounted(found, NAMES)
    assert isinstance(found, Refused) or all(entry.line for entry in found.entries)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text('aé\\"{1', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["key", "value", "stringValue", "intValue", "values", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@FEW
@given(
    record=st.dictionaries(st.sampled_from(["body", "attributes", "timeUnixNano", "traceId", "eventName"]), anything),
    resource=anything,
)
def test_any_json_is_decoded_or_refused(record: Any, resource: Any) -> None:
    request = otlp_json("fine", record)
    request["resourceLogs"].append({"resource": resource, "scopeLogs": [{"logRecords": [record]}]})
    found = outcome(lambda: decode_json(orjson.dumps(request), 5))
    assert accounted(found, NAMES)
    assert isinstance(found, Refused) or (
        found.entries[0].line == "fine" and all(entry.line for entry in found.entries)
    )  # fmt: skip
