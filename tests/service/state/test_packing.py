"""Packed states: many read at once are what each is by itself."""

import struct

import pytest

from models.sessions import SessionState
from models.windows import FEW, Priors
from service.state.packing import HEAD, LONG, unpack_priors, unpack_state
from tests.service.state.plain import plain_priors


def packed(started: float, tail: list[int], n: int) -> bytes:
    """A state as the Lua packs it, with one template that came ``n`` times."""
    head = HEAD.pack(started, started + 5.0, n, min(len(tail), LONG))
    length = struct.pack("<H", len(tail)) if len(tail) >= LONG else b""
    pair = "<HB" if n < 256 else "<HH" if n < 65_536 else "<HI"
    return head + length + struct.pack(f"<{len(tail)}H", *tail) + struct.pack(pair, 7, n)


@pytest.mark.parametrize("lengths", [range(3), range(FEW + 20), [*range(250, 260), *[0] * FEW, 4_096]])
def test_states_read_together_are_those_read_one_by_one(lengths: list[int]) -> None:
    some = [
        packed(float(at), [(at + place) % 32_767 for place in range(length)], max(1, length) * 40)
        for at, length in enumerate(lengths)
    ]
    given = [part for own in some for part in (own, b"")]
    alone: list[SessionState | None] = [unpack_state(own) if own else None for own in given]
    assert plain_priors(unpack_priors(given)) == plain_priors(Priors.of(alone))


def test_no_states_are_no_priors() -> None:
    assert len(unpack_priors([])) == 0
    assert unpack_priors([b""] * (FEW + 1)).n.tolist() == [0] * (FEW + 1)
