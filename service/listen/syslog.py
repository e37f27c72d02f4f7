"""Syslog over UDP, TCP and TLS: sockets in, batches out.

Owns connections and their limits, and when a batch is made. A full inbox stops reading from connections, so that their
senders wait; datagrams have nobody to wait and are counted as dropped. Formats are ``service.intake``'s.
"""

import asyncio
import logging
import socket
import ssl
from collections import defaultdict
from typing import cast

from service.core import CANCEL_EVERY_S, Core
from service.delivery import off_loop
from service.intake import syslog
from service.intake.entry import Decoded
from service.intake.framing import Framer
from service.intake.routing import Routing
from service.listen.address import Address, addresses, tls_context
from service.listen.carrier import Carrier
from service.listen.inbox import Arrival, Inbox, Origin

log = logging.getLogger("tocsin.listen")

GATHER_S = 0.05
"""How long the first message of a batch waits for others."""
INBOX_BYTES = 32 * 2**20
HANDSHAKE_S = 10.0
LAST_READS_S = 0.1
"""At the end, for what the kernel holds already."""


class SyslogServer:
    """All addresses of the settings in one process; with several workers, each has sockets at the same ports, and the
    kernel deals out connections and senders of datagrams."""

    def __init__(self, core: Core, routing: Routing) -> None:
        settings = core.settings
        self._core = core
        self._addresses = addresses(settings.syslog)
        self._tls: ssl.SSLContext | None = None
        if any(address.transport == "tls" for address in self._addresses):
            self._tls = tls_context(settings.syslog_cert, settings.syslog_key, settings.syslog_clients)
        self._carrier = Carrier(core, routing, syslog.USUAL_NAMES)
        self._inbox = Inbox(settings.queue_lines, INBOX_BYTES, self._pause, self._resume)
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.bound: list[Address] = []
        """Where it listens, with the ports that were had."""

    async def start(self) -> None:
        """Listen. Raises ConfigError where an address cannot be had; then nothing listens."""
        if not self._addresses:
            return
        sockets: list[socket.socket] = []
        try:
            for address in self._addresses:
                sockets.append(address.bound(shared=self._core.settings.workers > 1))  # noqa: PERF401
        except BaseException:
            for taken in sockets:
                taken.close()
            raise
        for address, taken in zip(self._addresses, sockets, strict=True):
            await self._listen(address, taken)
        self._tasks = [asyncio.create_task(self._carry()), asyncio.create_task(self._close_idle())]
        log.info("syslog is taken on %s", ", ".join(map(str, self.bound)))

    async def stop(self, limit_s: float) -> None:
        """Take nothing more, and hand over what came in, for at most ``limit_s``."""
        if not self._tasks:
            return
        for server in self._servers:
            server.close()
        await asyncio.sleep(LAST_READS_S)
        for transport in self._datagrams:
            transport.close()
        for connection in list(self._connections):
            connection.end()
        self._stopping = True
        self._inbox.arrived.set()
        carrying = self._tasks[0]
        await asyncio.wait([carrying], timeout=limit_s)
        left = len(self._inbox)
        if not carrying.done():
            log.warning("stopped with %d syslog messages, and perhaps a batch, not judged", left)
        if left:
            self._carrier.drop("syslog", "stopping", left)
        pending = set(self._tasks)
        while pending:
            # Again and again: see ``Core.stop``.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_EVERY_S)

    def taken(self, origin: Origin, message: bytes) -> None:
        """A message came in."""
        self._inbox.add(Arrival(origin, message, self._now_ns()))

    def dropped(self, transport: str, reason: str) -> None:
        """A message was left out."""
        self._carrier.drop(transport, reason, 1)

    @property
    def full(self) -> bool:
        """Whether nothing more is to be read."""
        return self._inbox.full

    def admit(self, connection: "Connection") -> bool:
        """Whether one more connection may stay."""
        if len(self._connections) >= self._core.settings.syslog_connections:
            return False
        self._connections.add(connection)
        self._core.metrics.syslog_connections.set(len(self._connections))
        return True

    def release(self, connection: "Connection") -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._core.metrics.syslog_connections.set(len(self._connections))

    async def _listen(self, address: Address, taken: socket.socket) -> None:
        port = taken.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.bound.append(Address(address.transport, address.host, port, address.source))
        most = self._core.settings.syslog_max_bytes
        if address.transport == "udp":
            taken.setblocking(False)
            transport, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self, address, most), sock=taken)
            self._datagrams.append(transport)
            return
        secured = self._tls if address.transport == "tls" else None
        server = await loop.create_server(
            lambda: Connection(self, address, most),
            sock=taken,
            ssl=secured,
            ssl_handshake_timeout=HANDSHAKE_S if secured is not None else None,
        )
        self._servers.append(server)

    async def _carry(self) -> None:
        most = self._core.settings.batch_lines
        while True:
            if not len(self._inbox):
                if self._stopping:
                    return
                await self._inbox.arrived.wait()
                if not self._stopping:
                    await asyncio.sleep(GATHER_S)
                continue
            batch = self._inbox.take(most)
            for (transport, source), arrivals in _grouped(batch).items():
                size = sum(len(arrival.message) for arrival in arrivals)
                try:
                    decoded, wrong = await off_loop(size, decode, arrivals)
                    for reason in wrong:
                        self._carrier.drop(transport, reason, 1)
                    await self._carrier.carry(transport, decoded, source)
                except Exception:
                    log.exception("%d syslog messages could not be judged", len(arrivals))
                    self._carrier.drop(transport, "error", len(arrivals))

    async def _close_idle(self) -> None:
        idle_s = self._core.settings.syslog_idle_s
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(30.0, idle_s / 4))
            for connection in list(self._connections):
                # What is paused is not idle: it may have sent much.
                if not self._inbox.full and loop.time() - connection.heard > idle_s:
                    connection.end()

    def _pause(self) -> None:
        for connection in self._connections:
            connection.pause()

    def _resume(self) -> None:
        for connection in self._connections:
            connection.resume()

    def _now_ns(self) -> int:
        return round(self._core.clock() * 1e6) * 1_000


class Connection(asyncio.Protocol):
    """One connection of a sender."""

    def __init__(self, server: SyslogServer, address: Address, most: int) -> None:
        self._server = server
        self._address = address
        self._framer = Framer(most, self._dropped)
        self._transport: asyncio.Transport | None = None
        self._origin = Origin(address.transport, "-", address.source)
        self._paused = False
        self._ended = False
        self.heard = 0.0
        """When it last sent something, by the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._origin = Origin(
            self._address.transport, _host(transport.get_extra_info("peername")), self._address.source
        )
        self.heard = asyncio.get_running_loop().time()
        if not self._server.admit(self):
            self._dropped("connections")
            self._ended = True
            self._transport.abort()
            return
        taken = transport.get_extra_info("socket")
        if taken is not None:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._server.full:
            self.pause()

    def data_received(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        if self._ended:
            return
        for message in self._framer.feed(data):
            self._server.taken(self._origin, message)

    def eof_received(self) -> None:
        self._finish()

    def connection_lost(self, _error: Exception | None) -> None:
        self._finish()
        self._server.release(self)

    def pause(self) -> None:
        """Read nothing more for now."""
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def end(self) -> None:
        """Close it; a last line without its end counts as one."""
        self._finish()
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            for message in self._framer.finish():
                self._server.taken(self._origin, message)

    def _dropped(self, reason: str) -> None:
        self._server.dropped(self._address.transport, reason)


class Datagrams(asyncio.DatagramProtocol):
    """One address for datagrams, a message each."""

    def __init__(self, server: SyslogServer, address: Address, most: int) -> None:
        self._server = server
        self._address = address
        self._most = most
        self._origin = Origin("udp", "-", address.source)

    def datagram_received(self, data: bytes, sender: tuple[str | int, ...]) -> None:
        if self._server.full:
            self._server.dropped("udp", "full")
        elif len(data) > self._most:
            self._server.dropped("udp", "too_long")
        else:
            host = _host(sender)
            if host != self._origin.peer:
                self._origin = Origin("udp", host, self._address.source)
            self._server.taken(self._origin, data)


def decode(arrivals: list[Arrival]) -> tuple[Decoded, list[str]]:
    """Entries of messages, and reasons of those that are malformed."""
    decoded = Decoded()
    wrong: list[str] = []
    for index, arrival in enumerate(arrivals):
        try:
            decoded.entries.append(syslog.entry(index, arrival.message, arrival.origin.peer, arrival.seen_ns))
        except syslog.Malformed as error:
            wrong.append(error.reason)
    return decoded, wrong


def _grouped(batch: list[Arrival]) -> dict[tuple[str, str | None], list[Arrival]]:
    """By transport and named source, each in order."""
    found: dict[tuple[str, str | None], list[Arrival]] = defaultdict(list)
    for arrival in batch:
        found[arrival.origin.transport, arrival.origin.source].append(arrival)
    return found


def _host(peer: object) -> str:
    return str(peer[0]) if isinstance(peer, tuple) and peer else "-"
