"""Messages between the sockets and the core: bounded by number and by bytes, first in, first out.

Owns how much may wait. Says when it is full and when there is room again; what then stops is the listeners' business.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MESSAGE_BYTES = 128
"""What a message takes beside its bytes, about."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where messages come from: the listener's transport, the sender's address, the source that the listener names."""

    transport: str
    peer: str
    source: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """One message as it came, and when (nanoseconds since the epoch)."""

    origin: Origin
    message: bytes
    seen_ns: int


class Inbox:
    """At most about ``lines`` messages and ``size`` bytes; ``on_full`` and ``on_room`` are called when that turns.

    ``add`` always takes what it is given: what was read from a connection is not thrown away. So it holds what one read
    yields above its bounds, if all stop reading when it is full.
    """

    def __init__(self, lines: int, size: int, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        self._lines = lines
        self._size = size
        self._on_full = on_full
        self._on_room = on_room
        self._waiting: deque[Arrival] = deque()
        self._bytes = 0
        self.full = False
        self.arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, arrival: Arrival) -> None:
        """Put a message at the end."""
        self._waiting.append(arrival)
        self._bytes += len(arrival.message) + MESSAGE_BYTES
        self.arrived.set()
        if not self.full and (len(self._waiting) >= self._lines or self._bytes >= self._size):
            self.full = True
            self._on_full()

    def take(self, lines: int) -> list[Arrival]:
        """The first messages, at most ``lines``."""
        taken = [self._waiting.popleft() for _ in range(min(lines, len(self._waiting)))]
        self._bytes -= sum(len(arrival.message) + MESSAGE_BYTES for arrival in taken)
        if not self._waiting:
            self.arrived.clear()
        # At half: or reading would stop and start with every batch.
        if self.full and len(self._waiting) <= self._lines // 2 and self._bytes <= self._size // 2:
            self.full = False
            self._on_room()
        return taken
