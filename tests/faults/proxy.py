"""A link between the service and Redis that can be slow, silent, broken off, or cut in the middle of a reply.

Owns the bytes in both directions. Does not know the protocol: Redis' own, as it is.
"""

import asyncio
import socket
import struct
from typing import Self

CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on and zero: closing sends RST and throws away what is on its way."""


class Proxy:
    """Listens on a free TCP port of this machine and carries everything to a Unix socket. Use as an async context
    manager."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._carriers: set[asyncio.Task[None]] = set()
        self._cuts = 0
        self.latency_s = 0.0
        """In each direction, of every piece of data."""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.reset()
        for task in self._carriers:
            task.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)

    def blackhole(self) -> None:
        """Hold back everything, without a word to either side. What was sent meanwhile arrives when it heals, as TCP
        does it."""
        self._open.clear()

    def heal(self) -> None:
        """Carry again."""
        self._open.set()

    def reset(self) -> None:
        """Break off every connection with RST, on both sides."""
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    def cut_replies(self, number: int) -> None:
        """Of the next ``number`` replies carry the first half, then break the connection off."""
        self._cuts = number

    @property
    def cuts_left(self) -> int:
        """Replies that are still to be cut."""
        return self._cuts

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_redis, to_redis = await asyncio.open_unix_connection(self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, to_redis)
        self._pairs.add(pair)
        ways = [
            asyncio.create_task(self._carry(reader, to_redis, replies=False)),
            asyncio.create_task(self._carry(from_redis, writer, replies=True)),
        ]
        self._carriers.update(ways)
        try:
            # As long as either side has something to say: what was sent before a close still arrives.
            await asyncio.wait(ways)
        finally:
            self._pairs.discard(pair)
            self._carriers.difference_update(ways)
            for end in pair:
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        try:
            while data := await reader.read(CHUNK):
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                await self._open.wait()
                if replies and self._cuts:
                    self._cuts -= 1
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    own: socket.socket | None = writer.get_extra_info("socket")
    if own is not None and own.fileno() >= 0:
        if own.family == socket.AF_INET:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
