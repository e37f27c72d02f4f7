"""Bodies that are small to send and large to hold are refused before they are read."""

import tracemalloc

import orjson
import pytest

from service.api.body import BodyError, Limits, read_request
from service.intake import loki, otlp
from service.intake.entry import Refused
from service.intake.weight import weighs_too_much

SIZE = 64 * 2**20
LIMITS = Limits(SIZE, 100_000)
HELD_MOST = 4 * SIZE


def times(unit: bytes) -> bytes:
    return unit * (SIZE // len(unit))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"\n"),
        ("application/x-ndjson", b"\n"),
        ("application/x-ndjson", b"\r"),
        ("application/x-ndjson", b"1\r\n"),
        ("application/json", b"[],"),
        ("application/json", b"{},"),
        ("application/json", b'"ab",'),
    ],
)
def test_a_bomb_of_small_values_is_refused_unread(kind: str, body: bytes) -> None:
    bomb = times(body)
    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as refused:
            read_request(bomb, kind, "shop", LIMITS)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413
    assert held < HELD_MOST


@pytest.mark.parametrize("decode", [loki.decode_json, otlp.decode_json])
def test_shippers_json_is_weighed_too(decode: object) -> None:
    with pytest.raises(Refused) as refused:
        decode(times(b"[],"), 100_000)  # type: ignore[operator]
    assert refused.value.status == 413


def test_the_largest_ordinary_bodies_are_read() -> None:
    line = '{"level": "info", "message": "served /index.html to 10.0.0.1", "took_ms": 12, "trace": "4bf92f3577b34da6"}'
    plain = orjson.dumps({"source": "shop", "lines": [line * 5] * 100_000})
    assert len(plain) > SIZE - 8 * 2**20
    assert not weighs_too_much(plain)
    text = (b"x" * 600 + b"\r\n") * 100_000
    assert len(read_request(text, "text/plain", "shop", LIMITS).lines) == 100_000
