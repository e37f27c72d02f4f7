"""Worker processes that share a port: each gets its share of the connections, and none waits for one that hangs."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from service.cli.share import Tally
from tests.processes import PROC, clients_of, workers_of
from tests.service.serving import PROCESS_PATIENCE_S, Child, until

ROUNDS = 3
"""A machine that is busy with others may hold up a process for longer than a connection is left to it."""
GET = b"GET /healthz HTTP/1.1\r\nhost: tocsin\r\n\r\n"
NEIGHBOUR = """
import sys
import time
from pathlib import Path
from service.cli.share import Tally

tally = Tally(Path(sys.argv[1]))
tally.add(int(sys.argv[2]))
while True:
    tally.beat()
    time.sleep(0.01)
"""

Connection = tuple[StreamReader, StreamWriter]


class Workers:
    """The two worker processes of one service, by the connections that the system says they hold."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._port = int(child.url.rsplit(":", 1)[1])
        self._open: list[Connection] = []

    @property
    def pids(self) -> list[int]:
        """Processes that uvicorn started to serve."""
        return workers_of(self._child.pid)

    def held(self, pid: int) -> list[int]:
        """Ports of the clients whose connections a process has."""
        return clients_of(pid, self._port)

    def shares(self) -> list[int]:
        """How many connections each has."""
        return [len(self.held(pid)) for pid in self.pids]

    async def open(self, count: int) -> None:
        """So many connections at once, and one answer on each."""

        async def one() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._open.append((reader, writer))
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

        await asyncio.gather(*(one() for _ in range(count)))

    async def close(self, ports: list[int] | None = None) -> None:
        """Ends those connections (default: all), and waits until no process has them."""
        chosen = [
            (reader, writer)
            for reader, writer in self._open
            if ports is None or writer.get_extra_info("sockname")[1] in ports
        ]
        gone = {writer.get_extra_info("sockname")[1] for _, writer in chosen}
        for connection in chosen:
            connection[1].close()
            self._open.remove(connection)
        await until(lambda: not any(gone.intersection(self.held(pid)) for pid in self.pids), "connections are over")

    async def both(self) -> None:
        """Wait until both take connections."""

        async def each_takes_one() -> bool:
            await self.close()
            await self.open(2)
            return self.shares() == [1, 1]

        await until(each_takes_one, "both workers take connections", PROCESS_PATIENCE_S)
        await self.close()


@pytest.fixture
async def workers(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Workers]:
    if not PROC.exists():
        pytest.skip("no /proc to read which process has a connection")
    await redis.ping()
    child = Child(redis_url, tmp_path / "bundles", workers=2)
    workers = Workers(child)
    try:
        async with httpx.AsyncClient() as http:
            await child.ready(http)
        await workers.both()
        yield workers
        await workers.close()
        child.terminate()
        assert await child.ended() == 0
    finally:
        for pid in workers.pids:  # none is left but by a test that failed
            os.kill(pid, signal.SIGKILL)
        child.kill()


async def test_connections_opened_at_once_are_shared_evenly_and_later_ones_make_up_for_closed_ones(
    workers: Workers,
) -> None:
    seen = []
    for _ in range(ROUNDS):
        await workers.close()
        await workers.open(8)
        opened = workers.shares()
        emptied = workers.pids[0]
        await workers.close(workers.held(emptied)[1:])
        await workers.open(3)
        seen.append((opened, workers.shares()))
        if seen[-1] == ([4, 4], [4, 4]):
            break
    assert seen[-1] == ([4, 4], [4, 4]), f"never even: {seen}"


async def test_clients_are_served_by_the_others_while_one_hangs(workers: Workers) -> None:
    hangs, works = workers.pids
    os.kill(hangs, signal.SIGSTOP)
    try:
        await workers.open(8)
        assert len(workers.held(works)) == 8  # not in the process that uvicorn replaces the other with, later
    finally:
        with suppress(ProcessLookupError):
            os.kill(hangs, signal.SIGCONT)


async def test_fewer_has_only_who_lives(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    tally.add(2)
    assert not tally.fewer_elsewhere()
    for _ in range(2):
        neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(tmp_path / "tally"), "1"])
        try:
            await until(tally.fewer_elsewhere, "one with fewer is seen", PROCESS_PATIENCE_S)
            tally.add(-1)
            assert not tally.fewer_elsewhere()
            tally.add(1)
        finally:
            neighbour.kill()
            neighbour.wait()
        await until(lambda: not tally.fewer_elsewhere(), "the dead do not count")
