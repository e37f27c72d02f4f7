"""Shippers' own clients bring a key in their own way, and are told in it where theirs is none."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AuthenticationException, AuthorizationException, Elasticsearch, helpers
from logging_loki import LokiHandler
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from redis.asyncio import Redis

from tests.service.access.making import bearer, made
from tests.service.listening import RAW, beside, listening
from tests.service.serving import PATIENCE_S, Replica, running


@pytest.fixture
async def key(redis: Redis) -> str:
    """Of a shipper that sends lines of ``app`` and does nothing else."""
    return await made(redis, "shipper", "ingest", sources=("app",))


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path, key: str) -> AsyncIterator[Replica]:
    ops = bearer(await made(redis, "ops"))
    async with running(redis_url, tmp_path / "bundles") as replica:
        replica.http.headers.update(ops)
        for name in ("app", "other"):
            assert (await replica.http.put(f"/sources/{name}", json=RAW)).status_code == 200
        yield replica


async def lines(replica: Replica) -> float:
    return (await replica.metrics()).get('tocsin_lines_total{source="app"}', 0.0)


async def test_elasticsearchs_client(replica: Replica, key: str) -> None:
    def send(url: str, index: str, **how: Any) -> int:
        with Elasticsearch(url, request_timeout=PATIENCE_S, **how) as client:
            assert client.info()["version"]["number"]
            return int(helpers.bulk(client, [{"_index": index, "message": "a line"}] * 3)[0])

    async with listening(replica) as url:
        for how in ({"api_key": (key[4:16], key)}, {"basic_auth": ("any", key)}, {"bearer_auth": key}):
            assert await beside(send, url, "app", **how) == 3
        with pytest.raises(AuthenticationException):
            await beside(send, url, "app", basic_auth=("elastic", "changeme"))
        with pytest.raises(AuthorizationException):
            await beside(send, url, "other", basic_auth=("any", key))
    assert await lines(replica) == 9


async def test_lokis_handler(replica: Replica, key: str) -> None:
    failures: list[logging.LogRecord] = []

    def send(url: str, password: str) -> None:
        handler = LokiHandler(f"{url}/loki/api/v1/push", tags={"app": "app"}, version="1", auth=("any", password))
        handler.handleError = failures.append
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        logger.warning("a line")
        handler.emitter.close()

    async with listening(replica) as url:
        await beside(send, url, key)
        assert not failures
        await beside(send, url, "changeme")
        assert len(failures) == 1
    assert await lines(replica) == 1


async def test_opentelemetrys_exporter(replica: Replica, key: str) -> None:
    def send(url: str, headers: dict[str, str]) -> None:
        exporter = OTLPLogExporter(f"{url}/v1/logs", headers=headers, timeout=PATIENCE_S)
        provider = LoggerProvider(Resource({"service.name": "app"}), shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        provider.get_logger("test").emit(body="a line")
        provider.shutdown()

    async with listening(replica) as url:
        await beside(send, url, {"authorization": f"Bearer {key}"})
        assert await lines(replica) == 1
        await beside(send, url, {})
    assert await lines(replica) == 1
