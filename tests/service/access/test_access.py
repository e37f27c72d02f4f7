"""Who comes in by HTTP: every route, every way to bring a key, scopes and paces."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from redis.asyncio import Redis

from service.access import gate
from service.api.app import ROUTERS
from service.api.guarded import Guarded
from service.state import apikeys
from tests.service.access.making import bearer, known, made, refused
from tests.service.serving import NOW, Replica, running, until

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
async def replica_app(replica: Replica) -> Any:
    return replica.app


def address(route: Any) -> str:
    return re.sub(r"{\w+}", "blocks", route.path)


def test_what_anybody_may_call_is_what_is_meant_to_be() -> None:
    assert {route.path for method, route in ROUTES if guarded(method, route) == "open"} == OPEN
    html = [route for method, route in ROUTES if route.path == "/" and guarded(method, route) != "open"]
    assert [type(route).__name__ for route in html] == ["BrowserRoute"]


def test_there_is_no_route_beside_those_but_the_description(replica_app: Any) -> None:
    beside = [route.path for route in replica_app.routes if isinstance(getattr(route, "path", None), str)]
    assert [path for path in beside if not isinstance(path, APIRoute)] == ["/openapi.json"]


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
