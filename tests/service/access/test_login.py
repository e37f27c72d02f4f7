"""The way into the page: a form, a cookie that says nothing by itself, and no other site that makes use of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from service.access.secret import digest
from service.state import apikeys, keys
from tests.service.access.making import bearer, made
from tests.service.serving import PATIENCE_S, Replica, running, until

HTML = {"Accept": "text/html,*/*;q=0.8"}
OWN = {"Origin": "http://tocsin"}


@pytest.fixture
async def key(redis: Redis) -> str:
    """Of ``ada``, who may look and answer."""
    return await made(redis, "ada", "read", "feedback")


@pytest.fixture
async def replica(redis_url: str, tmp_path: Path, key: str) -> AsyncIterator[Replica]:
    async with running(redis_url, tmp_path / "bundles") as replica:
        yield replica


async def logged_in(replica: Replica, key: str, **given: str) -> httpx.Response:
    return await replica.http.post("/login", data={"key": key, **given}, headers=OWN)


async def test_whoever_logs_in_gets_where_he_wanted(replica: Replica, key: str) -> None:
    sent = await replica.http.get("/page/sources?find=a%20b", headers=HTML)
    assert sent.status_code == 303
    there = sent.headers["location"]
    assert parse_qs(urlsplit(there).query) == {"next": ["/page/sources?find=a%20b"]}
    first = (await replica.http.get(there)).text
    assert 'http-equiv="refresh"' in first, "a browser that came from elsewhere kept its cookie back"
    form = (await replica.http.get(there + "&here=1")).text
    assert 'value="/page/sources?find=a%20b"' in form
    taken = await logged_in(replica, key, next="/page/sources?find=a%20b")
    assert (taken.status_code, taken.headers["location"]) == (303, "/page/sources?find=a%20b")
    page = await replica.http.get("/page/sources", headers=HTML)
    assert page.status_code == 200
    assert "Log out ada" in page.text
    assert (await replica.http.get(there)).headers["location"] == "/page/sources?find=a%20b"


async def test_the_cookie_is_for_this_site_alone_and_is_not_the_key(replica: Replica, redis: Redis, key: str) -> None:
    told = (await logged_in(replica, key)).headers["set-cookie"]
    value = told.partition("=")[2].partition(";")[0]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in told.split(";")}
    assert "Secure" not in told
    assert key not in told
    assert not [name async for name in redis.scan_iter(match=f"*{value}*")]
    assert await redis.get(keys.login(digest(value))) == key[4:16].encode()
    assert 0 < await redis.ttl(keys.login(digest(value))) <= keys.LOGIN_TTL_S


async def test_over_https_the_cookie_is_secure_and_nobody_else_can_set_it(replica: Replica, key: str) -> None:
    transport = httpx.ASGITransport(replica.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://tocsin", timeout=PATIENCE_S) as secure:
        told = (await secure.post("/login", data={"key": key})).headers["set-cookie"]
        assert told.startswith("__Host-tocsin=")
        assert "Secure" in told
        assert (await secure.get("/sources")).status_code == 200
        assert (await secure.get("/healthz")).headers["strict-transport-security"]


@pytest.mark.parametrize("wrong", ["", "hunter2", "tcs_" + "0" * 12 + "_" + "x" * 43, "x" * 5_000])
async def test_a_key_that_is_none_is_told_and_sets_nothing(replica: Replica, wrong: str) -> None:
    answer = await logged_in(replica, wrong)
    assert answer.status_code == 401
    assert "lets nobody in" in answer.text
    assert "set-cookie" not in answer.headers


async def test_what_is_no_form_is_refused(replica: Replica) -> None:
    assert (await replica.http.post("/login", content=b"\xff\xfe")).status_code == 422
    assert (await replica.http.post("/login", content=b"key=" + b"x" * 10_000)).status_code == 422


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nSet-Cookie: a=b", ""]
)
async def test_nobody_is_sent_elsewhere(replica: Replica, key: str, elsewhere: str) -> None:
    assert (await logged_in(replica, key, next=elsewhere)).headers["location"] == "/"
    assert (await replica.http.get("/login", params={"next": elsewhere})).headers["location"] == "/"


async def test_log_out_ends_it_here_and_in_redis(replica: Replica, redis: Redis, key: str) -> None:
    await logged_in(replica, key)
    cookie = replica.http.cookies["tocsin"]
    assert (await replica.http.get("/sources")).status_code == 200
    assert (await replica.http.post("/logout", headers=OWN)).status_code == 303
    assert "tocsin" not in replica.http.cookies
    replica.http.cookies.set("tocsin", cookie)
    assert (await replica.http.get("/sources")).status_code == 401
    assert not [name async for name in redis.scan_iter(match="*login*")]


async def test_a_log_in_ends_with_its_key_and_by_itself(replica: Replica, redis: Redis, key: str) -> None:
    await logged_in(replica, key)
    (login,) = [name async for name in redis.scan_iter(match="*login*")]
    await redis.delete(login)

    async def is_out() -> bool:
        return (await replica.http.get("/sources")).status_code == 401

    await until(is_out, "a log-in that Redis forgot is over")
    await logged_in(replica, key)
    assert not await is_out()
    await apikeys.remove(redis, "ada")
    await until(is_out, "a log-in ends with its key")


async def test_no_other_sites_page_logs_in_or_out_or_acts_by_the_cookie(replica: Replica, key: str) -> None:
    evil = {"Origin": "http://evil.example"}
    assert (await replica.http.post("/login", data={"key": key}, headers=evil)).status_code == 403
    await logged_in(replica, key)
    for site in (evil, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", **OWN}):
        assert (await replica.http.post("/logout", headers=site)).status_code == 403
        body = {"label": "true_positive", "incident": "x"}
        assert (await replica.http.post("/feedback", json=body, headers=site)).status_code == 403
    assert (await replica.http.get("/sources")).status_code == 200


async def test_lines_are_not_sent_by_a_form_of_another_site(replica: Replica, redis: Redis) -> None:
    every = await made(redis, "all")
    await replica.core.gate.ring.read()
    assert (await logged_in(replica, every)).status_code == 303
    form = {"Content-Type": "text/plain", "Origin": "http://evil.example"}
    assert (await replica.http.post("/ingest?source=app", content=b"x", headers=form)).status_code == 403


async def test_a_key_in_a_header_goes_before_the_cookie(replica: Replica, redis: Redis, key: str) -> None:
    await logged_in(replica, key)
    wrong = bearer(key[:-1] + "~")
    assert (await replica.http.get("/sources", headers=wrong)).status_code == 401


async def test_without_keys_there_is_nothing_to_log_in_to(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    await redis.flushall()
    async with running(redis_url, tmp_path / "other") as replica:
        answer = await replica.http.get("/login?next=/page/sources")
        assert (answer.status_code, answer.headers["location"]) == (303, "/page/sources")
        assert "Log out" not in (await replica.http.get("/", headers=HTML)).text
