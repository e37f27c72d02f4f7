"""Syslog's framing: told by each message's first byte, wherever the stream is cut."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.intake.framing import Framer

MOST = 100


def framed(*pieces: bytes, most: int = MOST) -> tuple[list[bytes], dict[str, int]]:
    """Messages of a whole connection, and how many were dropped by reason."""
    dropped: Counter[str] = Counter()

    def drop(reason: str) -> None:
        dropped[reason] += 1

    framer = Framer(most, drop)
    found = [message for piece in pieces for message in framer.feed(piece)]
    return found + framer.finish(), dict(dropped)


def test_both_framings_stand_side_by_side() -> None:
    stream = b"5 <1>ab<2>line\n<3>nul\0\n\n4 <4>x6 <5>a\nb<6>last"
    assert framed(stream) == ([b"<1>ab", b"<2>line", b"<3>nul", b"<4>x", b"<5>a\nb", b"<6>last"], {})


def test_what_is_too_long_costs_nothing_but_itself() -> None:
    stream = b"101 " + b"<" * 101 + b"4 <1>a" + b"x" * 101 + b"\n<2>b\n" + b"y" * 500
    assert framed(stream) == ([b"<1>a", b"<2>b"], {"too_long": 3})
    assert framed(b"100 " + b"a" * 100 + b"b" * 100 + b"\n") == ([b"a" * 100, b"b" * 100], {})


def test_digits_that_are_no_length_go_to_the_end_of_their_line() -> None:
    assert framed(b"2024-05-01 no priority\n<1>a\n1234567890 <2>b\n12\n<3>c\n") == (
        [b"<1>a", b"<3>c"],
        {"framing": 3},
    )


def test_a_connection_that_ends_within_a_message_says_so() -> None:
    assert framed(b"9 <1>ab") == ([], {"truncated": 1})
    assert framed(b"12") == ([], {"truncated": 1})
    assert framed(b"\n \n") == ([], {})


message = st.binary(min_size=1, max_size=MOST).filter(lambda m: not m.isspace())
line = message.map(lambda m: b"<" + m.replace(b"\n", b"").replace(b"\0", b"")[: MOST - 1])
sent = st.one_of(
    message.map(lambda m: (m, b"%d %s" % (len(m), m))), st.tuples(line, st.sampled_from([b"\n", b"\0"])).map(
        lambda pair: (pair[0], pair[0] + pair[1])
    )
)  # fmt: skip


@given(st.lists(sent, max_size=8), st.data())
def test_messages_arrive_whole_wherever_the_stream_is_cut(
    messages: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(frame for _, frame in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert framed(*pieces) == ([body for body, _ in messages], {})


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 20))
def test_any_bytes_are_read_alike_in_one_piece_or_many(pieces: list[bytes], most: int) -> None:
    stream = b"".join(pieces)
    whole = framed(stream, most=most)
    assert framed(*pieces, most=most) == whole
    assert framed(*(stream[i : i + 1] for i in range(len(stream))), most=most) == whole
    assert all(0 < len(found) <= most for found in whole[0])


@given(st.lists(st.binary(min_size=1, max_size=500), max_size=30))
def test_what_is_held_is_bounded(pieces: list[bytes]) -> None:
    framer = Framer(20, lambda _reason: None)
    for piece in pieces:
        framer.feed(piece)
        assert len(framer._held) <= 20 + 11
