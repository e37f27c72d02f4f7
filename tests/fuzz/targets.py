"""What is fuzzed: functions of bytes that must come to an end, and raise nothing.

Each is given whatever a stranger might send, catches the errors that its decoder promises, and holds what comes out
against what must be true of it. Owns the targets, and what each begins with. Does not know who thinks up the bytes.
"""

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial

import cramjam
import orjson
import polars as pl

from models.scanner import Scanner
from models.source import Source, presets
from models.splitter import MAX_AHEAD_S, Splitter
from service.api.body import BodyError, Limits, decompressed, read_request
from service.intake import bulk, kafka, loki, otlp, request, syslog
from service.intake.entry import Decoded, Refused
from service.intake.framing import Framer
from service.intake.routing import Routing
from tests.service.intake.bodies import otlp_json, otlp_request

NOW = 1_796_000_000.0
NOW_NS = 1_796_000_000_000_000_000
BODY_BYTES = 1 << 16
LINES = 64
"""Limits small enough to be met."""
MESSAGE_BYTES = 480
CONTENT_TYPES = ("application/json", "application/x-ndjson", "text/plain")
NAMES = ("a", "service.name", "host", "job", "_index", "message", "app-name", "severity", "topic", "key")

Target = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """``run`` is given bytes, those of ``seeds`` first: what it is meant for, and what once broke it."""

    run: Target
    seeds: tuple[bytes, ...] = ()


def ingest(data: bytes) -> None:
    """A body of ``POST /ingest``: the first byte says of which type."""
    kind = CONTENT_TYPES[data[0] % len(CONTENT_TYPES)] if data else ""
    try:
        found = read_request(data[1:], kind, "s", Limits(BODY_BYTES, LINES))
    except BodyError as error:
        _one_of(error.status, 400, 413, 415, 422)
        return
    rejected = [line.index for line in found.rejected]
    told = [*found.index, *rejected, *(end.index for end in found.ends)]
    assert set(told) == set(range(found.received))
    assert not set(found.index) & set(rejected)
    assert len(found.lines) == len(found.index)
    for line in found.lines:
        line.encode()


def gunzip(data: bytes) -> None:
    """A body with ``Content-Encoding: gzip``."""
    try:
        assert len(decompressed(data, "gzip", BODY_BYTES)) <= BODY_BYTES
    except BodyError as error:
        _one_of(error.status, 400, 413)


def snappy(data: bytes) -> None:
    """A body of Loki's push in snappy."""
    try:
        assert len(loki.unsnapped(data, BODY_BYTES)) <= BODY_BYTES
    except Refused as error:
        _one_of(error.status, 400, 413)


def decoded(decode: Callable[[bytes, int], Decoded], data: bytes) -> None:
    """A shipper's body to entries, their names, and to the request of each kind of source."""
    try:
        found = decode(data, LINES)
    except Refused as error:
        _one_of(error.status, 400, 413)
        return
    _held(found)


def es_bulk(data: bytes) -> None:
    """A body of ``_bulk``, and the answer to it."""
    try:
        found = bulk.decode(data, "i", LINES)
    except Refused as error:
        _one_of(error.status, 400, 413)
        return
    _held(found.decoded)
    failed = {index: (400, error) for index, error in found.decoded.errors.items()}
    assert len(orjson.loads(bulk.encode_answer(found.items, failed, 1, "x"))["items"]) == found.decoded.received


def labels(data: bytes) -> None:
    """Loki's labels in their own notation."""
    try:
        found = loki.parse_labels(_text(data))
    except ValueError:
        return
    for name, value in found.items():
        assert name
        value.encode()


def kafka_message(data: bytes) -> None:
    """A message of a topic."""
    try:
        found = kafka.entry(0, kafka.Message("t", 0, data, key=data[:8], headers=[("h", data[:4])], seen_ns=NOW_NS))
    except kafka.Poison:
        return
    _held(Decoded([found]))


def syslog_stream(data: bytes) -> None:
    """Messages of a connection, however it is cut: the first byte says into pieces of which size."""
    size = data[0] + 1 if data else 1
    whole, cut = _framed([data[1:]]), _framed([data[at : at + size] for at in range(1, len(data), size)])
    assert whole == cut
    for message in whole[0]:
        assert 0 < len(message) <= MESSAGE_BYTES


def syslog_message(data: bytes) -> None:
    """One message, with what is written of it for sources that read syslog's two forms."""
    try:
        found = syslog.entry(0, data, "10.0.0.1", NOW_NS)
    except syslog.Malformed:
        return
    for form in (syslog.TRADITIONAL, syslog.PRECISE):
        assert found.written is not None
        line, _ = found.written(form)
        line.encode()
    _held(Decoded([found]))


def header(data: bytes) -> None:
    """Lines against the header and the timestamp of a preset, which the first byte chooses."""
    splitter, lines = _split(data)
    records = splitter.split_carefully(pl.Series(lines, dtype=pl.String), NOW)
    assert {*records.index.tolist(), *(line.index for line in records.rejected)} <= set(range(len(lines)))


def scanner(data: bytes) -> None:
    """Lines one by one and as columns: where the quick way reads them, both read the same."""
    splitter, lines = _split(data)
    quick = _scanners()[splitter.source.name]
    found = None if quick is None else quick.read(lines, NOW)
    if found is None:
        return
    careful = splitter.split_carefully(pl.Series(lines, dtype=pl.String), NOW)
    for name in ("index", "time", "session_record"):
        assert getattr(found, name).tolist() == getattr(careful, name).tolist(), name
    for name in ("message", "masked", "session"):
        assert getattr(found, name).to_list() == getattr(careful, name).to_list(), name
    assert found.fields.equals(careful.fields)
    assert not careful.rejected


def _one_of(status: int, *promised: int) -> None:
    assert status in promised, status


def _held(found: Decoded) -> None:
    """What is true of every body's entries, and that a request of each kind of source can be made of them."""
    places = [*(entry.index for entry in found.entries), *found.errors]
    assert sorted(places) == list(range(found.received))
    for entry in found.entries:
        for name in NAMES:
            value = entry.labels.get(name)
            assert value is None or isinstance(value, str)
    for source in _read_alike():
        made = request.build(source, found.entries, _routing())
        assert len(made.lines) + len(made.rejected) == len(found.entries)
        for line in made.lines:
            assert isinstance(line, str)


def _framed(pieces: Iterable[bytes]) -> tuple[list[bytes], list[str]]:
    dropped: list[str] = []
    framer = Framer(MESSAGE_BYTES, dropped.append)
    found = [message for piece in pieces for message in framer.feed(piece)]
    return found + framer.finish(), dropped


def _split(data: bytes) -> tuple[Splitter, list[str]]:
    splitters = _splitters()
    names = sorted(splitters)
    return splitters[names[data[0] % len(names) if data else 0]], _text(data[1:]).split("\n")[:LINES]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@cache
def _splitters() -> dict[str, Splitter]:
    return {name: Splitter(Source.load(name)) for name in presets()}


@cache
def _scanners() -> dict[str, Scanner | None]:
    return {name: Scanner.of(splitter.source, MAX_AHEAD_S) for name, splitter in _splitters().items()}


@cache
def _read_alike() -> tuple[Source, ...]:
    return Source.load("json"), Source.load("syslog"), Source.load("raw")


@cache
def _routing() -> Routing:
    return Routing.load(None)


def _line(preset: str, line: str) -> bytes:
    return bytes([sorted(_splitters()).index(preset)]) + line.encode()


@cache
def targets() -> dict[str, Fuzzed]:
    """By name."""
    json_body = b'{"source": "s", "records": [{"line": "a", "session": "x", "timestamp": "2026-01-01T00:00:00Z"}]}'
    push = orjson.dumps({"streams": [{"stream": {"job": "a"}, "values": [["171452160000000", "line", {"a": "b"}]]}]})
    pushed = b'\n\x1e\n\x0c{job="shop"}\x12\x0e\n\x05\x08\x80\x9a\xb1\x06\x12\x05hello'
    lines = (
        _line("hdfs", "081109 203518 143 INFO dfs.DataNode$DataXceiver: served blk_-16 to 10.0.0.1:50010"),
        _line("postgres", "2026-11-22 10:00:00.123 UTC [41] 6743f0aa.29 shop@shop web LOG:  duration: 1.5 ms"),
        _line("nginx", '10.0.0.1 - - [24/Nov/2026:10:00:00 +0100] "GET /a/12?x=1 HTTP/1.1" 200 12 "-" "curl"'),
        _line("syslog", "<34>Oct 11 22:14:15 host sshd[42]: Failed password for root from 10.0.0.1"),
        _line("json", '{"timestamp": "2026-01-01T00:00:00Z", "message": "a", "trace_id": "x"}'),
        _line("logfmt", 'time=2026-01-01T00:00:00Z level=info msg="a b" id=1'),
        _line("bgl", "- 1117838570 2005.06.03 R02-M1 2005-06-03-15.42.50.363779 R02-M1 RAS KERNEL INFO corrected"),
    )
    stream = b"\x07" + b"17 <34>1 - - - - - - hi\n<34>Oct 11 22:14:15 host app: x\n"
    return {
        "ingest": Fuzzed(ingest, (b"\x00" + json_body, b"\x00" + b'{"source": "s", "lines": ["a"]}',
                                  b"\x01" + b'{"line": "a"}\n{"session": "x", "end": true}\n', b"\x02" + b"a\r\nb\n")),
        "gunzip": Fuzzed(gunzip, (gzip.compress(b"a\nb\n"), gzip.compress(b"a") + gzip.compress(b"b") + b"\0")),
        "snappy": Fuzzed(snappy, (bytes(cramjam.snappy.compress_raw(b"a" * 300)),)),
        "otlp_protobuf": Fuzzed(
            partial(decoded, otlp.decode_protobuf), (otlp_request("a", "b", host="h").SerializeToString(),)
        ),
        "otlp_json": Fuzzed(partial(decoded, otlp.decode_json), (orjson.dumps(otlp_json("a", "b")),)),
        "loki_protobuf": Fuzzed(partial(decoded, loki.decode_protobuf), (pushed,)),
        "loki_json": Fuzzed(partial(decoded, loki.decode_json), (push,)),
        "labels": Fuzzed(labels, (b'{job="shop", host=`a`, x="\\u00e9\\x41"}',)),
        "es_bulk": Fuzzed(es_bulk, (b'{"create": {"_index": "i"}}\n{"message": "a", "@timestamp": "2026-01-01"}\n',)),
        "kafka_message": Fuzzed(kafka_message, (b"a line", b'{"message": "a", "@timestamp": 1714521600000}')),
        "syslog_stream": Fuzzed(syslog_stream, (stream,)),
        "syslog_message": Fuzzed(syslog_message, (
            b"<34>Oct 11 22:14:15 host sshd[42]: hello",
            b'<165>1 2003-10-11T22:14:15.003Z host app 1 ID47 [e@1 a="b\\"c"][f@1 d="e"] text',
        )),
        "header": Fuzzed(header, lines),
        "scanner": Fuzzed(scanner, lines),
    }  # fmt: skip
