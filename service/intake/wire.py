"""The outer layers of a protobuf message, walked without building it.

A body of 64 MiB may hold 30 million empty records, and a parser that builds them all takes gigabytes. Here the outer
messages stay slices of the body; only one record at a time is handed to a parser, and each fails by itself.
"""

from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10


class WireError(ValueError):
    """Bytes that are no protobuf message."""


class TooManyFields(ValueError):
    """More fields than a body may have."""


@dataclass(slots=True)
class Budget:
    """How many fields may still be walked in one body: each takes about a microsecond, and may be two bytes long."""

    left: int


def layers(message: memoryview, budget: Budget, *numbers: int) -> tuple[list[memoryview], ...]:
    """Slices of a message: the values of fields that hold messages, texts or bytes, a list for each number.

    Raises:
        WireError: the bytes are no message.
        TooManyFields: the budget is spent.
    """
    found: dict[int, list[memoryview]] = {number: [] for number in numbers}
    at, end, left = 0, len(message), budget.left
    while at < end:
        if left == 0:
            raise TooManyFields
        left -= 1
        # Nearly every key and length has one byte; a call for each would double the time.
        key, at = (message[at], at + 1) if message[at] < 0x80 else _varint(message, at, end)
        number, kind = key >> 3, key & 7
        if kind == BYTES and at < end:
            length, at = (message[at], at + 1) if message[at] < 0x80 else _varint(message, at, end)
        elif kind == VARINT or at == end:
            _, after = _varint(message, at, end)
            length = after - at
        elif kind in _WIDTH:
            length = _WIDTH[kind]
        else:
            raise WireError(f"wire type {kind} at byte {at}")
        if number == 0:
            raise WireError(f"field number 0 at byte {at}")
        if length > end - at:
            raise WireError(f"a field of {length} bytes at byte {at}, but only {end - at} are left")
        if number in found:
            if kind != BYTES:
                raise WireError(f"field {number} has wire type {kind}, not {BYTES}")
            found[number].append(message[at : at + length])
        at += length
    budget.left = left
    return tuple(found.values())


def text(value: memoryview) -> str:
    """A field's text. Raises WireError where it is not UTF-8."""
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"not UTF-8: byte {value[error.start]:#04x} at {error.start}") from error


def _varint(message: memoryview, at: int, end: int) -> tuple[int, int]:
    """An unsigned integer and the place after it."""
    value = shift = 0
    for place in range(at, min(end, at + _LONGEST_VARINT)):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place + 1
        shift += 7
    raise WireError(f"a number that does not end at byte {at}")
