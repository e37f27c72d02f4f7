"""A key for some sources: nothing of the others is seen, sent or answered with it."""

from typing import Any

import orjson
from redis.asyncio import Redis

from tests.service.access.making import known, made, refused
from tests.service.listening import GOOD
from tests.service.page.markup import quarantined
from tests.service.serving import NOW, Replica


async def test_a_key_for_one_source_sees_nothing_of_the_others(replica: Replica, redis: Redis) -> None:
    incident = (await replica.ingest("blocks", [quarantined(1)]))["verdicts"][0]["incident"]
    given = {"incident": incident, "label": "false_positive"}
    item = (await replica.http.post("/feedback", json=given)).json()["id"]
    scopes = ("ingest", "read", "feedback", "admin")
    mine = await known(replica, await made(redis, "app-team", *scopes, sources=("app*",)))

    async def ask(method: str, path: str, **how: Any) -> int:
        answer = await replica.http.request(method, path, headers=mine, **how)
        assert b"quarantine" not in answer.content, path
        return answer.status_code

    for method, path in (
        ("GET", "/verdicts?source=blocks"),
        ("GET", "/incidents?source=blocks"),
        ("GET", "/incidents/stream?source=blocks"),
        ("GET", "/feedback?source=blocks"),
        ("PUT", "/sources/blocks"),
        ("GET", "/sources/blocks/templates"),
        ("GET", "/sources/blocks/mutes"),
        ("POST", "/sources/blocks/mutes"),
        ("POST", "/models/blocks/rollback"),
        ("GET", "/models/blocks/diff?to=1"),
        ("GET", "/page/sources/blocks"),
        ("GET", "/page/versions/blocks/1"),
        ("GET", "/notifications"),
        ("DELETE", "/notifications/dead"),
        ("GET", "/?source=blocks"),
    ):
        page = {"Accept": "text/html"} if path.startswith("/?") else {}
        answer = await replica.http.request(method, path, headers={**mine, **page}, json={})
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
    missed = {"source": "blocks", "session": "blk_1", "at": NOW, "label": "missed"}
    assert await ask("POST", "/feedback", json=missed) == 403
    assert await ask("POST", "/ingest", json={"source": "blocks", "lines": [GOOD]}) == 403
    assert await ask("POST", "/feedback", json={**given, "label": "true_positive"}) == 404
    for path in (f"/incidents/{incident}", f"/page/incidents/{incident}", f"/page/incidents/{incident}/answer"):
        assert await ask("GET", path) == 404
    assert await ask("DELETE", f"/feedback/{item}") == 404
    undone = await replica.http.request("DELETE", "/feedback?author=ops", headers=mine)
    assert undone.json()["undone"] == []

    async def listed(path: str, field: str) -> list[dict[str, Any]]:
        answer = await replica.http.get(path, headers=mine)
        assert answer.status_code == 200
        return list(answer.json()[field])

    assert await listed("/incidents", "incidents") == []
    assert await listed("/feedback", "feedback") == []
    assert await listed("/feedback/audit", "audit") == []
    assert [one["name"] for one in await listed("/sources", "sources")] == ["app"]
    assert [one["source"] for one in await listed("/models", "models")] == ["app"]
    for path in ("/readyz", "/metrics", "/page/sources", "/page/versions", "/page/incidents", "/page/traffic"):
        answer = await replica.http.get(path, headers=mine)
        assert answer.status_code == 200
        assert "blocks" not in answer.text, path
    assert len((await replica.http.get("/feedback")).json()["feedback"]) == 1
    assert await refused(replica, "source") >= 15


async def test_of_a_body_for_several_sources_only_the_own_entries_are_judged(replica: Replica, redis: Redis) -> None:
    mine = await known(replica, await made(redis, "app-team", "ingest", sources=("app",)))

    async def bulk(*indexes: str) -> Any:
        lines = [line for index in indexes for line in ({"create": {"_index": index}}, {"message": GOOD})]
        body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        headers = {**mine, "Content-Type": "application/x-ndjson"}
        return await replica.http.post("/_bulk", content=body, headers=headers)

    answer = await bulk("app", "blocks", "app")
    assert answer.status_code == 200, answer.text
    assert [item["create"]["status"] for item in answer.json()["items"]] == [201, 403, 201]
    whole = await bulk("blocks")
    assert whole.status_code == 403
    assert whole.headers["x-elastic-product"] == "Elasticsearch"
    assert whole.json()["error"]["type"] == "security_exception"
    named = {**mine, "X-Tocsin-Source": "blocks", "Content-Type": "application/json"}
    push = {"streams": [{"stream": {"app": "app"}, "values": [["1714521600000000000", GOOD]]}]}
    assert (await replica.http.post("/loki/api/v1/push", json=push, headers=named)).status_code == 403
    assert (await replica.http.post("/loki/api/v1/push", json=push, headers=mine)).status_code == 204
    metrics = await replica.metrics()
    assert metrics['tocsin_lines_total{source="app"}'] == 3
    assert 'tocsin_lines_total{source="blocks"}' not in metrics


async def test_an_answer_is_by_the_key_that_gave_it_whatever_it_says(replica: Replica, redis: Redis) -> None:
    ada = await known(replica, await made(redis, "ada", "read", "feedback", "admin"))
    proxy = await known(replica, await made(redis, "sso", "feedback", "proxy"))
    forged = {"X-Tocsin-Author": "eve"}

    async def author(block: int, headers: dict[str, str], **given: str) -> str:
        incident = (await replica.ingest("blocks", [quarantined(block)]))["verdicts"][0]["incident"]
        body = {"incident": incident, "label": "true_positive", **given}
        answer = await replica.http.post("/feedback", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["author"])

    assert await author(1, {**ada, **forged}, author="eve") == "ada"
    assert await author(2, ada) == "ada"
    assert await author(3, {**proxy, "X-Tocsin-Author": "zoe"}, author="eve") == "zoe"
    assert await author(4, proxy, author="eve") == "sso"
    mute = await replica.http.post(
        "/sources/app/mutes", json={"kind": "deploy", "author": "eve"}, headers={**ada, **forged}
    )
    assert mute.json()["author"] == "ada"
