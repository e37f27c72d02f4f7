"""``POST /loki/api/v1/push``: a real logging handler, and what each wrong request gets."""

import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import cramjam
import orjson
import pytest
from logging_loki import LokiHandler
from redis.asyncio import Redis

from service.errors import QueueFull
from tests.service.intake.bodies import loki_entry, loki_json, loki_push
from tests.service.listening import GOOD, beside, learning, listening, session_events
from tests.service.serving import Replica, running

PATH = "/loki/api/v1/push"
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """Sources ``blocks`` and ``app`` without a model."""
    await redis.ping()
    async with learning(redis_url, tmp_path) as replica:
        yield replica


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


async def test_a_logging_handler_pushes_into_the_source_that_its_tags_name(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    def log(url: str) -> None:
        handler = LokiHandler(f"{url}{PATH}", tags={"app": "blocks"}, version="1")
        # It writes to standard error what it could not send; here that is to fail.
        handler.handleError = lambda _record: pytest.fail("the handler could not send")
        logger = logging.Logger("shop")
        logger.addHandler(handler)
        for _ in range(3):
            logger.warning(GOOD, extra={"tags": {"server": "a"}})
        handler.emitter.close()

    async with listening(replica) as url:
        await beside(log, url)
    assert (await replica.metrics())['tocsin_lines_total{source="blocks"}'] == 3
    assert await session_events(replica, "blocks", "blk_1") == 3


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (orjson.dumps(loki_json(GOOD, GOOD, job="blocks")), JSON),
        (gzip.compress(orjson.dumps(loki_json(GOOD, GOOD, job="blocks"))), {**JSON, "Content-Encoding": "gzip"}),
        (snappy(loki_push('{job="blocks"}', loki_entry(GOOD), loki_entry(GOOD))), PROTOBUF),
        (
            snappy(loki_push('{job="blocks"}', loki_entry(GOOD), loki_entry(GOOD))),
            {**PROTOBUF, "Content-Encoding": "snappy"},
        ),
        (snappy(loki_push('{job="blocks"}', loki_entry(GOOD), loki_entry(GOOD))), {}),
    ],
)
async def test_every_form_of_a_push_is_taken(replica: Replica, content: bytes, headers: dict[str, str]) -> None:
    response = await replica.http.post(PATH, content=content, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert await session_events(replica, "blocks", "blk_1") == 2


async def test_sessions_are_made_of_configured_labels_and_metadata(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    (tmp_path / "rules.yaml").write_text(
        "routes: [{when: {job: '*-shop'}, source: app}]\nsessions: {app: [host, trace]}\n"
    )
    async with learning(redis_url, tmp_path, intake_rules=tmp_path / "rules.yaml") as replica:
        entries = [loki_entry("a", trace="t"), loki_entry("b", trace="t"), loki_entry("c")]
        push = snappy(loki_push('{job="eu-shop", host="h"}', *entries))
        assert (await replica.http.post(PATH, content=push, headers=PROTOBUF)).status_code == 204
        assert await session_events(replica, "app", "h/t") == 2
        assert await session_events(replica, "app", "h/-") == 1


async def test_what_is_not_taken_is_400_as_loki_says_it_and_the_rest_is_judged(replica: Replica) -> None:
    body = loki_json(GOOD, "no header", ["noon", GOOD], GOOD, job="blocks")
    body["streams"] += loki_json("x", job="nobody")["streams"] + loki_json("x")["streams"]
    response = await replica.http.post(PATH, json=body)
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.startswith("4 of 6 entries rejected: ")
    for says in ("not in the format", "as a string", "PUT /sources/nobody", "1 other reasons"):
        assert says in response.text
    assert await session_events(replica, "blocks", "blk_1") == 2


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        (b"{oops", JSON, 400, "not JSON"),
        (b"{}", JSON, 400, "no list streams"),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 400, "send gzip or nothing"),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 400, "is not gzip"),
        (b"no snappy", PROTOBUF, 400, "not snappy"),
        (snappy(b"\x0a\x7f"), PROTOBUF, 400, "no PushRequest"),
        (snappy(b"\0" * 70_000_000), PROTOBUF, 413, "send smaller batches"),
        (b"x", {"Content-Type": "text/plain"}, 400, "send application/json or application/x-protobuf"),
    ],
    ids=["json", "form", "br", "gzip", "snappy", "protobuf", "bomb", "type"],
)
async def test_a_wrong_request_is_refused_and_the_next_one_taken(
    replica: Replica, content: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    response = await replica.http.post(PATH, content=content, headers=headers)
    assert (response.status_code, says in response.text) == (status, True), response.text
    assert (await replica.http.post(PATH, json=loki_json(GOOD, job="blocks"))).status_code == 204


@pytest.mark.usefixtures("redis")
async def test_limits_hold(redis_url: str, tmp_path: Path) -> None:
    async with learning(redis_url, tmp_path, max_body_bytes=10_000, max_request_lines=20) as replica:
        assert (await replica.http.post(PATH, content=b" " * 10_001, headers=JSON)).status_code == 413
        assert (await replica.http.post(PATH, json=loki_json(*["x"] * 21, app="app"))).status_code == 413
        assert (await replica.http.post(PATH, json=loki_json(*["x"] * 20, app="app"))).status_code == 204


async def test_a_full_queue_is_429_and_redis_away_503(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise QueueFull("50,000 lines wait", 7)

    monkeypatch.setattr(replica.core, "ingest", full)
    response = await replica.http.post(PATH, json=loki_json(GOOD, job="blocks"))
    assert (response.status_code, response.headers["retry-after"], response.text) == (429, "7", "50,000 lines wait\n")
    async with running("redis://127.0.0.1:1", tmp_path / "away") as away:
        response = await away.http.post(PATH, json=loki_json(GOOD, job="blocks"))
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
