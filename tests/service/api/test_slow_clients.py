"""Clients that are slow or rude, over real sockets: each is let go of, and the others are served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from redis.asyncio import Redis

from service.api import connection
from service.api.app import create_app
from service.cli import serve
from service.cli.serve import listen, uvicorn_options
from service.settings import Settings
from tests.service.serving import PATIENCE_S, Replica, running, until

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", body_s=0.3) as replica:
        yield replica


@asynccontextmanager
async def served(replica: Replica, **settings: int) -> AsyncIterator[int]:
    """The port of a replica that is served as ``tocsin serve`` does."""
    options = uvicorn_options(Settings(**settings))
    server = uvicorn.Server(uvicorn.Config(create_app(replica.core), lifespan="off", **options))
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started, "the server listens")
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side closes."""
    async with asyncio.timeout(PATIENCE_S):
        return await reader.read()


@pytest.mark.parametrize("said", [b"", b"GET /he", GET, b"\r\n", GET + b"\r\n\r\n"])
async def test_whoever_does_not_finish_a_request_is_let_go(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    monkeypatch.setattr(serve, "KEEP_ALIVE_S", 1)
    async with served(replica) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        answer = await ended(reader)
        assert answer.startswith(b"HTTP/1.1 200") == said.endswith(b"\r\n\r\n")
        writer.close()
        assert await fine(port)


async def test_bytes_now_and_then_gain_no_time(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    async with served(replica) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        closed = asyncio.create_task(ended(reader))
        while not closed.done():
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)
        assert await closed == b""
        writer.close()


async def test_a_head_without_end_is_refused(replica: Replica) -> None:
    async with served(replica) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        answer = asyncio.create_task(ended(reader))
        with pytest.raises(ConnectionError):  # noqa: PT012
            while True:
                writer.write(b"X: " + b"y" * 4_000 + b"\r\n")
                await writer.drain()
                if answer.done():
                    raise ConnectionResetError
        assert (await asyncio.gather(answer, return_exceptions=True))[0] is not None
        assert await fine(port)


async def test_large_heads_within_bounds_are_taken_again_and_again(replica: Replica) -> None:
    async with served(replica) as port, httpx.AsyncClient(timeout=PATIENCE_S) as http:
        for _ in range(5):
            answer = await http.get(f"http://127.0.0.1:{port}/healthz", headers={"X": "y" * 30_000})
            assert answer.status_code == 200


async def test_a_body_that_does_not_come_is_408(replica: Replica) -> None:
    async with served(replica) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        for path in (b"ingest", b"feedback"):
            writer.write(head % path)
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).split()[1] == b"408"
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def test_whoever_does_not_read_the_answer_is_let_go(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_S", 0.3)
    large = b"x" * (64 * 2**20)
    monkeypatch.setattr(replica.core, "exposition", lambda: large)
    lost = asyncio.Event()
    aborted = connection.BoundedConnection.connection_lost

    def noted(self: connection.BoundedConnection, exc: Exception | None) -> None:
        aborted(self, exc)
        lost.set()

    monkeypatch.setattr(connection.BoundedConnection, "connection_lost", noted)
    async with served(replica) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lost.is_set, "the connection is gone")
        writer.close()


async def test_too_many_connections_are_503(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 3_600.0)
    async with served(replica, connections=8) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]

        async def is_full() -> bool:
            return not await fine(port)

        await until(is_full, "the ninth connection is refused")
        for _, writer in held:
            writer.close()
        await until(lambda: fine(port), "there is room again")


async def fine(port: int) -> bool:
    """Whether somebody else is served."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        answer = await http.get(f"http://127.0.0.1:{port}/healthz")
    assert answer.status_code in (200, 503)
    return answer.status_code == 200
