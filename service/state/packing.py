"""The packed form of a session's state, peaks and notes, as the Lua in ``windows`` reads and writes it.

State, little-endian: started f64, last f64, n u32, tail length u8 (255: a u16 with the length follows), tail u16 each
(newest last), then pairs of key u16 and count in order of first appearance; a count takes one byte where n is below
256, two below 65,536, else four, as no count exceeds n. Peaks: started f64, then pairs of
member u8 and raw output f64. Peaks are f64, not f32: a rounded peak could fall on the other side of a threshold than
the event that made it. Notes: started f64, bytes of a value vector u16, bytes of an event's codes u16, bytes of all
codes u16, these codes u16 each (newest last), then for each template: key u16, number of vectors u8, vectors of f64
(oldest first, the pause in front).
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from models.notes import SessionNotes
from models.sessions import SessionState
from models.windows import FEW, Priors

HEAD = struct.Struct("<ddIB")
_COLUMNS = np.dtype([("started", "<f8"), ("last", "<f8"), ("n", "<u4"), ("length", "u1")])
"""The same, for many at once."""
_LENGTH = struct.Struct("<H")
_NOTES = struct.Struct("<dHHH")
_VECTORS = struct.Struct("<HB")
_COUNTS = ((1 << 8, "HB"), (1 << 16, "HH"), (1 << 32, "HI"))
"""Up to which n each form of a pair is used."""
PEAK_BYTES = 9
MAX_TAIL = 4096
LONG = 255
MAX_KEY = 0x7FFE
"""Keys travel in 15 bits, the largest value of which says "no key"."""


@lru_cache(maxsize=4096)
def _counts(pair: str, size: int) -> struct.Struct:
    """Of so many bytes of pairs."""
    return struct.Struct("<" + pair * (size // struct.calcsize(f"<{pair}")))


@lru_cache(maxsize=1024)
def _tail(length: int) -> struct.Struct:
    return struct.Struct(f"<{length}H")


@lru_cache(maxsize=256)
def _peaks(pairs: int) -> struct.Struct:
    return struct.Struct("<" + "Bd" * pairs)


def unpack_state(packed: bytes) -> SessionState:
    """The state that ``packed`` holds."""
    started, last, n, length = HEAD.unpack_from(packed)
    at = HEAD.size
    if length == LONG:
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
    tail = _tail(length).unpack_from(packed, at)
    at += 2 * length
    pair = next(form for bound, form in _COUNTS if n < bound)
    flat = _counts(pair, len(packed) - at).unpack_from(packed, at)
    return SessionState(started, last, n, tail, dict(zip(flat[::2], flat[1::2], strict=True)))


def unpack_priors(packed: Sequence[bytes]) -> Priors:
    """What so many sessions were, without their counts; an empty string of one that was not live."""
    if len(packed) <= FEW:
        return Priors.of([unpack_state(own) if own else None for own in packed])
    sizes = np.fromiter(map(len, packed), dtype=np.int64, count=len(packed))
    live = np.flatnonzero(sizes)
    together = b"".join(packed)
    whole = np.frombuffer(together, dtype=np.uint8)
    at = (np.cumsum(sizes) - sizes)[live]
    heads = whole[at[:, None] + np.arange(HEAD.size)].view(_COLUMNS)[:, 0]
    begin, kept = at + HEAD.size, heads["length"].astype(np.int64)
    for long in np.flatnonzero(kept == LONG):
        (kept[long],) = _LENGTH.unpack_from(together, begin[long])
        begin[long] += _LENGTH.size
    lengths = np.zeros(len(packed), dtype=np.int64)
    lengths[live] = kept
    start = np.concatenate([[0], np.cumsum(lengths)])
    place = np.repeat(begin - 2 * start[live], kept) + 2 * np.arange(start[-1])
    tails = whole[place] | whole[place + 1].astype(np.int64) << 8
    n = np.zeros(len(packed), dtype=np.int64)
    started, last = np.zeros((2, len(packed)), dtype=np.float64)
    n[live], started[live], last[live] = heads["n"], heads["started"], heads["last"]
    return Priors(n, started, last, tails, start)


def unpack_peaks(packed: bytes) -> dict[int, float]:
    """Member -> largest raw output; empty where ``packed`` is empty."""
    if not packed:
        return {}
    flat = _peaks((len(packed) - 8) // PEAK_BYTES).unpack_from(packed, 8)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def unpack_notes(packed: bytes) -> SessionNotes:
    """The notes that ``packed`` holds."""
    _, value_bytes, code_bytes, length = _NOTES.unpack_from(packed)
    at = _NOTES.size
    codes = np.frombuffer(packed, "<u2", length // 2, at).astype(np.int64)
    at += length
    values = {}
    while at < len(packed):
        key, count = _VECTORS.unpack_from(packed, at)
        at += _VECTORS.size
        cells = np.frombuffer(packed, "<f8", count * value_bytes // 8, at)
        values[key] = list(cells.reshape(count, -1).astype(np.float64))
        at += count * value_bytes
    return SessionNotes(values, list(codes.reshape(-1, code_bytes // 2)) if code_bytes else [])
