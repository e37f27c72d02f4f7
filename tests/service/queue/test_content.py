"""What lies in the durable queue, and what an earlier version put there."""

import zlib

import orjson
import pytest

from models.parser import End
from service.queue.content import FORM, Content, UnreadableEntry, plain

CONTENT = Content(
    received=4, pieces=2, wanted="all", backfill=False, lines=["first line", "second"] * 40, index=list(range(80)),
    sessions=["a", None] * 40, times=None, ends=[End(80, "a")], secondary=[3],
)  # fmt: skip


def columns() -> list[object]:
    ends = [[end.index, end.session] for end in CONTENT.ends]
    return [
        FORM, CONTENT.received, CONTENT.pieces, CONTENT.wanted, CONTENT.backfill, CONTENT.lines, CONTENT.index,
        CONTENT.sessions, CONTENT.times, ends, CONTENT.secondary,
    ]  # fmt: skip


def test_content_is_read_back_and_takes_less_room() -> None:
    packed = CONTENT.encode()
    assert Content.decode(packed) == CONTENT
    assert len(packed) < len(orjson.dumps(columns())) / 3


def test_what_an_earlier_version_packed_is_still_read() -> None:
    assert Content.decode(zlib.compress(orjson.dumps(columns()), 1)) == CONTENT
    assert plain(zlib.compress(b'{"failed":"no"}', 1)) == b'{"failed":"no"}'


@pytest.mark.parametrize(
    "damaged", [b"", b"x", b"xyz", CONTENT.encode()[:-3], b"[]", b"[2,1]", orjson.dumps([FORM, 1]), b"\xff\xfe"]
)
def test_what_cannot_be_read_is_said_so(damaged: bytes) -> None:
    with pytest.raises(UnreadableEntry, match="durable queue"):
        Content.decode(damaged)
