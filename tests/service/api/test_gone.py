"""A client that goes away in the middle of its body costs nothing but its own request, and no alarm in the log."""

import asyncio
import logging
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from tests.service.listening import GOOD, learning, listening
from tests.service.serving import until

PATIENCE_S = 60.0


@pytest.mark.parametrize("path", ["/ingest?source=app", "/v1/logs", "/loki/api/v1/push", "/_bulk"])
async def test_a_body_that_never_ends_is_let_go_of(
    redis: Redis, redis_url: str, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.ping()
    caplog.set_level(logging.WARNING)
    async with learning(redis_url, tmp_path) as replica, listening(replica) as address:
        url = httpx.URL(address)
        _, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + b'{"lines": [')
        await writer.drain()
        writer.close()

        async def counted() -> bool:
            metrics = await replica.metrics()
            return any(name.startswith("tocsin_requests_total") and 'status="400"' in name for name in metrics)

        await until(counted, "the broken request is counted", PATIENCE_S)
        assert [record.getMessage() for record in caplog.records] == []
        found = await replica.ingest("blocks", [GOOD])
        assert len(found["verdicts"]) == 1


@pytest.mark.parametrize("path", ["/ingest?source=app", "/v1/logs", "/loki/api/v1/push", "/_bulk"])
async def test_a_body_that_comes_too_slowly_is_not_waited_for(
    redis: Redis, redis_url: str, tmp_path: Path, path: str
) -> None:
    await redis.ping()
    async with learning(redis_url, tmp_path, body_s=0.2) as replica, listening(replica) as address:
        url = httpx.URL(address)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + b'{"lines": [')
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE_S)
        assert answer.split()[1] == b"408"
        writer.close()
        assert len((await replica.ingest("blocks", [GOOD]))["verdicts"]) == 1


async def test_no_page_of_the_service_asks_a_third_party(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.ping()
    async with learning(redis_url, tmp_path) as replica:
        for path in ("/docs", "/redoc"):
            assert (await replica.http.get(path)).status_code == 404
        assert "/ingest" in (await replica.get("/openapi.json"))["paths"]
