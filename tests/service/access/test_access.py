"""Who comes in by HTTP: every route, every way to bring a key, scopes, sources, paces, and names nobody can forge."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from service.access import gate
from service.access.declared import entry
from service.api.app import ROUTERS
from service.api.guarded import Guarded
from service.state import apikeys, keys
from tests.service.access.making import bearer, made
from tests.service.listening import GOOD, RAW
from tests.service.page.conftest import small_bundle
from tests.service.page.markup import quarantined
from tests.service.serving import NOW, Replica, running, stored, until

ROUTES = [
    (method, route)
    for module in ROUTERS
    for route in module.router.routes
    for method in sorted(getattr(route, "methods", ()))
]
OPEN = {
    "/healthz", "/readyz", "/login", "/logout", "/page/static/{name}", "/", "/_license", "/_xpack", "/_cluster/health",
    "/_index_template/{name}", "/_ilm/policy/{name}", "/_data_stream/{name}",
}  # fmt: skip
"""Liveness, the way in, and what shippers ask before they send: nothing of anybody's logs."""


def guarded(method: str, route: Any) -> str:
    assert isinstance(route, Guarded), f"{route.path} does not say who may call it"
    return route.needs(method)


CLOSED = [(method, route) for method, route in ROUTES if guarded(method, route) != "open"]


@pytest.fixture
async def replica(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """``blocks`` rings, ``app`` takes any text; a key ``ops`` of every scope, which its client brings."""
    ops = await made(redis, "ops")
    async with running(redis_url, stored(tmp_path / "bundles", small_bundle())) as replica:
        replica.http.headers.update(bearer(ops))
        assert (await replica.http.put("/sources/app", json=RAW)).status_code == 200
        yield replica


async def known(replica: Replica, key: str) -> dict[str, str]:
    """Headers of a key, once the replica knows it."""
    await replica.core.gate.ring.read()
    return bearer(key)


async def refused(replica: Replica, reason: str) -> float:
    name = f'tocsin_refused_total{{reason="{reason}"}}'
    return (await replica.metrics()).get(name, 0.0)


def test_what_anybody_may_call_is_what_is_meant_to_be() -> None:
    assert {route.path for method, route in ROUTES if guarded(method, route) == "open"} == OPEN
    html = [route for method, route in ROUTES if route.path == "/" and guarded(method, route) != "open"]
    assert [type(route).__name__ for route in html] == ["BrowserRoute"]


def test_there_is_no_route_beside_those_but_the_description(replica_app: Any) -> None:
    beside = [route.path for route in replica_app.routes if isinstance(getattr(route, "path", None), str)]
    assert [path for path in beside if not isinstance(path, APIRoute)] == ["/openapi.json"]


@pytest.fixture
async def replica_app(replica: Replica) -> Any:
    return replica.app


def address(route: Any) -> str:
    return re.sub(r"{\w+}", "blocks", route.path)


async def test_every_other_route_needs_a_key_and_its_scope(replica: Replica, redis: Redis) -> None:
    replica.http.headers.pop("Authorization")
    nothing = await known(replica, await made(redis, "nothing", "proxy"))
    html = {"Accept": "text/html"}
    for method, route in CLOSED:
        accept = html if route.path == "/" else {}
        answer = await replica.http.request(method, address(route), headers=accept)
        assert answer.status_code == (303 if accept else 401), f"{method} {route.path}"
        assert answer.headers.get("location", "/login").startswith("/login")
        answer = await replica.http.request(method, address(route), headers={**accept, **nothing})
        assert answer.status_code == 403, f"{method} {route.path}"
        assert "scope" in answer.text
    assert len(CLOSED) > 30


@pytest.mark.parametrize("scope", ["ingest", "read", "feedback", "admin"])
async def test_a_scope_lets_in_to_its_own_routes_only(replica: Replica, redis: Redis, scope: str) -> None:
    mine = await known(replica, await made(redis, "mine", scope))
    for method, route in CLOSED:
        if route.path == "/incidents/stream":
            continue
        needed = route.needs(method)
        allowed = scope == ("read" if needed == "metrics" else needed)
        accept = {"Accept": "text/html"} if route.path == "/" else {}
        answer = await replica.http.request(method, address(route), headers={**mine, **accept})
        assert (answer.status_code not in (401, 403)) == allowed, f"{method} {route.path}: {answer.text}"


@pytest.mark.parametrize(
    "way",
    [
        lambda key: {"Authorization": f"Bearer {key}"},
        lambda key: {"X-API-Key": key},
        lambda key: {"Authorization": "Basic " + base64.b64encode(f"any:{key}".encode()).decode()},
        lambda key: {"Authorization": "ApiKey " + base64.b64encode(f"{key[4:16]}:{key}".encode()).decode()},
    ],
)
async def test_a_key_is_taken_in_each_way(replica: Replica, redis: Redis, way: Any) -> None:
    replica.http.headers.pop("Authorization")
    key = await made(redis, "reader", "read")
    await known(replica, key)
    assert (await replica.http.get("/sources", headers=way(key))).status_code == 200
    assert (await replica.http.get("/sources", headers=way(key[:-1] + "~"))).status_code == 401


async def test_a_new_key_lets_in_by_itself(replica: Replica, redis: Redis) -> None:
    new = bearer(await made(redis, "new", "read"))

    async def lets_in() -> bool:
        return (await replica.http.get("/sources", headers=new)).status_code == 200

    await until(lets_in, "the new key lets in")


async def test_a_revoked_key_and_one_that_is_over_let_nobody_in(replica: Replica, redis: Redis) -> None:
    over = await known(replica, await made(redis, "over", "read", expires=NOW - 1))
    assert (await replica.http.get("/sources", headers=over)).status_code == 401
    gone = await known(replica, await made(redis, "gone", "read", expires=NOW + 1))
    assert (await replica.http.get("/sources", headers=gone)).status_code == 200
    assert await apikeys.remove(redis, "gone")

    async def is_out() -> bool:
        return (await replica.http.get("/sources", headers=gone)).status_code == 401

    await until(is_out, "the revoked key is out")


async def test_an_address_that_shows_wrong_keys_is_slowed_down_and_right_ones_still_let_in(
    replica: Replica, redis: Redis
) -> None:
    wrong = bearer(f"tcs_{'0' * 12}_{'x' * 43}")
    answers = [await replica.http.get("/sources", headers=wrong) for _ in range(int(gate.FAILURES) + 30)]
    assert answers[0].status_code == 401
    assert answers[0].headers["www-authenticate"] == 'Bearer realm="tocsin"'
    late = [answer for answer in answers if answer.status_code == 429]
    assert late
    assert int(late[0].headers["retry-after"]) >= 1
    assert (await replica.http.get("/sources")).status_code == 200
    assert await refused(replica, "key") >= 1
    assert await refused(replica, "too_many") == len(late)


async def test_no_request_waits_for_redis_to_know_its_key(replica: Replica, redis: Redis) -> None:
    async def reads() -> int:
        told = await redis.info("commandstats")
        return int(told.get("cmdstat_hvals", {}).get("calls", 0))

    before = await reads()
    for _ in range(300):
        assert (await replica.http.get("/metrics")).status_code == 200
    assert await reads() - before < 300


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


async def test_a_key_sends_no_more_lines_than_it_may(replica: Replica, redis: Redis) -> None:
    slow = await known(replica, await made(redis, "slow", "ingest", rate=10.0))
    body = {"source": "app", "lines": ["one line"] * 1_000}
    assert (await replica.http.post("/ingest", json=body, headers=slow)).status_code == 200
    late = await replica.http.post("/ingest", json=body, headers=slow)
    assert late.status_code == 429
    assert 1 <= int(late.headers["retry-after"]) <= 100
    push = {"streams": [{"stream": {"app": "app"}, "values": [["1714521600000000000", "a"]]}]}
    assert (await replica.http.post("/loki/api/v1/push", json=push, headers=slow)).status_code == 429
    assert (await replica.metrics())['tocsin_lines_total{source="app"}'] == 1_000
    assert await refused(replica, "lines") == 2


async def test_a_key_sends_no_more_requests_than_it_may(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    key = bearer(await made(redis, "busy", "read"))
    async with running(redis_url, tmp_path / "bundles", key_requests_per_s=0.02) as replica:
        first = await replica.http.get("/sources", headers=key)
        second = await replica.http.get("/sources", headers=key)
        assert (first.status_code, second.status_code) == (200, 429)


async def test_loopback_is_open_until_there_is_a_key_and_stays_closed_then(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    async with running(redis_url, tmp_path / "bundles") as replica:
        assert (await replica.http.get("/sources")).status_code == 200
        key = bearer(await made(redis, "first", "read"))

        async def status(wanted: int, **how: Any) -> bool:
            return (await replica.http.get("/sources", **how)).status_code == wanted

        await until(lambda: status(401), "a key is asked for")
        assert await status(200, headers=key)
        # A Redis that lost everything lets nobody in.
        await redis.delete(keys.API_KEYS)
        await until(lambda: status(401, headers=key), "the key is gone")
        assert await status(401)


@pytest.mark.parametrize(("settings", "status"), [({"auth": "on"}, 401), ({"auth": "off"}, 200)])
async def test_settings_say_whether_keys_are_asked_for(
    redis: Redis, redis_url: str, tmp_path: Path, settings: dict[str, str], status: int
) -> None:
    await made(redis, "some")
    async with running(redis_url, tmp_path / "bundles", **settings) as replica:
        assert (await replica.http.get("/sources")).status_code == status


async def test_beyond_loopback_nobody_comes_in_while_there_is_no_key(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", host="0.0.0.0") as replica:
        assert (await replica.http.get("/sources")).status_code == 401
        assert (await replica.http.get("/healthz")).status_code == 200


async def test_a_key_of_a_file_lets_in_and_its_file_holds_no_secret(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    key = await made(redis, "filed", "read")
    (stored_key,) = await apikeys.read(redis)
    await redis.flushall()
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump({"keys": [entry(stored_key)]}))
    assert key.rpartition("_")[2] not in path.read_text()
    async with running(redis_url, tmp_path / "bundles", api_keys_file=path) as replica:
        assert (await replica.http.get("/sources")).status_code == 401
        assert (await replica.http.get("/sources", headers=bearer(key))).status_code == 200


async def test_redis_holds_no_secret(redis: Redis, replica: Replica) -> None:
    hidden = replica.http.headers["Authorization"].rpartition("_")[2].encode()
    values = await redis.hvals(keys.API_KEYS)
    assert values
    assert not any(hidden in value for value in values)


async def test_probes_say_nothing_to_strangers_and_metrics_may_be_opened(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    key = bearer(await made(redis, "reader", "read"))
    async with running(redis_url, tmp_path / "bundles", metrics_open=True) as replica:
        assert (await replica.get("/readyz")) == {"ready": True}
        assert "sources" in (await replica.http.get("/readyz", headers=key)).json()
        assert "tocsin_redis_up 1.0" in (await replica.http.get("/metrics")).text


async def test_without_keys_a_name_that_others_can_have_is_refused(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """DNS rebinding: a page of evil.example whose name leads to 127.0.0.1."""
    await redis.ping()
    async with running(redis_url, tmp_path / "bundles", hosts="logs.example") as replica:

        async def status(host: str) -> int:
            return (await replica.http.get("/incidents", headers={"Host": host})).status_code

        assert [await status(host) for host in ("127.0.0.1:8000", "logs.example", "evil.example:8000")] == [
            200,
            200,
            403,
        ]
        assert await refused(replica, "host") == 1
