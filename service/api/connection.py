"""One HTTP connection of uvicorn's with bounds on what a slow or a rude client costs.

uvicorn (0.54, on httptools) waits for ever for a request's head, lets it be of any length, and waits for ever for who
does not read an answer. Owns those three bounds. How long a body may take is ``reading``'s; how long an idle connection
is kept, and how many there are, are uvicorn's own settings.
"""

import asyncio
from asyncio import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
"""From the first byte of a request, or the connection's beginning, to the end of its head."""
HEAD_BYTES = 64 * 1024
READ_S = 60.0
"""For whoever takes nothing of an answer that waits."""
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose client keeps it waiting, or sends too long a head."""

    _head = True
    """Whether the head of a request is awaited."""
    _head_bytes = 0
    _head_timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_S, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        in_head = self._head
        super().data_received(data)
        if self.transport.is_closing():
            return
        if in_head and self._head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.write(TOO_LARGE)
                self.transport.close()
                return
        # Not only a head: after an answer that did not wait for the body, or between requests, bytes may go on coming.
        if self._head or self.cycle is None or self.cycle.response_complete:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_S, self._late)
        else:
            self._stop_head_timer()

    def on_message_begin(self) -> None:
        self._head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = False
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def _late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
