"""``/_bulk`` and what is asked before it: the Elasticsearch client, and what each wrong request gets."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from elasticsearch import Elasticsearch, helpers
from redis.asyncio import Redis

from service.errors import QueueFull
from service.pipeline.answer import Answer
from service.pipeline.request import IngestRequest
from tests.service.intake.bodies import created, ndjson
from tests.service.listening import GOOD, beside, learning, listening, session_events
from tests.service.serving import PATIENCE_S, Replica, running

NDJSON = {"Content-Type": "application/x-ndjson"}
GOOD_DOCUMENT = {"message": GOOD, "@timestamp": "2024-05-01T00:00:10.000Z"}


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """Sources ``blocks`` and ``app`` without a model."""
    await redis.ping()
    async with learning(redis_url, tmp_path) as replica:
        yield replica


async def post(replica: Replica, body: bytes, path: str = "/_bulk", **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await replica.http.post(path, content=body, headers={**NDJSON, **given})
    assert response.headers["x-elastic-product"] == "Elasticsearch"
    return response


def statuses(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    answer = response.json()
    found = [result["status"] for item in answer["items"] for result in item.values()]
    assert answer["errors"] == any(status >= 400 for status in found)
    return found


async def test_the_elasticsearch_client_indexes_and_hears_of_what_was_not_taken(replica: Replica) -> None:
    def send(url: str) -> tuple[int, list[Any], bool]:
        actions = [{"_op_type": op, "_index": "blocks", **GOOD_DOCUMENT} for op in ("create", "index", "index")]
        actions += [{"_index": "nobody", "message": "x"}, {"_index": "blocks", "message": "no header"}]
        with Elasticsearch(url, http_compress=True, request_timeout=PATIENCE_S) as client:
            taken, errors = helpers.bulk(client, actions, raise_on_error=False)
            return taken, errors, client.ping()

    async with listening(replica) as url:
        taken, errors, there = await beside(send, url)
    assert (taken, there) == (3, True)
    told = [(error["index"]["status"], error["index"]["error"]["type"]) for error in errors]
    assert told == [(404, "index_not_found_exception"), (400, "document_parsing_exception")]
    assert "PUT /sources/nobody" in errors[0]["index"]["error"]["reason"]
    assert await session_events(replica, "blocks", "blk_1") == 3


async def test_the_client_finds_what_shippers_ask_for_before_they_send(replica: Replica) -> None:
    def ask(url: str) -> list[Any]:
        with Elasticsearch(url, request_timeout=PATIENCE_S) as client:
            return [
                client.info()["version"]["build_flavor"],
                client.license.get()["license"]["status"],
                client.indices.exists_index_template(name="filebeat").body,
                client.indices.put_index_template(name="filebeat", index_patterns=["filebeat*"])["acknowledged"],
                len(client.indices.get_index_template(name="filebeat")["index_templates"]),
                list(client.ilm.get_lifecycle(name="filebeat")),
                client.ilm.put_lifecycle(name="filebeat", policy={"phases": {}})["acknowledged"],
                client.indices.get_data_stream(name="filebeat")["data_streams"][0]["name"],
                client.cluster.health()["status"],
            ]

    async with listening(replica) as url:
        told = await beside(ask, url)
    assert told == ["default", "active", True, True, 1, ["filebeat"], True, "filebeat", "green"]
    older = (await replica.http.get("/_xpack")).json()
    assert older["features"]["ilm"]["enabled"]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/_bulk", created(GOOD_DOCUMENT, GOOD_DOCUMENT, index="blocks"), {}),
        ("/blocks/_bulk?filter_path=errors", ndjson({"create": {}}, GOOD_DOCUMENT, {"index": {}}, GOOD_DOCUMENT), {}),
        ("/_bulk?source=blocks", created(GOOD_DOCUMENT, GOOD_DOCUMENT, index="logs-x-default"), {}),
        ("/_bulk", created(GOOD_DOCUMENT, GOOD_DOCUMENT, index="x"), {"X_Tocsin_Source": "blocks"}),
        ("/_bulk", gzip.compress(created({"log": GOOD}, {"log": GOOD}, index="blocks")), {"Content_Encoding": "gzip"}),
        (
            "/_bulk",
            created(GOOD_DOCUMENT, GOOD_DOCUMENT, index="blocks"),
            {"Content_Type": "application/vnd.elasticsearch+x-ndjson; compatible-with=9"},
        ),
    ],
)
async def test_every_form_is_taken(replica: Replica, path: str, body: bytes, headers: dict[str, str]) -> None:
    assert statuses(await post(replica, body, path, **headers)) == [201, 201]
    assert await session_events(replica, "blocks", "blk_1") == 2


@pytest.mark.usefixtures("redis")
async def test_fields_make_sources_and_sessions(redis_url: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("routes: [{when: {_index: 'logs-*', host.name: a}, source: app}]\nsessions: {app: trace.id}\n")
    async with learning(redis_url, tmp_path, intake_rules=rules) as replica:
        documents = [{"message": "m", "host": {"name": "a"}, "trace": {"id": trace}} for trace in ("t", "t", "u")]
        assert statuses(await post(replica, created(*documents, index="logs-shop-default"))) == [201] * 3
        assert [await session_events(replica, "app", trace) for trace in ("t", "u")] == [2, 1]


async def test_a_source_of_json_gets_the_whole_document(replica: Replica) -> None:
    config = {"header": {"kind": "json", "fields": ["order"]}, "session": {"fields": ["order"]}}
    assert (await replica.http.put("/sources/json", json=config)).status_code == 200
    documents = [{"message": f"step {step}", "order": "o-1"} for step in range(3)]
    assert statuses(await post(replica, created(*documents, index="json"))) == [201] * 3
    assert await session_events(replica, "json", "o-1") == 3


async def test_bad_items_cost_nothing_but_themselves(replica: Replica) -> None:
    body = created(GOOD_DOCUMENT, b"{oops", {"message": "no header"}, index="blocks")
    body += ndjson({"delete": {"_index": "blocks", "_id": "1"}}, {"create": {}}, GOOD_DOCUMENT)
    body += created(GOOD_DOCUMENT, index="blocks")
    assert statuses(await post(replica, body)) == [201, 400, 400, 400, 400, 201]
    assert await session_events(replica, "blocks", "blk_1") == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"{oops\n", {}, 400, "Malformed action/metadata line [1]"),
        (created(GOOD_DOCUMENT, index="blocks") + b"{}\n", {}, 400, "Malformed action/metadata line [3]"),
        (b"", {}, 400, "request body is required"),
        (b"no gzip", {"Content_Encoding": "gzip"}, 400, "is not gzip"),
        (b"x", {"Content_Encoding": "br"}, 415, "send gzip or nothing"),
        (b"x", {"Content_Type": "text/plain"}, 406, "Content-Type header [text/plain] is not supported"),
    ],
)
async def test_a_wrong_request_is_refused_whole_and_the_next_one_taken(
    replica: Replica, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    response = await post(replica, body, **headers)
    assert response.status_code == response.json()["status"] == status
    assert says in response.json()["error"]["reason"]
    assert statuses(await post(replica, created(GOOD_DOCUMENT, index="blocks"))) == [201]
    assert await session_events(replica, "blocks", "blk_1") == 1


@pytest.mark.usefixtures("redis")
async def test_limits_hold(redis_url: str, tmp_path: Path) -> None:
    async with learning(redis_url, tmp_path, max_body_bytes=10_000, max_request_lines=20) as replica:
        assert (await post(replica, b" " * 10_001)).status_code == 413
        bomb = gzip.compress(created({"message": "x" * 1_000_000}, index="app"))
        assert (await post(replica, bomb, Content_Encoding="gzip")).status_code == 413
        assert (await post(replica, created(*[{"message": "x"}] * 21, index="app"))).status_code == 413
        assert statuses(await post(replica, created(*[{"message": "x"}] * 20, index="app"))) == [201] * 20


async def test_only_what_met_a_full_queue_is_to_be_sent_again(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = replica.core.ingest

    async def full(asked: IngestRequest, *rest: Any) -> Answer:
        if asked.source == "app":
            raise QueueFull("50,000 lines wait", 7)
        return await ingest(asked, *rest)

    monkeypatch.setattr(replica.core, "ingest", full)
    body = created({"message": "x"}, index="app")
    assert statuses(await post(replica, body + created(GOOD_DOCUMENT, index="blocks"))) == [429, 201]
    response = await post(replica, body)
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["type"] == "es_rejected_execution_exception"


async def test_redis_away_is_503_and_so_is_the_health_that_vector_asks_for(tmp_path: Path) -> None:
    async with running("redis://127.0.0.1:1", tmp_path / "bundles") as away:
        response = await post(away, created(GOOD_DOCUMENT, index="blocks"))
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert (await away.http.get("/_cluster/health")).status_code == 503
        assert (await away.http.get("/")).status_code == 200
