"""``POST /v1/logs``: the OpenTelemetry SDK's own exporter, and what each wrong request gets."""

import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from redis.asyncio import Redis

from service.errors import QueueFull
from service.pipeline.answer import Answer
from service.pipeline.request import IngestRequest
from tests.service.intake.bodies import otlp_json, otlp_request
from tests.service.listening import GOOD, beside, learning, listening, session_events
from tests.service.serving import NOW, PATIENCE_S, Replica, running

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """Sources ``blocks`` and ``app`` without a model."""
    await redis.ping()
    async with learning(redis_url, tmp_path) as replica:
        yield replica


async def post(replica: Replica, body: bytes | ExportLogsServiceRequest, path: str = "/v1/logs", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else body.SerializeToString()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await replica.http.post(path, content=content, headers={**PROTOBUF, **given})


def partial(response: httpx.Response) -> tuple[int, str]:
    assert response.status_code == 200, response.content
    assert response.headers["content-type"] == "application/x-protobuf"
    answer = ExportLogsServiceResponse.FromString(response.content).partial_success
    return answer.rejected_log_records, answer.error_message


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_the_sdk_exports_into_a_source_with_sessions_by_trace(
    redis_url: str, tmp_path: Path, compression: Compression
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("sessions: {app: [order]}\n")

    def export(url: str) -> None:
        exporter = OTLPLogExporter(f"{url}/v1/logs", compression=compression, timeout=PATIENCE_S)
        provider = LoggerProvider(Resource({"service.name": "app"}), shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        logger = provider.get_logger("test")
        for number in range(6):
            order = f"o-{number % 2}"
            logger.emit(
                body=f"order {order} placed for {number}", timestamp=int(NOW * 1e9), attributes={"order": order}
            )
        provider.shutdown()

    async with learning(redis_url, tmp_path, intake_rules=rules) as replica, listening(replica) as url:
        await beside(export, url)
        metrics = await replica.metrics()
        assert metrics['tocsin_lines_total{source="app"}'] == 6
        assert metrics['tocsin_requests_total{path="/v1/logs",status="200"}'] == 6
        assert [await session_events(replica, "app", f"o-{n}") for n in range(3)] == [3, 3, 0]


async def test_the_sdk_hears_that_a_source_is_unknown_and_goes_on(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    """A partial success is a success to the exporter: it does not send the records again."""

    def export(url: str) -> None:
        for name in ("nobody", "blocks"):
            provider = LoggerProvider(Resource({"service.name": name}), shutdown_on_exit=False)
            exporter = OTLPLogExporter(f"{url}/v1/logs", timeout=PATIENCE_S)
            provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
            provider.get_logger("test").emit(body=GOOD, timestamp=int(NOW * 1e9))
            provider.shutdown()

    async with listening(replica) as url:
        with caplog.at_level(logging.ERROR):
            await beside(export, url)
    assert (await replica.metrics())['tocsin_lines_total{source="blocks"}'] == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_good_records_are_judged_and_bad_ones_are_a_partial_success(replica: Replica) -> None:
    request = otlp_request(GOOD, "no header", GOOD, service="blocks")
    request.MergeFrom(otlp_request("a", "b", service="nobody"))
    request.MergeFrom(otlp_request("c", service=None))
    rejected, message = partial(await post(replica, request))
    assert rejected == 4
    assert "4 of 6 entries rejected" in message
    assert "not in the format of source blocks" in message
    assert "PUT /sources/nobody" in message
    assert "service.name" in message
    metrics = await replica.metrics()
    assert metrics['tocsin_lines_total{source="blocks"}'] == 3
    assert await session_events(replica, "blocks", "blk_1") == 2


@pytest.mark.parametrize("how", [{"path": "/v1/logs?source=blocks"}, {"X_Tocsin_Source": "blocks"}])
async def test_the_request_may_name_the_source(replica: Replica, how: dict[str, str]) -> None:
    assert partial(await post(replica, otlp_request(GOOD, service="nobody"), **how)) == (0, "")
    assert await session_events(replica, "blocks", "blk_1") == 1


async def test_json_is_answered_in_json(replica: Replica) -> None:
    body = orjson.dumps(otlp_json(GOOD, {"body": 5}, GOOD, service="blocks"))
    response = await post(replica, gzip.compress(body), Content_Type="application/json", Content_Encoding="gzip")
    assert response.headers["content-type"] == "application/json"
    answer = response.json()["partialSuccess"]
    assert answer["rejectedLogRecords"] == "1"
    assert "entry 1" in answer["errorMessage"]
    fine = await post(
        replica, orjson.dumps(otlp_json(service="blocks")), Content_Type="application/json; charset=utf-8"
    )
    assert (fine.status_code, fine.json()) == (200, {})


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"\xff\xff", {}, 400, b"no ExportLogsServiceRequest"),
        (b"{}", {}, 400, b"no ExportLogsServiceRequest"),
        (b"{oops", {"Content_Type": "application/json"}, 400, b"no ExportLogsServiceRequest"),
        (otlp_request("x"), {"Content_Encoding": "gzip"}, 400, b"is not gzip"),
        (otlp_request("x"), {"Content_Encoding": "zstd"}, 415, b"send gzip or nothing"),
        (otlp_request("x"), {"Content_Type": "text/plain"}, 415, b"send application/x-protobuf or application/json"),
        (otlp_request("x"), {"Content_Type": ""}, 415, b"send application/x-protobuf or application/json"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_status_in_its_encoding(
    replica: Replica, body: Any, headers: dict[str, str], status: int, says: bytes
) -> None:
    response = await post(replica, body, **headers)
    assert response.status_code == status
    assert says in response.content
    kind = response.headers["content-type"]
    assert kind == ("application/x-protobuf" if headers.keys() <= {"Content_Encoding"} else "application/json")
    if kind == "application/json":
        assert response.json()["message"]
    else:
        assert response.content[:3] == b"\x08\x03\x12"
    assert partial(await post(replica, otlp_request(GOOD, service="blocks"))) == (0, "")


@pytest.mark.usefixtures("redis")
async def test_limits_hold_before_and_after_decompression(redis_url: str, tmp_path: Path) -> None:
    async with learning(redis_url, tmp_path, max_body_bytes=10_000, max_request_lines=20) as replica:
        assert (await post(replica, b"x" * 10_001)).status_code == 413
        bomb = gzip.compress(otlp_request("x" * 5_000_000).SerializeToString())
        assert len(bomb) < 10_000
        assert (await post(replica, bomb, Content_Encoding="gzip")).status_code == 413
        assert (await post(replica, otlp_request(*[GOOD] * 21, service="blocks"))).status_code == 413
        assert partial(await post(replica, otlp_request(*[GOOD] * 20, service="blocks"))) == (0, "")


async def test_more_sources_than_a_request_may_name_lose_only_those_beyond(replica: Replica) -> None:
    request = otlp_request(GOOD, service="blocks")
    for number in range(70):
        request.MergeFrom(otlp_request("x", service=f"nobody-{number}"))
    rejected, message = partial(await post(replica, request))
    assert rejected == 70
    assert "other reasons" in message
    assert await session_events(replica, "blocks", "blk_1") == 1


async def test_redis_away_is_503_with_retry_after(tmp_path: Path) -> None:
    async with running("redis://127.0.0.1:1", tmp_path / "bundles") as replica:
        response = await post(replica, otlp_request(GOOD, service="blocks"))
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.content[:2] == b"\x08\x0e"


async def test_a_full_queue_is_429_and_a_body_for_two_sources_is_judged_once_when_it_comes_again(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = otlp_request(GOOD, GOOD, service="blocks")
    request.MergeFrom(otlp_request("hello", service="app"))
    ingest = replica.core.ingest

    async def full(asked: IngestRequest, *rest: Any) -> Answer:
        if asked.source == "app":
            raise QueueFull("50,000 lines wait", 7)
        return await ingest(asked, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(replica.core, "ingest", full)
        response = await post(replica, request)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    for _ in range(2):
        assert partial(await post(replica, request)) == (0, "")
    assert await session_events(replica, "blocks", "blk_1") == 2
    assert await session_events(replica, "app", "all") == 1
