"""The packed form of a session's state and peaks, as the Lua in ``windows`` reads and writes it.

State, little-endian: started f64, last f64, n u32, tail length u8, tail u16 each (newest last), then pairs of key u16
and count u32 in order of first appearance. Peaks: started f64, then pairs of member u8 and raw output f64. Peaks are
f64, not f32: a rounded peak could fall on the other side of a threshold than the event that made it.
"""

import struct
from functools import lru_cache

from models.sessions import SessionState

HEAD = struct.Struct("<ddIB")
COUNT_BYTES = 6
PEAK_BYTES = 9
MAX_TAIL = 255
MAX_KEY = 0x7FFE
"""Keys travel in 15 bits, the largest value of which says "no key"."""


@lru_cache(maxsize=4096)
def _counts(pairs: int) -> struct.Struct:
    return struct.Struct("<" + "HI" * pairs)


@lru_cache(maxsize=MAX_TAIL + 1)
def _tail(length: int) -> struct.Struct:
    return struct.Struct(f"<{length}H")


@lru_cache(maxsize=256)
def _peaks(pairs: int) -> struct.Struct:
    return struct.Struct("<" + "Bd" * pairs)


def unpack_state(packed: bytes) -> SessionState:
    """The state that ``packed`` holds."""
    started, last, n, length = HEAD.unpack_from(packed)
    at = HEAD.size
    tail = _tail(length).unpack_from(packed, at)
    at += 2 * length
    flat = _counts((len(packed) - at) // COUNT_BYTES).unpack_from(packed, at)
    return SessionState(started, last, n, tail, dict(zip(flat[::2], flat[1::2], strict=True)))


def unpack_peaks(packed: bytes) -> dict[int, float]:
    """Member -> largest raw output; empty where ``packed`` is empty."""
    if not packed:
        return {}
    flat = _peaks((len(packed) - 8) // PEAK_BYTES).unpack_from(packed, 8)
    return dict(zip(flat[::2], flat[1::2], strict=True))
