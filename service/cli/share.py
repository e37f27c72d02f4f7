"""Which worker process takes a new connection, where several share a port: the one that has fewest.

By themselves uvicorn's workers wait at one listener, and whichever wakes first takes all that came at once: the few
connections of a shipper all end in one process, beside others that idle. Owns what the processes tell each other of
their connections, and the taking of them. uvicorn is told ``SharingLoop`` and ``CountedConnection`` by name, and all
else is its own: starting, stopping, limits, TLS. Nobody is waited for who does not show that it lives.
"""

import asyncio
import fcntl
import logging
import mmap
import os
import select
import socket
import ssl
import time
from asyncio import TimerHandle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from service.api.connection import BoundedConnection
from service.exposition import FOLDER

PATIENCE_S = 0.2
"""How long a connection is left to a process with fewer at most, and how long after its last beat one counts as living:
one that hangs delays some connections by this once, and then none."""
BEAT_S = 0.05
"""A process that takes connections shows so as often."""
STEP_S = 0.001
"""Between two looks at a connection that is left to another."""
AGAIN_S = 1.0
"""Until the next try after the system could not give a connection: no file descriptor was left, say."""
SLOTS = 128

log = logging.getLogger("tocsin")


class Tally:
    """The connections of each process that shares a port, in a file that all of them map.

    A process has a slot for as long as it lives; one that comes after it may take it over.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, SLOTS * 16)
        # Processes beyond the last slot would share it, and be told apart no more, which costs them evenness only.
        self._slot = next(filter(self._free, range(SLOTS - 1)), SLOTS - 1)
        view = memoryview(mmap.mmap(self._file, SLOTS * 16))
        self._counts, self._beats = view[: SLOTS * 8].cast("q"), view[SLOTS * 8 :].cast("d")
        self._own = 0
        self.add(0)

    def add(self, connections: int) -> None:
        """This process has so many more than before."""
        self._own += connections
        self._counts[self._slot] = self._own

    def beat(self) -> None:
        """This process takes connections."""
        self._beats[self._slot] = time.monotonic()

    def leave(self) -> None:
        """It takes no more."""
        self._beats[self._slot] = 0.0

    def fewer_elsewhere(self) -> bool:
        """Whether a living process has fewer connections than this one."""
        since = time.monotonic() - PATIENCE_S
        return any(beat > since and count < self._own for count, beat in zip(self._counts, self._beats, strict=True))

    def _free(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)  # until this process ends, however it does
        except OSError:
            return False
        return True


class Acceptor:
    """Takes the connections of a shared listener one by one. To uvicorn it is a server of asyncio's, to be closed."""

    def __init__(
        self,
        loop: "SharingLoop",
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._waiting = select.poll()
        self._waiting.register(listener, select.POLLIN)
        self._entering: set[asyncio.Task[None]] = set()
        self._timer: TimerHandle | None = None
        self._beat()
        self._taking = asyncio.create_task(self._take())

    def close(self) -> None:
        """Take no more; who waits is left to the other processes."""
        self._taking.cancel()
        self._loop.remove_reader(self._listener)
        self._pause()

    async def wait_closed(self) -> None:
        """Until nothing is taken any more."""
        await asyncio.wait([self._taking])

    async def _take(self) -> None:
        while True:
            try:
                await self._come()
                await self._left_to_others()
                taken, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another process was quicker, or the client went away
                continue
            except OSError as error:
                log.warning("cannot take a connection, again in %.0f s: %s", AGAIN_S, error)
                self._pause()
                await asyncio.sleep(AGAIN_S)
                self._beat()
                continue
            self._loop.tally.add(1)
            entering = asyncio.create_task(self._enter(taken))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _come(self) -> None:
        """Until a connection waits."""
        come = self._loop.create_future()

        def readable() -> None:
            self._loop.remove_reader(self._listener)
            if not come.done():
                come.set_result(None)

        self._loop.add_reader(self._listener, readable)
        await come

    async def _left_to_others(self) -> None:
        """Until the connection is taken, or is for this process: nobody has fewer, or whoever has them is too slow."""
        patience = time.monotonic() + PATIENCE_S
        while self._loop.tally.fewer_elsewhere() and time.monotonic() < patience and self._waiting.poll(0):
            await asyncio.sleep(STEP_S)

    async def _enter(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._protocol, taken, ssl=self._tls)
        except OSError:  # no handshake: it never became one of uvicorn's connections, who would say that it ends
            self._loop.tally.add(-1)

    def _beat(self) -> None:
        self._loop.tally.beat()
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _pause(self) -> None:
        self._loop.tally.leave()
        if self._timer is not None:
            self._timer.cancel()


class SharingLoop(uvloop.Loop):
    """The event loop of one worker process."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally(Path(os.environ[FOLDER]) / "connections")

    async def create_server(self, protocol_factory: Any, *args: Any, **how: Any) -> Any:
        """A server as ever, but for the listener that the processes have in common. (One with SO_REUSEPORT is of this
        process alone: the kernel has dealt out what waits there.)"""
        listener = how.get("sock")
        if listener is None or listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            return await super().create_server(protocol_factory, *args, **how)
        listener.setblocking(False)
        listener.listen(how["backlog"])
        return Acceptor(self, listener, protocol_factory, how["ssl"])


class CountedConnection(BoundedConnection):
    """Says when it is over."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        assert isinstance(self.loop, SharingLoop)
        self.loop.tally.add(-1)
